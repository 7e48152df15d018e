"""`config.yml` as frozen values: the only source of field names and vocabularies."""

import json
import re
from collections.abc import Mapping
from functools import cache, cached_property
from hashlib import sha256
from numbers import Real
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field as Constrained, ValidationError

from car_evaluation_model.errors import ConfigError

NUMERAL = re.compile("[1-9][0-9]{0,8}", re.ASCII)
PACKAGE = Path(__file__).resolve().parent.parent


class Frozen(BaseModel):
    """Base of configuration and artefact types: immutable, nothing unknown, nothing coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Field(Frozen):
    """One categorical feature.

    Attributes:
        values: the vocabulary, worst to best; a value's code is its index.
        or_more: numbers from here up, and their numerals, mean the last value (5 doors or more:
            "5more").
    """

    name: str
    values: list[str]
    or_more: int | None = None

    @cached_property
    def codes(self) -> Mapping[str | int, int]:
        """Accepted spellings up to `or_more`: the values and, where they are numerals, numbers."""
        codes: dict[str | int, int] = {value: code for code, value in enumerate(self.values)}
        if self.or_more is not None:
            codes |= {int(value): codes[value] for value in self.values if value.isdigit()}
            codes[self.or_more] = len(self.values) - 1
        return codes

    def code(self, value: object) -> int | None:
        """The code of a value, or None if the field has no such value."""
        if isinstance(value, bool) or not isinstance(value, str | Real):
            return None
        if self.or_more is not None and isinstance(value, str) and NUMERAL.fullmatch(value):
            value = int(value)
        known = self.codes.get(value)  # type: ignore[arg-type]  # 4.0 finds 4, as in JSON
        if known is None and self.or_more is not None and not isinstance(value, str):
            whole = value // 1 == value and not value <= self.or_more
            return len(self.values) - 1 if whole else None
        return known


class SupportVectorRecipe(Frozen):
    """One-hot features and scikit-learn's `SVC`, polynomial kernel, a vote per pair of classes.

    `data` is the file of the training data, from the package's folder.
    """

    data: str
    family: Literal["support_vectors"]
    degree: int
    gamma: float
    coef0: float
    C: float


class BoostedTreesRecipe(Frozen):
    """Value codes and scikit-learn's `HistGradientBoostingClassifier`; `data` as there."""

    data: str
    family: Literal["boosted_trees"]
    iterations: int
    learning_rate: float
    leaves: int


Recipe = Annotated[SupportVectorRecipe | BoostedTreesRecipe, Constrained(discriminator="family")]


class Training(Frozen):
    """How a release is trained and what it must reach."""

    random_state: int
    folds: int
    repeats: int
    least_accuracy: float


class Config(Frozen):
    """All of `config.yml`."""

    features: list[Field]
    target: str
    classes: list[str]
    training: Training
    releases: dict[str, Recipe]

    @property
    def shape(self) -> tuple[int, ...]:
        """Values per feature; their product is the number of different inputs."""
        return tuple(len(field.values) for field in self.features)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns of a code array."""
        return tuple(field.name for field in self.features)

    def recipe_digest(self, version: str) -> str:
        """The sha256 of all that a release takes from this configuration, as canonical JSON.

        These are the schema, the way of training and the recipe of that version. Recipes of other
        versions and the gate for new ones are left out: no release depends on them.

        Raises:
            KeyError: there is no recipe of that version.
        """
        depends = self.model_dump(exclude={"releases": True, "training": {"least_accuracy"}})
        depends["recipe"] = self.releases[version].model_dump()
        return sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


@cache
def read_config(package: Path = PACKAGE) -> Config:
    """Parse a package's `config.yml`.

    Raises:
        ConfigError: it is missing, not YAML, or not a `Config`.
    """
    path = package / "config.yml"
    try:
        return Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from error


@cache
def read_version(package: Path = PACKAGE) -> str:
    """The version a package carries, from the file `VERSION`."""
    path = package / "VERSION"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path}: {error}") from error
