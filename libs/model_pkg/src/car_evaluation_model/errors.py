"""The errors of this package: one base, and a leaf for each fault that can be told apart."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal


class ModelError(Exception):
    """Base of every error of this package; the message says what, where, and what to do."""


class ConfigError(ModelError):
    """`config.yml` or `VERSION` cannot be read or contradicts itself."""


class ModelNotFoundError(ModelError):
    """The package carries no model of the version asked for."""


class TamperedError(ModelError):
    """A file of the package is not the one the manifest was written for."""


class InvalidArtefactError(ModelError):
    """Manifest or artefact cannot be read by this code."""


class WrongLibraryError(ModelError):
    """scikit-learn is installed beside the model in another version than the one that trained."""


class SelfCheckError(ModelError):
    """The loaded model does not reproduce the answers recorded at training."""


class TrainingError(ModelError):
    """Training was refused: wrong scikit-learn, wrong data, or a model below the gate."""


@dataclass(frozen=True, slots=True)
class RowError:
    """One fault of one input row.

    Attributes:
        row: index in the input, from 0, or None if there are no rows.
        field: name of the field, or None if the row is no object at all.
        value: the value found, cut to be shown; None if the field is missing.
        allowed: the values or, for an unknown field, the fields that exist.
    """

    row: int | None
    field: str | None
    value: str | int | float | bool | None
    allowed: tuple[str, ...]
    reason: Literal[
        "unknown value",
        "missing field",
        "unknown field",
        "not an object",
        "a list does not name the fields",
        "no rows",
    ]

    def __str__(self) -> str:
        if self.row is None:
            return "no rows; give one at least"
        where = "" if self.field is None else f", field {self.field}"
        allowed = ", ".join(self.allowed)
        return f"row {self.row}{where}: {self.reason} {self.value!r}, allowed: {allowed}"

    def as_dict(self) -> dict[str, object]:
        """Return the members by name, ready for JSON."""
        return asdict(self) | {"allowed": list(self.allowed)}


class InvalidRowsError(ModelError):
    """Input rows outside the schema; `errors` names each row, field, value and what is allowed."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)
