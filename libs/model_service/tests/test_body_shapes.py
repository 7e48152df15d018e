"""Tables as pandas and others write them, read as rows."""

import json
from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given, strategies as st
from model_service.body_shapes import rows_in, suggestion

FIELDS = ("age", "city", "new")
ORIENTS = ("split", "records", "index", "columns", "table")
values = {
    "age": st.integers(-(2**53), 2**53),
    "city": st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5),
    "new": st.booleans(),
}
tables = st.lists(st.fixed_dictionaries(values), min_size=1, max_size=4)


def read(document: object, is_field: Callable[[str], bool] = FIELDS.__contains__) -> object:
    return rows_in(document, is_field)


@given(tables, st.sampled_from(ORIENTS), st.booleans())
def test_every_orient_of_pandas_is_read(rows, orient, named):
    """`to_json` of a table in any orient that has names gives its rows, with any index."""
    index = [f"row {number}" for number in range(len(rows))] if named else None
    frame = pd.DataFrame(rows, index=index)

    assert read(json.loads(frame.to_json(orient=orient))) == rows


@given(tables)
def test_other_tools_are_read(rows):
    """A bare list, columns, a row alone, and what MLflow and KServe V1 wrap them in."""
    frame = pd.DataFrame(rows)
    columns = {name: [row[name] for row in rows] for name in FIELDS}
    split = json.loads(frame.to_json(orient="split"))
    for document in (
        rows,
        columns,
        {"inputs": columns},
        {"inputs": rows},
        {"instances": rows},
        {"dataframe_records": rows},
        {"dataframe_split": split},
        {"dataframe_split": {key: split[key] for key in ("columns", "data")}},
    ):
        assert read(document) == rows
    assert read(rows[0]) == rows[:1]
    assert read({"instances": rows[0]}) == rows[:1]


@pytest.mark.parametrize(
    "document",
    [
        None,
        7,
        "age",
        {},
        {"colour": 1},
        {"instances": 7},
        {"instances": [], "inputs": []},
        {"dataframe_split": [[1]]},
        {"dataframe_split": {"columns": ["age"]}},
        {"columns": ["age", "age"], "data": [[1, 2]]},
        {"columns": ["age", "city"], "data": [[1]]},
        {"columns": ["age", 0], "data": [[1, 2]]},
        {"columns": "age", "data": []},
        {"age": [1, 2], "city": ["a"]},
        {"age": {"a": 1, "b": 2}, "city": {"b": "x", "a": "y"}},
        {"x": {"colour": 1}},
        {"age": {"city": 1, "new": 2}, "city": {"city": 3, "new": 4}},
        {"schema": 7, "data": []},
        {"schema": {"primaryKey": 7}, "data": []},
        {"schema": {}, "data": {}},
        {"inputs": {"inputs": {"inputs": [1]}}},
    ],
)
def test_what_is_in_doubt_is_no_rows(document):
    """Doubled or missing names, columns of different lengths or orders, and other members.

    So it is with an index whose names are those of fields: columns and rows are the same then.
    """
    assert read(document) is None


def test_members_of_shapes_may_be_fields():
    """A model whose field is named like a member of a shape is asked by that field."""
    names = ("data", "index", "inputs")
    row = {"data": 1, "index": 2, "inputs": 3}

    assert rows_in(row, names.__contains__) == [row]
    assert rows_in([row], names.__contains__) == [row]
    assert rows_in({"inputs": [3, 4]}, names.__contains__) == [{"inputs": 3}, {"inputs": 4}]


def test_a_field_that_is_a_list_is_no_column():
    """Where all fields are lists, lists of lists are columns, and plain ones are a row."""
    row, columns = {"age": [1, 2]}, {"age": [[1, 2], [3, 4]]}

    assert rows_in(row, FIELDS.__contains__, lists=True) == [row]
    assert rows_in(columns, FIELDS.__contains__, lists=True) == [{"age": [1, 2]}, {"age": [3, 4]}]


def test_rows_without_names_are_shown_with_them():
    """Which value is of which field only the caller knows; the first rows are shown as we read."""
    row = {"age": 1, "city": "a", "new": True}
    lists = [list(row.values())] * 5
    for document in (
        lists,
        {"instances": lists},
        {"values": lists},
        {"data": [row] * 5},
        {"colour": 1, "rows": [row] * 5},
    ):
        assert suggestion(document, FIELDS) == [row] * 3
    for document in ([[1, 2]], [[1, 2, [3]]], [{"colour": 1}], {}, [{}], 7, {"a": {"b": 1}}):
        assert suggestion(document, FIELDS) is None


def test_a_value_that_is_shown_is_short():
    """A suggestion is no larger than a problem may be."""
    (row,) = suggestion([["x" * 10_000, 10**30, None]], FIELDS) or [{}]

    assert len(json.dumps(row)) < 300
