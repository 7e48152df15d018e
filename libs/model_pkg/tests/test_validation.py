"""Bad rows: named by row, field, value and what is allowed; never an exception from inside."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from car_evaluation_model import InvalidRowsError, load, make_prediction
from hypothesis import given, strategies as st

CAR = {
    "buying": "med",
    "maint": "high",
    "doors": "4",
    "persons": "more",
    "lug_boot": "big",
    "safety": "high",
}
MODEL = load()


def test_good_row():
    """The answer carries number, label and version, and no errors."""
    expected = {"predictions": [1], "labels": ["acc"], "version": "1.0.0", "errors": None}
    assert make_prediction([CAR]) == expected


def test_data_frame_is_the_same_as_rows():
    """A DataFrame answers like its rows, with text, integers, and floats where a gap made them."""
    rows = [CAR, CAR | {"doors": 2, "persons": 4}]
    frame = pd.DataFrame(rows)
    assert make_prediction(frame) == make_prediction(rows)
    gap = pd.DataFrame([CAR | {"doors": 4}, CAR | {"doors": None}])
    errors = make_prediction(gap)["errors"]
    assert [(e["row"], e["field"], e["value"]) for e in errors] == [(1, "doors", "nan")]


@pytest.mark.parametrize(
    ("field", "number", "text"),
    [
        ("doors", 2, "2"),
        ("doors", 4.0, "4"),
        ("doors", 5, "5more"),
        ("doors", 9, "5more"),
        ("persons", 2, "2"),
        ("persons", 4, "4"),
        ("persons", 7.0, "more"),
        ("doors", np.int64(3), "3"),
        pytest.param("doors", "5", "5more", id="the least numeral"),
        ("doors", "7", "5more"),
        ("persons", "999999999", "more"),
    ],
)
def test_doors_and_persons_as_numbers(field, number, text):
    """Numbers mean the category that holds them, as numerals too: a CSV file has no others."""
    column = [one.name for one in MODEL.features].index(field)
    assert MODEL.features[column].code(number) == MODEL.features[column].code(text)
    assert make_prediction([CAR | {field: number}]) == make_prediction([CAR | {field: text}])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("safety", "hgh"),
        ("safety", "HIGH"),
        ("safety", 1),
        ("persons", 3),
        ("persons", "5more"),
        ("doors", 1),
        ("doors", 4.5),
        pytest.param("doors", "1", id="a numeral below"),
        ("doors", "05"),
        ("doors", "+7"),
        ("doors", "7.0"),
        ("doors", "\u0667"),
        ("doors", "1000000000"),
        pytest.param("persons", "3", id="a numeral between"),
        ("doors", True),
        ("doors", math.nan),
        ("doors", math.inf),
        ("doors", -(10**400)),
        ("doors", None),
        ("buying", ["med"]),
        ("buying", {"a": 1}),
    ],
)
def test_value_outside_the_vocabulary(field, value):
    """An unknown value gives its row, field, itself in JSON, and the values allowed."""
    answer = make_prediction([CAR, CAR | {field: value}])
    (error,) = answer["errors"]
    allowed = {one.name: one.model_dump()["values"] for one in MODEL.features}[field]
    assert answer["predictions"] is None
    assert answer["labels"] is None
    assert (error["row"], error["field"], error["allowed"]) == (1, field, allowed)
    assert error["reason"] == "unknown value"
    json.dumps(answer, allow_nan=False)


def test_missing_and_unknown_fields_and_rows_that_are_none():
    """Everything wrong with every row is listed at once, in order."""
    without = {name: value for name, value in CAR.items() if name != "maint"}
    errors = make_prediction([without, CAR | {"colour": "red"}, "med", CAR])["errors"]
    assert [(e["row"], e["field"], e["reason"]) for e in errors] == [
        (0, "maint", "missing field"),
        (1, "colour", "unknown field"),
        (2, None, "not an object"),
    ]
    assert errors[1]["allowed"] == list(CAR)


def test_a_single_dict_is_no_list():
    """Forgetting the list is a mistake in the caller's code and says so."""
    with pytest.raises(TypeError, match="give a list of dicts"):
        make_prediction(CAR)
    with pytest.raises(TypeError, match="NoneType"):
        make_prediction(None)


@pytest.mark.parametrize("rows", [[], pd.DataFrame([CAR])[:0]])
def test_no_rows(rows):
    """Nothing to predict is an error, as it is 422 in the service."""
    answer = make_prediction(rows)
    assert (answer["predictions"], answer["labels"]) == (None, None)
    assert [(e["row"], e["reason"]) for e in answer["errors"]] == [(None, "no rows")]
    with pytest.raises(InvalidRowsError, match="no rows; give one at least"):
        MODEL.predict([])


def test_one_row_of_a_data_frame_is_no_list():
    """A Series, such as `frame.iloc[0]`, is refused with the way to a DataFrame of one row."""
    frame = pd.DataFrame([CAR])
    for series in (frame.iloc[0], frame["doors"]):
        with pytest.raises(TypeError, match=r"pandas Series; .* frame.iloc\[\[0\]\]"):
            make_prediction(series)
    assert make_prediction(frame.iloc[[0]])["labels"] == ["acc"]


@pytest.mark.parametrize(
    "rows", [[list(CAR.values())], [tuple(CAR.values())], pd.DataFrame([CAR]).to_numpy()]
)
def test_rows_as_lists_are_told_why_they_are_not_taken(rows):
    """Values alone do not say which field is which: `buying` and `maint` have the same ones."""
    (error,) = make_prediction(rows)["errors"]
    assert (error["row"], error["reason"]) == (0, "a list does not name the fields")
    assert error["allowed"] == list(CAR)


def test_doubled_columns_are_refused():
    """pandas-dev/pandas 29074: `to_dict` drops one of two columns of a name, whichever is right."""
    frame = pd.DataFrame([[*CAR.values(), "2"]], columns=[*CAR, "doors"])
    with pytest.raises(ValueError, match="more than one column doors; drop all but one"):
        make_prediction(frame)


def test_model_predict_raises_with_every_error():
    """`Model.predict` computes nothing when a row is bad; the error names row and field."""
    with pytest.raises(InvalidRowsError, match="row 1, field doors: unknown value 'six'") as caught:
        MODEL.predict([CAR, CAR | {"doors": "six"}])
    assert len(caught.value.errors) == 1


def test_long_values_are_cut():
    """An error never repeats a megabyte back to the caller."""
    (error,) = make_prediction([CAR | {"doors": "9" * 1_000_000}])["errors"]
    assert len(error["value"]) < 100


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@given(st.lists(json_values | st.dictionaries(st.sampled_from(list(CAR)), json_values), max_size=4))
def test_any_json_gets_an_answer(rows):
    """Whatever the rows are, the answer is predictions or errors, never both, and valid JSON."""
    answer = make_prediction(rows)
    assert (answer["predictions"] is None) != (answer["errors"] is None)
    json.dumps(answer, allow_nan=False)
