"""Which elements stand for those of a declared datatype, and what becomes of them."""

import math
from array import array

import numpy as np
import pytest
from hypothesis import example, given, strategies as st
from service_kit.datatypes import ELEMENTS, converted, inexact, is_taken, misfit

NUMPY = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64"} | {
    f"{sign}INT{bits}": f"{sign}int{bits}".lower() for sign in ("", "U") for bits in (8, 16, 32, 64)
}
DECLARED = ("BOOL", "FP64", "INT64")


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, list[object]]:
    """Return a datatype of numbers, and elements of it."""
    datatype = draw(st.sampled_from(sorted(NUMPY)))
    bounds = ELEMENTS[datatype].bounds
    if datatype == "BOOL":
        element: st.SearchStrategy[object] = st.booleans()
    elif bounds:
        element = st.integers(*bounds) | st.sampled_from([0, 1, bounds[1], 2**53])
        element = element.filter(lambda number: bounds[0] <= number <= bounds[1])
    else:
        width = 8 * ELEMENTS[datatype].size
        element = st.floats(width=width) | st.sampled_from([0.0, 1.0, 1.5, 2.0])
    return datatype, draw(st.lists(element, max_size=8))


@given(numbers(), st.sampled_from(DECLARED))
@example(("INT64", [2**53 + 1]), "FP64")
@example(("UINT64", [2**63]), "INT64")
@example(("FP64", [2.0**63]), "INT64")
@example(("FP32", [float("nan")]), "INT64")
@example(("FP32", [float("inf")]), "BOOL")
@example(("FP64", [1.5]), "INT64")
def test_what_is_taken_is_the_same_number(tensor, declared):
    """A conversion keeps every number; the first that it would change is named instead."""
    datatype, data = tensor
    assert is_taken(datatype, declared)
    at = inexact(data, datatype, declared)

    exact = len(data) if at is None else at
    found = converted(data[:exact], datatype, declared)
    assert all(one == other or math.isnan(one) for one, other in zip(found, data, strict=False))
    assert len(found) == exact
    if at is not None:
        whole = np.array(data[at : at + 1], NUMPY[datatype])
        with np.errstate(all="ignore"):
            there = whole.astype(NUMPY[declared])
            back = there.astype(NUMPY[datatype])
        assert int(there[0]) != data[at] or back != whole


@given(numbers(), st.sampled_from(DECLARED))
def test_what_is_taken_has_the_declared_type(tensor, declared):
    """A model gets Python's own numbers, and FP64 packed, however they came."""
    datatype, data = tensor
    if inexact(data, datatype, declared) is None:
        code = ELEMENTS[datatype].code
        packed = [array(code, data)] if code not in "?e" else []
        for each in (data, tuple(data), *packed):
            found = converted(each, datatype, declared)

            wanted = {"BOOL": bool, "FP64": float, "INT64": int}[declared]
            assert set(map(type, found)) <= {wanted}
            assert isinstance(found, array) or declared != "FP64"


@pytest.mark.parametrize(
    ("given_datatype", "declared"),
    [("BYTES", "FP64"), ("INT64", "BYTES"), ("BF16", "FP64"), ("int64", "INT64"), ("", "BYTES")],
)
def test_another_kind_is_not_taken(given_datatype, declared):
    """Texts are no numbers, numbers no texts, and BF16 is neither."""
    assert not is_taken(given_datatype, declared)


@pytest.mark.parametrize(
    ("datatype", "data", "at"),
    [
        ("INT64", [1, 1.5], 1),
        ("INT64", [1, 1.0], 1),
        ("INT64", [True], 0),
        ("INT8", [127, 128], 1),
        ("INT8", [-129], 0),
        ("UINT8", [0, -1], 1),
        ("UINT64", [2**64 - 1], None),
        ("INT64", [2**63], 0),
        ("FP64", [1, 1.5], None),
        ("FP64", [1, "1"], 1),
        ("FP64", [None], 0),
        ("BOOL", [True, 1], 1),
        ("BYTES", ["a", b"a"], 1),
        ("BYTES", [], None),
    ],
)
def test_an_element_of_another_datatype_is_named(datatype, data, at):
    """A JSON tensor has only elements of its datatype, within the datatype's bounds."""
    assert misfit(data, datatype) == at
