"""What can go wrong: one base, and leaves named for what was proved."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from car_evaluation_model.processing.validation import RowError


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


class InvalidRowsError(ModelError):
    """Input rows outside the schema; `errors` names each row, field, value and what is allowed."""

    def __init__(self, errors: "Sequence[RowError]") -> None:
        super().__init__("; ".join(str(error) for error in errors))
        self.errors = tuple(errors)
