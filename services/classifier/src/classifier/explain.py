"""Why an input has its class, and what would make it better: exact, by looking at every input.

There are 1,728 inputs, so nothing is estimated: a set of attributes is tried by fixing them and
looking at all inputs that agree, a change by looking at its outcome.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from car_evaluation_model import Model
from numpy.typing import NDArray

MAX_CHANGES = 10
"""Ways to a better class that an answer lists; there may be hundreds of the same size."""


@dataclass(frozen=True, slots=True)
class Change:
    """Values to change, the attribute's name to its new value, and the class that results."""

    values: dict[str, str]
    label: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one input has its class.

    Attributes:
        label: the class.
        decisive: the smallest sets of attributes that alone fix the class: with these values, no
            value of any other attribute changes it.
        shares: Shapley values: how much each attribute adds to the probability of this class, from
            its share among all inputs up to 1. They sum to the difference.
        improvements: the changes of the fewest attributes that reach a better class, the smallest
            steps first.
    """

    label: str
    decisive: list[list[str]]
    shares: dict[str, float]
    improvements: list[Change]


class Explainer:
    """Explains the answers of one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cube = model.table.classes.reshape(model.shape)
        self._inputs = np.stack(np.unravel_index(np.arange(self._cube.size), model.shape), axis=1)
        self._names = [field.name for field in model.features]
        self._subsets = list(_subsets(len(self._names)))

    def explain(self, codes: tuple[int, ...]) -> Explanation:
        """Explain the class of one input, given as its value codes."""
        predicted = int(self._cube[codes])
        fixed = {subset: self._share(codes, subset, predicted) for subset in self._subsets}
        size = min(len(subset) for subset, share in fixed.items() if share == 1)
        return Explanation(
            label=self._model.classes[predicted],
            decisive=[
                [self._names[axis] for axis in subset]
                for subset, share in fixed.items()
                if share == 1 and len(subset) == size
            ],
            shares={
                name: round(_shapley(fixed, axis, len(self._names)), 6)
                for axis, name in enumerate(self._names)
            },
            improvements=self._improvements(np.array(codes), predicted),
        )

    def _share(self, codes: tuple[int, ...], subset: tuple[int, ...], predicted: int) -> float:
        """Return the share of `predicted` among all inputs that agree on the subset."""
        place = tuple(code if axis in subset else slice(None) for axis, code in enumerate(codes))
        return float((self._cube[place] == predicted).mean())

    def _improvements(self, codes: NDArray[np.int64], predicted: int) -> list[Change]:
        classes = self._cube.ravel()
        better = np.flatnonzero(classes > predicted)
        if better.size == 0:
            return []
        distance = np.abs(self._inputs[better] - codes)
        changed = (distance > 0).sum(axis=1)
        # Fewest attributes, then smallest steps, then the best class.
        order = np.lexsort((-classes[better], distance.sum(axis=1), changed))
        first = order[changed[order] == changed.min()][:MAX_CHANGES]
        return [self._change(codes, int(better[at])) for at in first]

    def _change(self, codes: NDArray[np.int64], rank: int) -> Change:
        values = {
            field.name: field.values[new]
            for field, old, new in zip(
                self._model.features, codes.tolist(), self._inputs[rank].tolist(), strict=True
            )
            if old != new
        }
        return Change(values, self._model.classes[int(self._cube.ravel()[rank])])


def _subsets(size: int) -> Iterator[tuple[int, ...]]:
    for length in range(size + 1):
        yield from combinations(range(size), length)


def _shapley(worth: dict[tuple[int, ...], float], axis: int, size: int) -> float:
    """Return one player's Shapley value in the game that `worth` tells for every coalition."""
    value = 0.0
    for without, share in worth.items():
        if axis not in without:
            weight = 1 / (size * math.comb(size - 1, len(without)))
            value += weight * (worth[tuple(sorted((*without, axis)))] - share)
    return value
