"""Rows from a caller, checked against the schema: their value codes, or the faults of each row."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from car_evaluation_model.config.core import Field
from car_evaluation_model.errors import RowError
from car_evaluation_model.processing.features import Codes

LONGEST_SHOWN = 80  # characters of a caller's value that an error repeats


@runtime_checkable
class Frame(Protocol):
    """The part of a pandas DataFrame that this package uses; pandas itself is never imported."""

    @property
    def columns(self) -> Iterable[Hashable]:
        """Names of the columns."""

    def to_dict(self, orient: Literal["records"]) -> list[dict[str, object]]:
        """Return one dict per row."""


def encode(rows: Iterable[object], fields: Sequence[Field]) -> tuple[Codes, list[RowError]]:
    """Return the value codes of all rows, (n, 6), and all faults; with faults, rows are missing.

    No rows at all are a fault too, as in the service.
    """
    codes: list[list[int]] = []
    errors: list[RowError] = []
    names = tuple(field.name for field in fields)
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            errors.append(RowError(index, None, shown(row), names, _no_mapping(row)))
            continue
        line = [field.code(row[field.name]) if field.name in row else None for field in fields]
        if None in line or len(row) != len(fields):
            errors.extend(_explain(index, row, fields, names))
        else:
            codes.append([code for code in line if code is not None])
    if not codes and not errors:
        errors.append(RowError(None, None, None, names, "no rows"))
    return np.array(codes, dtype=np.int64).reshape(-1, len(fields)), errors


def _no_mapping(row: object) -> Literal["a list does not name the fields", "not an object"]:
    is_list = isinstance(row, list | tuple) or hasattr(row, "__array__")
    return "a list does not name the fields" if is_list else "not an object"


def _explain(
    index: int, row: Mapping[object, object], fields: Sequence[Field], names: tuple[str, ...]
) -> Iterable[RowError]:
    for field in fields:
        if field.name not in row:
            yield RowError(index, field.name, None, tuple(field.values), "missing field")
        elif field.code(row[field.name]) is None:
            value = shown(row[field.name])
            yield RowError(index, field.name, value, tuple(field.values), "unknown value")
    for name in row:
        if name not in names:
            yield RowError(index, str(shown(name)), shown(row[name]), names, "unknown field")


def shown(value: object) -> str | int | float | bool | None:
    """Return a caller's value in the form that an error repeats: short, and valid in JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**53:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
