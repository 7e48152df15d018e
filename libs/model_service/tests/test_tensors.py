"""Rows as tensors, and back."""

import pytest
from hypothesis import given, strategies as st
from model_service.tensors import count_rows, example_request, field_tensor, rows_of
from service_kit import Problem, Tensor

NUMBER, LIST = {"type": "number"}, {"type": "array", "items": {"type": "integer"}}
rows = st.integers(0, 4).flatmap(
    lambda width: st.lists(
        st.fixed_dictionaries(
            {
                "size": st.floats(allow_nan=False),
                "steps": st.lists(st.integers(), min_size=width, max_size=width),
            }
        ),
        min_size=1,
        max_size=6,
    )
)


@given(rows)
def test_rows_come_back_from_their_tensors(given_rows):
    """Each row is made of the elements at its place, a list of as many as the shape says."""
    width = len(given_rows[0]["steps"])
    count = len(given_rows)
    tensors = {
        "size": Tensor((count,), [row["size"] for row in given_rows]),
        "steps": Tensor((count, width), [each for row in given_rows for each in row["steps"]]),
    }

    assert rows_of(tensors) == given_rows
    assert count_rows(tensors) == count


@given(rows)
def test_an_example_is_the_request_of_its_row(given_rows):
    """The example's tensors have the shapes of one row and the elements of that row."""
    row = given_rows[0]
    specs = (field_tensor("size", NUMBER), field_tensor("steps", LIST))
    request = example_request(specs, specs[:1], row)

    told = {one["name"]: Tensor(tuple(one["shape"]), one["data"]) for one in request["inputs"]}
    assert rows_of(told) == [row]
    assert request["outputs"] == [{"name": "size"}]


@pytest.mark.parametrize(("sizes", "words"), [((1, 2), "different sizes"), ((0, 0), "no rows")])
def test_tensors_that_make_no_rows_are_refused(sizes, words):
    """Tensors of different sizes, or of none, are 422."""
    tensors = {str(place): Tensor((size,), [0] * size) for place, size in enumerate(sizes)}

    with pytest.raises(Problem, match=words) as refused:
        rows_of(tensors)

    assert refused.value.status == 422
