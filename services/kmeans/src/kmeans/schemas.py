"""The shapes of requests and answers, and how a body becomes an array.

`kmeans.matrix` reads a good body fast. msgspec decodes any other body; a body that msgspec refuses
is read once more, slowly, to say which row is wrong.
"""

import json
from collections.abc import Iterable
from itertools import chain, islice
from typing import Annotated, Any

import msgspec
import numpy as np
from model_service.body_shapes import RESERVED, SHOWN_ROWS, rows_in
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from service_kit import Problem, limit_parts, limit_rows, not_json, shown

from kmeans.matrix import matrix
from kmeans.settings import ClusterConfig

Array = NDArray[np.float64]

MAX_DIMENSIONS = 256
MAX_MAGNITUDE = 1e150
"""Largest coordinate: sums of squares of larger ones may not fit into a float64."""
SHOWN_ERRORS = 100
SHOWN_MEMBERS = 5
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
    clusters_found: Annotated[
        int | None, Field(description="clusters that have points, if some have none")
    ] = None
    note: Annotated[str | None, Field(description="why some clusters have no points")] = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    points: list[list[float]]


_decoder = msgspec.json.Decoder(_Body)


def read_points(body: bytes, config: ClusterConfig) -> Array:
    """Return the points of a JSON body, (n, d) float64.

    Raises:
        Problem: 400 for a body that is not JSON, 413 for too many points, 422 for other faults,
            with the row if there is one.
    """
    points = matrix(body)
    if points is not None:
        return check_points(points, config)
    limit_parts(body, config.max_points)
    try:
        rows = _decoder.decode(body).points
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        rows = _read_slowly(body, config, error)
    return check_points(_stacked(rows, config), config)


def _read_slowly(body: bytes, config: ClusterConfig, error: Exception) -> list[list[float]]:
    """Return the points of a body in another shape than ours, if that can mean nothing else.

    Raises:
        Problem: says what is wrong; `suggestion` has the first points in our shape, if any are
            found in the body.
    """
    document = _parsed(body)
    if (points := _points_in(document)) is not None:
        return points
    problem = _explained(document, config)
    for value in document.values() if isinstance(document, dict) else ():
        points = _points_in(value)
        if points and max(map(len, points[:SHOWN_ROWS])) <= MAX_DIMENSIONS:
            problem.extra["suggestion"] = {"points": points[:SHOWN_ROWS]}
            break
    raise problem from error


def _points_in(document: Any) -> list[list[float]] | None:
    """Return points as lists, if a parsed body or a part of it has them in a certain shape."""
    if isinstance(document, dict) and document.keys() == {"points"}:
        document = document["points"]
    rows = rows_in(document, _is_coordinate)
    if rows and all(isinstance(row, dict) for row in rows):
        if any(row.keys() != rows[0].keys() for row in rows):
            return None
        rows = [[row[name] for name in rows[0]] for row in rows]
    try:
        return msgspec.convert(rows, list[list[float]])
    except (msgspec.ValidationError, UnicodeEncodeError):  # half a pair of surrogates in a text
        return None


def _is_coordinate(name: str) -> bool:
    """Return whether a name may be that of a coordinate: one of pandas' default index is not."""
    return not name.isdigit() and name not in RESERVED and name != "points"


def _stacked(rows: list[list[float]], config: ClusterConfig) -> Array:
    if not rows:
        raise _refused("points: none are given")
    limit_rows(len(rows), config.max_points)
    width = len(rows[0])
    if set(map(len, rows)) != {width}:
        raise _of_rows(rows)
    try:
        flat = np.fromiter(chain.from_iterable(rows), np.float64, len(rows) * width)
    except OverflowError as error:
        raise _of_rows(rows) from error
    return flat.reshape(len(rows), width)


def check_points(points: Array, config: ClusterConfig) -> Array:
    """Return the points, (n, d) float64, unchanged if they can be fitted with this configuration.

    Raises:
        Problem: 413 for too many points; 422, which names the row at fault or the limit.
    """
    limit_rows(len(points), config.max_points)
    if not len(points):
        raise _refused("points: none are given")
    width = points.shape[1]
    if not 1 <= width <= MAX_DIMENSIONS or not np.abs(points).max() <= MAX_MAGNITUDE:
        raise _of_rows(row.tolist() for row in points)
    _check_distinct(points, config.clusters)
    return points


def _check_distinct(points: Array, clusters: int) -> None:
    seen: set[tuple[float, ...]] = set()
    for row in points:
        seen.add(tuple(row))
        if len(seen) >= clusters:
            return
    raise Problem(
        422,
        f"points: {len(seen)} different points cannot make {clusters} clusters;"
        " numbers are read as 64-bit floating point, and may be equal as such",
        type="too-few-points",
        distinct=len(seen),
        clusters=clusters,
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode())  # json.loads would take bytes in UTF-16 too
    except (ValueError, RecursionError) as error:
        raise not_json(body) from error


def _explained(document: Any, config: ClusterConfig) -> Problem:
    if not isinstance(document, dict) or document.keys() != {"points"}:
        return _refused(f'The body must be an object with one member, "points"; {_read(document)}.')
    rows = document["points"]
    if not isinstance(rows, list):
        return _refused(f"points: must be a list of rows of numbers, not {shown(rows)!r}")
    limit_rows(len(rows), config.max_points)
    return _of_rows(rows)


def _read(document: object) -> str:
    """Return what a body is instead of an object with the one member."""
    if not isinstance(document, dict):
        return f"it is {shown(document)!r}"
    named = ", ".join(repr(shown(name)) for name in islice(document, SHOWN_MEMBERS))
    return f"its members are {named or 'none'}" + (", ..." if len(document) > SHOWN_MEMBERS else "")


def _of_rows(rows: Iterable[object]) -> Problem:
    """Return a problem that counts the faulty rows and lists the first of them."""
    width: int | None = None
    count = 0
    errors: list[dict[str, Any]] = []
    for number, row in enumerate(rows):
        if width is None:
            width = len(row) if isinstance(row, list) else 1
        fault = _fault(row, width)
        if fault is not None:
            count += 1
            if count <= SHOWN_ERRORS:
                errors.append({"row": number} | fault)
    if not errors:
        return _refused("points: must be a list of rows of numbers")
    detail = f"points: row {errors[0]['row']}: {errors[0]['message']}"
    return Problem(422, detail, type="invalid-points", errors=errors, error_count=count)


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
