"""Rows from a caller, checked against the schema: codes, or what is wrong and where."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from car_evaluation_model.config.core import Field
from car_evaluation_model.processing.features import Codes

LONGEST_SHOWN = 80  # characters of a caller's value that an error repeats


@runtime_checkable
class Frame(Protocol):
    """The part of a pandas DataFrame that is used; pandas itself is never imported."""

    def to_dict(self, orient: Literal["records"]) -> list[dict[str, object]]:
        """One dict per row."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One thing wrong with one row.

    Attributes:
        row: index in the input, from 0.
        field: name of the field, or None if the row is no object at all.
        value: what was there, cut to be shown; None if the field is missing.
        allowed: the values or, for an unknown field, the fields that exist.
    """

    row: int
    field: str | None
    value: str | int | float | bool | None
    allowed: tuple[str, ...]
    reason: Literal["unknown value", "missing field", "unknown field", "not an object"]

    def __str__(self) -> str:
        where = "" if self.field is None else f", field {self.field}"
        allowed = ", ".join(self.allowed)
        return f"row {self.row}{where}: {self.reason} {self.value!r}, allowed: {allowed}"

    def as_dict(self) -> dict[str, object]:
        """The same, ready for JSON."""
        return asdict(self) | {"allowed": list(self.allowed)}


def encode(rows: Iterable[object], fields: Sequence[Field]) -> tuple[Codes, list[RowError]]:
    """The codes of all rows, (n, 6), and what is wrong; use the codes only without errors."""
    codes: list[list[int]] = []
    errors: list[RowError] = []
    names = tuple(field.name for field in fields)
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            errors.append(RowError(index, None, shown(row), names, "not an object"))
            continue
        line = [field.code(row[field.name]) if field.name in row else None for field in fields]
        if None in line or len(row) != len(fields):
            errors.extend(_explain(index, row, fields, names))
        else:
            codes.append([code for code in line if code is not None])
    return np.array(codes, dtype=np.int64).reshape(-1, len(fields)), errors


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
    """A caller's value as an error may repeat it: short, and expressible in JSON."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**53:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
