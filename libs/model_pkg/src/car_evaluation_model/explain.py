"""Exact explanations of the class of a car, found by asking the model about every possible car.

There are two questions, both answered over all 1,728 inputs, so that nothing is estimated
(`concepts` answers a third: How good is the car in price, comfort and technical worth?).

* *Which attributes decide?* A set of fields is sufficient for an input if every input that shares
  these values gets the same class. The deciding sets are the sufficient ones with fewest fields.
* *What would improve it?* A better class is one with a higher number. Among the inputs of a better
  class, the nearest are those with the fewest fields changed. For each set of fields changed, only
  the ones with the fewest steps through the vocabularies are kept.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from car_evaluation_model.concepts import ConceptLevel, concepts
from car_evaluation_model.model import Model
from car_evaluation_model.processing.features import Codes, every_input


@dataclass(frozen=True, slots=True)
class RankImprovement:
    """A smallest change of an input that gives it a better class.

    Attributes:
        changes: field -> (value now, value after the change).
        predicted: class number after the change.
        steps: places by which the values move in their vocabularies, in all.
    """

    changes: dict[str, tuple[str, str]]
    predicted: int
    steps: int


@dataclass(frozen=True, slots=True)
class RankExplanation:
    """The explanation of the class of one input; classes rank from worst to best.

    Attributes:
        predicted: class number now.
        concepts: level of the input in each concept, by name.
        deciding: the smallest sufficient sets of fields.
        improvements: fewest steps first; empty for the best class.
    """

    predicted: int
    concepts: dict[str, ConceptLevel]
    deciding: tuple[tuple[str, ...], ...]
    improvements: tuple[RankImprovement, ...]


def explain(model: Model, codes: Codes) -> RankExplanation:
    """Explain the class of one input, given as its value codes, (6,)."""
    classes = model.table.classes.reshape(model.shape)
    here = tuple(int(code) for code in codes)
    return RankExplanation(
        predicted=int(classes[here]),
        concepts=concepts(model, codes),
        deciding=tuple(
            tuple(model.features[column].name for column in columns)
            for columns in deciding(classes, here)
        ),
        improvements=tuple(
            sorted(improvements(model, here), key=lambda one: (one.steps, -one.predicted))
        ),
    )


def deciding(classes: Codes, here: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the smallest sufficient sets of columns; `classes` has one axis per column."""
    for size in range(len(here) + 1):
        found = [
            columns
            for columns in combinations(range(len(here)), size)
            if np.ptp(_sharing(classes, here, columns)) == 0
        ]
        if found:
            return found
    raise AssertionError("all columns together always suffice")


def _sharing(classes: Codes, here: tuple[int, ...], columns: tuple[int, ...]) -> Codes:
    return classes[tuple(here[c] if c in columns else slice(None) for c in range(len(here)))]


def improvements(model: Model, here: tuple[int, ...]) -> list[RankImprovement]:
    """Return the smallest changes that lead to a better class."""
    inputs = every_input(model.shape)
    moved = np.abs(inputs - here)
    better = np.flatnonzero(model.table.classes > model.look_up(np.array([here])).classes[0])
    if not len(better):
        return []
    fields_changed = (moved[better] > 0).sum(axis=1)
    nearest = better[fields_changed == fields_changed.min()]
    fewest: dict[tuple[int, ...], int] = {}
    for row in nearest:
        columns = tuple(np.flatnonzero(moved[row]).tolist())
        fewest[columns] = min(int(moved[row].sum()), fewest.get(columns, sum(model.shape)))
    return [
        _improvement(model, here, inputs[row], int(model.table.classes[row]))
        for row in nearest
        if moved[row].sum() == fewest[tuple(np.flatnonzero(moved[row]).tolist())]
    ]


def _improvement(
    model: Model, here: tuple[int, ...], there: Codes, predicted: int
) -> RankImprovement:
    changes = {
        field.name: (field.values[now], field.values[then])
        for field, now, then in zip(model.features, here, there, strict=True)
        if now != then
    }
    return RankImprovement(changes, predicted, int(np.abs(there - here).sum()))
