"""Rows from JSON: what is read, and what is told of what cannot be read."""

import json
import tracemalloc
from typing import Annotated, Literal

import orjson
import pytest
from hypothesis import given, strategies as st
from model_service import BodyReader, Rows
from pydantic import BaseModel, Field
from service_kit import Problem


class House(BaseModel):
    """A row with a field of every kind."""

    rooms: Annotated[int, Field(ge=1, le=20)]
    area: float
    heated: bool = True
    quarter: Literal["north", "south"]
    street: str | None = None
    distances: Annotated[list[float], Field(min_length=2, max_length=2)] = [0, 0]


GOOD = {"rooms": 3, "area": 80.5, "quarter": "north"}
READER = BodyReader(House)
houses = st.fixed_dictionaries(
    {
        "rooms": st.integers(1, 20),
        "area": st.floats(allow_nan=False, allow_infinity=False),
        "quarter": st.sampled_from(["north", "south"]),
    },
    optional={"heated": st.booleans(), "street": st.none() | st.text(max_size=9)},
)


def refused(document: object) -> Problem:
    with pytest.raises(Problem) as found:
        READER.read(json.dumps(document).encode(), 10_000)
    return found.value


@given(st.lists(houses, min_size=1, max_size=5))
def test_rows_are_what_was_sent(rows):
    """Every good row becomes an object of the declared type with the values that were sent."""
    found = READER.read(json.dumps({"inputs": rows}).encode(), 10)

    assert isinstance(found, Rows)
    assert [row.model_dump(exclude_unset=True) for row in found] == rows
    assert all(isinstance(row, House) for row in found)


def test_a_matrix_has_a_column_for_each_number():
    """A row's numbers become float64, booleans 0 or 1, null NaN, and lists are spread."""

    class Point(BaseModel):
        x: float | None
        flag: bool
        more: list[float]

    rows = [{"x": None, "flag": True, "more": [1, 2]}, {"x": 1, "flag": False, "more": [3, 4]}]
    found = BodyReader(Point).rows({"inputs": rows}).matrix()

    assert found.dtype == float
    assert str(found.tolist()) == "[[nan, 1.0, 1.0, 2.0], [1.0, 0.0, 3.0, 4.0]]"


@pytest.mark.parametrize(
    ("field", "value", "allowed", "reason"),
    [
        ("rooms", 0, {"type": "integer", "minimum": 1, "maximum": 20}, "greater than or equal"),
        ("quarter", "east", ["north", "south"], "'north' or 'south'"),
        ("heated", "perhaps", {"type": "boolean"}, "valid boolean"),
        ("street", 5, {"type": "string"}, "valid string"),
        ("distances.1", "x", {"type": "array"}, "valid number"),
    ],
)
def test_an_error_says_what_is_allowed(field, value, allowed, reason):
    """An error lists the values that a field may have, or its type and bounds."""
    name = field.partition(".")[0]
    problem = refused({"inputs": [GOOD, GOOD | {name: [0, value] if "." in field else value}]})

    (error,) = problem.extra["errors"]
    assert (error["row"], error["field"], error["value"]) == (1, field, value)
    assert error["allowed"] == allowed
    assert reason in error["reason"]


def test_many_errors_are_counted_and_the_first_are_listed():
    """A hundred errors are listed, worded as few are, and all are counted."""
    rows = [GOOD, {}, 7, GOOD | {"more": 1}]
    few = refused({"inputs": rows})
    many = refused({"inputs": rows + [{}] * 3_000})

    assert len(few.extra["errors"]) == few.extra["error_count"] == 5
    assert many.extra["errors"][:5] == few.extra["errors"]
    assert len(many.extra["errors"]) == 100
    assert many.extra["error_count"] == 9_005


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[' + b"{}," * 9_999 + b"{}]}",
        b'{"inputs":[{' + b",".join(b'"%06d":0' % each for each in range(190_000)) + b"}]}",
        b"{" + b",".join(b'"%06d":0' % each for each in range(190_000)) + b"}",
    ],
    ids=["rows", "members of a row", "members"],
)
def test_the_largest_bad_bodies_are_refused_in_bounded_memory(body):
    """Two megabytes of what is wrong take less than fifty."""
    orjson.loads(body)
    tracemalloc.start()

    with pytest.raises(Problem):
        READER.read(body, 10_000)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50 * 2**20
