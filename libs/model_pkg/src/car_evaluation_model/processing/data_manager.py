"""Files of the package: the training data in, releases (artefact and manifest) out and in again.

A manifest names the sha256 of everything that made its artefact, and reading checks all of them
before a byte of configuration or artefact is parsed. That catches corruption and mixed-up files.
Against somebody who can rewrite the manifest too, install the wheel by hash.
"""

import csv
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
from pydantic import ValidationError, field_validator

from car_evaluation_model.config.core import PACKAGE, Config, Frozen, read_config
from car_evaluation_model.errors import (
    InvalidArtefactError,
    ModelNotFoundError,
    TamperedError,
    TrainingError,
)
from car_evaluation_model.processing.features import Codes

CODE = (
    "config/core.py",
    "estimators.py",
    "evaluation.py",
    "model.py",
    "pipeline.py",
    "processing/data_manager.py",
    "processing/features.py",
    "train_pipeline.py",
)
"""The modules that an artefact's bytes and their meaning depend on."""
TRAINER = "scikit-learn"
LOCK = "training.lock"
"""The part of the repository's lock file that trains: versions and hashes, for `pip install -r`."""


class Digests(Frozen):
    """sha256, in hexadecimal, of what a release was made of and of what came out."""

    artefact: str
    code: str
    config: str
    data: str
    lock: str


class Metrics(Frozen):
    """Quality on rows the fitted model had not seen; `folds * repeats` fits.

    Attributes:
        accuracy, deviation, worst: mean, standard deviation and minimum over the fits.
        balanced_accuracy: mean of the recalls.
        recall: per class.
        log_loss, brier: of the probabilities.
        confusion: counts, true class by row.
        learning_curve: share of the rows trained on -> accuracy on the others.
    """

    accuracy: float
    deviation: float
    worst: float
    balanced_accuracy: float
    recall: list[float]
    log_loss: float
    brier: float
    confusion: list[list[int]]
    learning_curve: dict[str, float]


class Manifest(Frozen):
    """What is known of a release beside its bytes."""

    version: str
    sha256: Digests
    trained_with: dict[str, str]
    metrics: Metrics

    @field_validator("trained_with")
    @classmethod
    def _names_the_trainer(cls, versions: dict[str, str]) -> dict[str, str]:
        if TRAINER not in versions:
            raise ValueError(f"has no version of {TRAINER}")
        return versions


def release_folder(version: str, package: Path = PACKAGE) -> Path:
    """Where the two files of a release are."""
    return package / "models" / version


def digest(*paths: Path) -> str:
    """sha256 of the files' contents, one after the other."""
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def digests(config: Config, artefact: Path, package: Path = PACKAGE) -> Digests:
    """The digests of what is on the disk now."""
    return Digests(
        artefact=digest(artefact),
        code=digest(*(package / name for name in CODE)),
        config=digest(package / "config.yml"),
        data=digest(package / config.data),
        lock=digest(package / LOCK),
    )


def installed_versions(package: Path = PACKAGE) -> dict[str, str]:
    """The versions here of all packages that train.

    Raises:
        TrainingError: one of them is not a version that the lock has for some Python.
    """
    pins = re.findall(r"^([\w-]+)==([^\s;]+)", (package / LOCK).read_text("utf-8"), re.MULTILINE)
    found = {name: installed(name) for name, _ in pins}
    if wrong := found.items() - set(pins):
        raise TrainingError(
            f"{LOCK} does not pin what is installed: {dict(wrong)}; "
            "other versions promise no equal bytes"
        )
    return found


@dataclass(frozen=True, slots=True)
class Dataset:
    """Value codes, (n, 6), and class numbers, (n,)."""

    codes: Codes
    classes: Codes

    def at(self, rows: Codes) -> "Dataset":
        """These rows only."""
        return Dataset(self.codes[rows], self.classes[rows])


def read_dataset(config: Config, package: Path = PACKAGE) -> Dataset:
    """The training data, in the file's order.

    Raises:
        TrainingError: a line does not fit the schema.
    """
    codes, classes = [], []
    with (package / config.data).open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            line = [field.code(row.get(field.name)) for field in config.features]
            if None in line or row.get(config.target) not in config.classes:
                raise TrainingError(f"{config.data}, line {number}: not in the schema: {row}")
            codes.append(line)
            classes.append(config.classes.index(row[config.target]))
    return Dataset(np.array(codes, dtype=np.int64), np.array(classes, dtype=np.int64))


def write_release(
    config: Config, version: str, artefact: bytes, metrics: Metrics, package: Path = PACKAGE
) -> Manifest:
    """Write artefact and manifest; returns the manifest."""
    folder = release_folder(version, package)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.json"
    path.write_bytes(artefact)
    manifest = Manifest(
        version=version,
        sha256=digests(config, path, package),
        trained_with=installed_versions(package),
        metrics=metrics,
    )
    text = manifest.model_dump_json(indent=2) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def read_release(version: str, package: Path = PACKAGE) -> tuple[Config, bytes, Manifest]:
    """The configuration and the artefact's bytes, verified against the manifest, and that.

    Raises:
        ModelNotFoundError: the package does not carry this version.
        InvalidArtefactError: the manifest is not one.
        TamperedError: data, code, config, lock or artefact is not what the manifest names.
    """
    folder = release_folder(version, package)
    path = folder / "model.json"
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        # The configuration names the data, so it is the first whose digest has to be right.
        _expect("config", digest(package / "config.yml"), manifest, package)
        config = read_config(package)
        found = digests(config, path, package)
        content = path.read_bytes()
    except OSError as error:
        here = sorted(entry.name for entry in folder.parent.glob("*.*"))
        raise ModelNotFoundError(
            f"no model {version} in {folder.parent} (found: {', '.join(here) or 'none'}): {error}"
        ) from error
    except ValidationError as error:
        raise InvalidArtefactError(f"{folder / 'manifest.json'}: {error}") from error
    for name, sha in found.model_dump().items():
        _expect(name, sha, manifest, package)
    return config, content, manifest


def _expect(name: str, found: str, manifest: Manifest, package: Path) -> None:
    expected = getattr(manifest.sha256, name)
    if found != expected:
        raise TamperedError(
            f"{name} of model {manifest.version} in {package}: sha256 is {found}, the manifest "
            f"names {expected}; install the package again, or train again"
        )
