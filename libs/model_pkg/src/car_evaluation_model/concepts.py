"""Price, comfort and technical worth: the concepts between the attributes of a car and its class.

The data set was made by an expert model in which the class follows from a few such concepts
(Bohanec and Rajkovic, "Knowledge acquisition and explanation for multi-attribute decision making",
1988; UCI, `car.names`). They are not in the data, but exact in a table of all inputs: two
combinations of attributes have the same level of a concept if no car can tell them apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from car_evaluation_model.model import Model
from car_evaluation_model.processing.features import Codes

CONCEPTS: Mapping[str, tuple[str, ...]] = {
    "price": ("buying", "maint"),
    "comfort": ("doors", "persons", "lug_boot"),
    "tech": ("doors", "persons", "lug_boot", "safety"),
}
"""The attributes that each concept is made of."""


@dataclass(frozen=True, slots=True)
class ConceptLevel:
    """The level of an input in one concept, from 1, the worst, to `levels`, the best."""

    level: int
    levels: int


def concepts(model: Model, codes: Codes) -> dict[str, ConceptLevel]:
    """Return the level of one input, given as its value codes, (6,), in each concept by name."""
    classes = model.table.classes.reshape(model.shape)
    names = [field.name for field in model.features]
    found = {}
    for concept, fields in CONCEPTS.items():
        columns = tuple(names.index(name) for name in fields)
        levels = _levels(classes, columns)
        here = levels[tuple(int(codes[column]) for column in columns)]
        found[concept] = ConceptLevel(int(here) + 1, int(levels.max()) + 1)
    return found


def _levels(classes: Codes, columns: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the level, from 0, of each combination of values in `columns`; one axis per column."""
    shape = [classes.shape[column] for column in columns]
    others = [column for column in range(classes.ndim) if column not in columns]
    behaviour = classes.transpose(*columns, *others).reshape(int(np.prod(shape)), -1)
    different, which = np.unique(behaviour, axis=0, return_inverse=True)
    worst_first = different.mean(axis=1).argsort().argsort()
    levels: NDArray[np.intp] = worst_first[which.ravel()].reshape(shape)
    return levels
