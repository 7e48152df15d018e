"""The shapes of requests and answers, and how a body becomes an array.

A good body goes the quick way of `kmeans.matrix`. Any other is decoded by msgspec, and one that
this refuses is looked at once more, slowly, to say which row is wrong.
"""

import json
from collections.abc import Iterable
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from service_kit import Problem, limit_rows, shown

from kmeans.matrix import matrix
from kmeans.settings import ClusterConfig

Array = NDArray[np.float64]

MAX_DIMENSIONS = 256
MAX_MAGNITUDE = 1e150
"""Squares of larger coordinates do not fit into a float64."""
SHOWN_ERRORS = 100
EXAMPLE: list[Any] = [
    [1, 2],
    [2, 3],
    [3, 5],
    [4, 6],
    [8, 8],
    [10, 11],
    [12, 12],
    [12, 15],
    [10, 12],
]

Coordinate = Annotated[FiniteFloat, Field(ge=-MAX_MAGNITUDE, le=MAX_MAGNITUDE)]


class Points(BaseModel):
    """A request: points of one dimension, at least as many different ones as there are clusters."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"points": EXAMPLE}]})

    points: Annotated[
        list[Annotated[list[Coordinate], Field(min_length=1, max_length=MAX_DIMENSIONS)]],
        Field(min_length=1),
    ]


class Clusters(BaseModel):
    """An answer: the cluster of each point, in the order of the points."""

    results: list[int]
    clusters: int
    config_version: str
    request_id: str
    centres: list[list[float]] | None = None
    inertia: float | None = None
    sizes: list[int] | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    points: list[list[float]]


_decoder = msgspec.json.Decoder(_Body)


def read_points(body: bytes, config: ClusterConfig) -> Array:
    """Return the points of a JSON body, (n, d) float64.

    Raises:
        Problem: 400 for what is no JSON, 422 for anything else, with the row where there is one.
    """
    points = matrix(body)
    if points is not None and _is_within_limits(points, config):
        _check_distinct(points, config.clusters)
        return points
    try:
        rows = _decoder.decode(body).points
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _explained(body) from error
    return check_points(rows, config)


def _is_within_limits(points: Array, config: ClusterConfig) -> bool:
    count, width = points.shape
    if count > config.max_points or width > MAX_DIMENSIONS:
        return False
    return bool(np.abs(points).max() <= MAX_MAGNITUDE)


def check_points(rows: list[list[float]], config: ClusterConfig) -> Array:
    """Return rows of floats as an array that can be fitted with this configuration.

    Raises:
        Problem: 422 that says which row or limit is in the way.
    """
    if not 1 <= len(rows) <= config.max_points:
        raise _refused(f"points: {len(rows)} given, allowed are 1 to {config.max_points}")
    width = len(rows[0])
    if set(map(len, rows)) != {width} or not 1 <= width <= MAX_DIMENSIONS:
        raise _of_rows(rows)
    try:
        flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
    except OverflowError as error:
        raise _of_rows(rows) from error
    points = flat.reshape(len(rows), width)
    if not np.abs(points).max() <= MAX_MAGNITUDE:
        raise _of_rows(rows)
    _check_distinct(rows, config.clusters)
    return points


def _check_distinct(rows: Iterable[Iterable[float]], clusters: int) -> None:
    seen: set[tuple[float, ...]] = set()
    for row in rows:
        seen.add(tuple(row))
        if len(seen) >= clusters:
            return
    raise Problem(
        422,
        f"points: {len(seen)} different points cannot make {clusters} clusters",
        type="too-few-points",
        distinct=len(seen),
        clusters=clusters,
    )


def _explained(body: bytes) -> Problem:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Problem(400, "The body is not valid JSON.", type="invalid-json")
    if not isinstance(document, dict) or document.keys() != {"points"}:
        return _refused('The body must be an object with one member, "points".')
    rows = document["points"]
    if not isinstance(rows, list):
        return _refused("points: must be a list of rows of numbers")
    return _of_rows(rows)


def _of_rows(rows: list[Any]) -> Problem:
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 1
    errors = [
        {"row": number} | fault
        for number, row in enumerate(rows)
        if (fault := _fault(row, width)) is not None
    ]
    first = errors[0] if errors else {"row": 0, "message": "not a list of numbers"}
    detail = f"points: row {first['row']}: {first['message']}"
    shown_errors = errors[:SHOWN_ERRORS]
    return Problem(422, detail, type="invalid-points", errors=shown_errors, error_count=len(errors))


def _fault(row: object, width: int) -> dict[str, Any] | None:
    if not isinstance(row, list):
        return {"message": "not a list of numbers", "value": shown(row)}
    if not 1 <= len(row) <= MAX_DIMENSIONS:
        return {"message": f"{len(row)} numbers, allowed are 1 to {MAX_DIMENSIONS}"}
    if len(row) != width:
        return {"message": f"{len(row)} numbers where row 0 has {width}"}
    for column, value in enumerate(row):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return {"column": column, "message": "not a number", "value": shown(value)}
        if not abs(value) <= MAX_MAGNITUDE:
            message = f"not a finite number of at most {MAX_MAGNITUDE:g}"
            return {"column": column, "message": message, "value": shown(value)}
    return None


def _refused(detail: str) -> Problem:
    return Problem(422, detail, type="invalid-points")
