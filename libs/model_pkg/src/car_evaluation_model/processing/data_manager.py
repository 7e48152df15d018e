"""Files of the package: the training data in, releases (artefact and manifest) out and in again.

A manifest names the sha256 of everything that made its artefact: its own recipe, data, code and
lock. It is written once, when the version is trained, and never again. Reading checks all digests
before a byte of the artefact is parsed. That catches corruption and mixed-up files. Against
somebody who can rewrite the manifest too, install the wheel by hash.

Code and lock live on after a release. They may serve it if they are the ones it was trained with,
or if `reproduced.json` names them: training the version again, with them, gave the same bytes.
"""

import csv
import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as installed
from pathlib import Path

import numpy as np
from pydantic import ValidationError, field_validator

from car_evaluation_model.config.core import PACKAGE, Config, Frozen, Recipe, read_config
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
REPRODUCED = "reproduced.json"
LOCK = "training.lock"
"""The part of the repository's lock file that trains: versions and hashes, for `pip install -r`."""


_NEW_NUMBER = "a released version stays as it is: put it back, and give the new one a new number"
_AGAIN = "put it back, or prove by `make train-model` that it gives the same model"
REMEDIES = {
    "artefact": "install the package again",
    "code": _AGAIN,
    "data": _NEW_NUMBER,
    "lock": _AGAIN,
    "recipe": _NEW_NUMBER,
}
"""What to do about a digest that is not the manifest's."""


class Digests(Frozen):
    """sha256, in hexadecimal, of what a release was made of and of what came out."""

    artefact: str
    code: str
    data: str
    lock: str
    recipe: str


class Reproduced(Frozen):
    """The releases that a later state of code and lock was seen to reproduce.

    Attributes:
        code, lock: sha256 of that state.
        artefacts: version -> sha256 of the bytes, which were the released ones.
    """

    code: str
    lock: str
    artefacts: dict[str, str]


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


def is_released(version: str, package: Path = PACKAGE) -> bool:
    """Return whether a version was trained and written, so that nothing of it may change."""
    return (release_folder(version, package) / "manifest.json").exists()


def digests(config: Config, version: str, package: Path = PACKAGE) -> Digests:
    """The digests of what is on the disk now."""
    return Digests(
        artefact=digest(release_folder(version, package) / "model.json"),
        code=digest(*(package / name for name in CODE)),
        data=digest(package / config.releases[version].data),
        lock=digest(package / LOCK),
        recipe=config.recipe_digest(version),
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


def read_dataset(config: Config, recipe: Recipe, package: Path = PACKAGE) -> Dataset:
    """The training data of a recipe, in the file's order.

    Raises:
        TrainingError: a line does not fit the schema.
    """
    codes, classes = [], []
    with (package / recipe.data).open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            line = [field.code(row.get(field.name)) for field in config.features]
            if None in line or row.get(config.target) not in config.classes:
                raise TrainingError(f"{recipe.data}, line {number}: not in the schema: {row}")
            codes.append(line)
            classes.append(config.classes.index(row[config.target]))
    return Dataset(np.array(codes, dtype=np.int64), np.array(classes, dtype=np.int64))


def write_release(
    config: Config, version: str, artefact: bytes, metrics: Metrics, package: Path = PACKAGE
) -> Manifest:
    """Write artefact and manifest of a new version; returns the manifest.

    Raises:
        TrainingError: the version is released.
    """
    folder = release_folder(version, package)
    if is_released(version, package):
        raise TrainingError(f"{version} is released and stays as it is: take another number")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_bytes(artefact)
    manifest = Manifest(
        version=version,
        sha256=digests(config, version, package),
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
        TamperedError: data, code, recipe, lock or artefact is not what the manifest names, and code
            and lock were not seen to reproduce the release either.
    """
    config, content, manifest, found = read_content(version, package)
    if not reproduces(version, found, package):
        for name in ("code", "lock"):
            _expect(name, found, manifest, package)
    return config, content, manifest


def read_content(version: str, package: Path = PACKAGE) -> tuple[Config, bytes, Manifest, Digests]:
    """As `read_release`, whatever code and lock are now; and the digests of what is there now."""
    folder = release_folder(version, package)
    try:
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        config = read_config(package)
        if version not in config.releases:
            raise TamperedError(f"config.yml in {package} has lost the recipe of model {version}")
        found = digests(config, version, package)
        content = (folder / "model.json").read_bytes()
    except OSError as error:
        here = sorted(entry.name for entry in folder.parent.glob("*.*"))
        raise ModelNotFoundError(
            f"no model {version} in {folder.parent} (found: {', '.join(here) or 'none'}): {error}"
        ) from error
    except ValidationError as error:
        raise InvalidArtefactError(f"{folder / 'manifest.json'}: {error}") from error
    for name in ("recipe", "data", "artefact"):
        _expect(name, found, manifest, package)
    return config, content, manifest, found


def reproduces(version: str, found: Digests, package: Path = PACKAGE) -> bool:
    """Return whether this state of code and lock was seen to give the bytes of a release again."""
    record = read_reproduced(package)
    return (
        record is not None
        and (record.code, record.lock) == (found.code, found.lock)
        and record.artefacts.get(version) == found.artefact
    )


def read_reproduced(package: Path = PACKAGE) -> Reproduced | None:
    """What was reproduced by a later state of code and lock; None if nothing was."""
    path = package / REPRODUCED
    try:
        return Reproduced.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InvalidArtefactError(f"{path}: {error}") from error


def write_reproduced(version: str, found: Digests, package: Path = PACKAGE) -> None:
    """Note that this state of code and lock gave the bytes of a release again."""
    record = read_reproduced(package)
    same = record is not None and (record.code, record.lock) == (found.code, found.lock)
    known = record.artefacts if record is not None and same else {}
    artefacts = dict(sorted({**known, version: found.artefact}.items()))
    now = Reproduced(code=found.code, lock=found.lock, artefacts=artefacts)
    (package / REPRODUCED).write_text(now.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _expect(name: str, found: Digests, manifest: Manifest, package: Path) -> None:
    here, released = getattr(found, name), getattr(manifest.sha256, name)
    if here != released:
        raise TamperedError(
            f"{name} of model {manifest.version} in {package}: sha256 is {here}, the manifest "
            f"names {released}; {REMEDIES[name]}"
        )
