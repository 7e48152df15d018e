"""The loaded, verified model: what a service holds one reference to and swaps whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from car_evaluation_model.config.core import PACKAGE, Field, Frozen, read_version
from car_evaluation_model.errors import (
    InvalidArtefactError,
    InvalidRowsError,
    SelfCheckError,
    WrongLibraryError,
)
from car_evaluation_model.estimators import Estimator, Floats, softmax
from car_evaluation_model.processing.data_manager import (
    TRAINER,
    Manifest,
    read_release,
    release_folder,
)
from car_evaluation_model.processing.features import Codes, every_input, rank
from car_evaluation_model.processing.validation import encode


class Golden(Frozen):
    """An input and the answer recorded at training: the class is scikit-learn's own."""

    codes: list[int]
    predicted: int
    probabilities: list[float]


class Distribution(Frozen):
    """How often each value and class occurs in the training data: the reference for input drift."""

    features: list[list[int]]
    classes: list[int]


class Artefact(Frozen):
    """The whole content of `model.json`."""

    format: Literal[1]
    version: str
    training: Distribution
    golden: list[Golden]
    estimator: Estimator


@dataclass(frozen=True, slots=True)
class Prediction:
    """Answers for n inputs.

    Attributes:
        classes: class numbers, (n,) int64.
        probabilities: (n, 4) float64, six decimals.
    """

    classes: Codes
    probabilities: Floats


@dataclass(frozen=True)
class Model:
    """One version of the model.

    Attributes:
        version: of the model, and of the wheel that carries it.
        sha256: of the artefact.
        features: fields of an input with their vocabularies, in column order.
        classes: labels; a class number is an index here.
        training: distribution of the training data.
        golden: recorded answers, reproduced when the model was loaded.
        manifest: digests, versions at training, quality.
    """

    version: str
    sha256: str
    features: tuple[Field, ...]
    classes: tuple[str, ...]
    training: Distribution
    golden: tuple[Golden, ...]
    manifest: Manifest
    estimator: Estimator

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Values per feature."""
        return tuple(len(field.values) for field in self.features)

    @cached_property
    def table(self) -> Prediction:
        """The answers to all 1,728 inputs; row `rank(codes, shape)` answers `codes`."""
        return self.predict_codes(every_input(self.shape))

    def predict(self, rows: Iterable[object]) -> Prediction:
        """Answer rows given as mappings from field to value.

        Raises:
            InvalidRowsError: rows outside the schema; nothing was computed.
        """
        codes, errors = encode(rows, self.features)
        if errors:
            raise InvalidRowsError(errors)
        return self.predict_codes(codes)

    def predict_codes(self, codes: Codes) -> Prediction:
        """Answer rows given as value codes (n, 6), by the estimator.

        Raises:
            ValueError: not (n, 6), or a code that no value has.
        """
        if codes.ndim != 2 or codes.shape[1] != len(self.shape):  # noqa: PLR2004 - rows and columns
            raise ValueError(f"codes have shape {codes.shape}, not (n, {len(self.shape)})")
        if ((codes < 0) | (codes >= self.shape)).any():
            raise ValueError(f"codes outside {self.shape}")
        classes, logits = self.estimator.decide(codes)
        return Prediction(classes, softmax(logits))

    def look_up(self, codes: Codes) -> Prediction:
        """The same answers as `predict_codes`, from the table; the codes must be in range."""
        rows = rank(codes, self.shape)
        return Prediction(self.table.classes[rows], self.table.probabilities[rows])


def load(version: str | None = None, package: Path = PACKAGE) -> Model:
    """Read, verify and self-check a model; by default the version this package was released as.

    Raises:
        ModelError: one of its leaves says what is wrong and where; nothing half-loaded is returned.
    """
    version = version or read_version(package)
    config, content, manifest = read_release(version, package)
    check_library(manifest)
    try:
        artefact = Artefact.model_validate_json(content)
    except ValidationError as error:
        raise InvalidArtefactError(f"model.json of {version}: {error}") from error
    model = Model(
        version=artefact.version,
        sha256=manifest.sha256.artefact,
        features=tuple(config.features),
        classes=tuple(config.classes),
        training=artefact.training,
        golden=tuple(artefact.golden),
        manifest=manifest,
        estimator=artefact.estimator,
    )
    if model.version != version or manifest.version != version:
        raise InvalidArtefactError(f"asked for model {version}, the files say {model.version}")
    check_golden(model, release_folder(version, package) / "model.json")
    check(model)
    return model


def check_library(manifest: Manifest) -> None:
    """Refuse a scikit-learn that is not the one whose answers the model reproduces.

    Serving needs none. Where one is installed, somebody will compare with it, or train.

    Raises:
        WrongLibraryError: it has another version than the manifest names.
    """
    try:
        found = distribution(TRAINER)
    except PackageNotFoundError:
        return
    wanted = manifest.trained_with[TRAINER]  # read_release has seen to it that it is there
    if found.version != wanted:
        raise WrongLibraryError(
            f"{TRAINER} in {found.locate_file('')} is {found.version}, model {manifest.version} "
            f"was trained with {wanted}; install {TRAINER}=={wanted}, or none: serving needs none"
        )


def check_golden(model: Model, path: Path) -> None:
    """Refuse golden rows that no answer of the model could equal, for want of a probability.

    Raises:
        InvalidArtefactError: a row of the file has not one probability for each class.
    """
    for number, row in enumerate(model.golden):
        if len(row.probabilities) != len(model.classes):
            raise InvalidArtefactError(
                f"{path}: golden row {number} has {len(row.probabilities)} probabilities, "
                f"the model has {len(model.classes)} classes"
            )


def check(model: Model) -> None:
    """Reproduce the golden rows.

    Raises:
        SelfCheckError: an answer differs from the recorded one.
    """
    try:
        answers = model.predict_codes(np.array([row.codes for row in model.golden]))
    except (IndexError, ValueError) as error:
        raise SelfCheckError(
            f"model {model.version} cannot answer its own rows: {error}"
        ) from error
    for row, predicted, shares in zip(
        model.golden, answers.classes, answers.probabilities, strict=True
    ):
        same = shares.shape == (len(row.probabilities),) and np.allclose(
            row.probabilities, shares, atol=2e-6
        )
        if row.predicted != predicted or not same:
            raise SelfCheckError(
                f"model {model.version} answers {predicted} {shares.tolist()} to {row.codes}, "
                f"recorded was {row.predicted} {row.probabilities}"
            )
