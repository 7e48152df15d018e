"""The two model families as plain data, and their arithmetic in numpy: what a service runs.

Learned numbers are integers, in units of 2**-28. With the dyadic kernel constants of the recipes
every product and partial sum below is then exact in float64, so an answer depends neither on the
batch it came in, nor on the BLAS, nor on the processor. scikit-learn is needed for training only.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations
from typing import Annotated, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from car_evaluation_model.config.core import Frozen
from car_evaluation_model.processing.features import Codes

Floats: TypeAlias = npt.NDArray[np.float64]

UNIT = 2.0**-28
CHUNK = 1024  # rows at a time: bounds the memory of a large batch to about 10 MB


def chunks(codes: Codes) -> Iterator[Codes]:
    """The rows in slices of `CHUNK`, at least one slice."""
    for start in range(0, max(len(codes), 1), CHUNK):
        yield codes[start : start + CHUNK]


class SupportVectors(Frozen):
    """`SVC` on one-hot features: their dot product is the number of equal values, 0 to 6.

    Attributes:
        vectors: value codes of each support vector, (s, 6).
        duals: (s, 6), one coefficient per pair of classes (0,1), (0,2) ... (2,3).
        intercepts: one per pair.
        slope: of the sigmoid that makes a pair's decision a probability; see `evaluation`.
    """

    family: Literal["support_vectors"]
    classes: int
    degree: int
    gamma: float
    coef0: float
    vectors: list[list[int]]
    duals: list[list[int]]
    intercepts: list[int]
    slope: float

    @cached_property
    def _kernel(self) -> Floats:
        features = len(self.vectors[0])
        return np.array([(self.gamma * n + self.coef0) ** self.degree for n in range(features + 1)])

    @cached_property
    def _arrays(self) -> tuple[Codes, Floats, Floats]:
        duals = np.array(self.duals, dtype=np.float64) * UNIT
        return np.array(self.vectors).T, duals, np.array(self.intercepts) * UNIT

    @cached_property
    def _wins(self) -> tuple[Floats, Floats]:
        """(pairs, classes): which class a positive, and which a negative decision speaks for."""
        pairs = np.array(list(combinations(range(self.classes), 2)))
        unit = np.eye(self.classes)
        return unit[pairs[:, 0]], unit[pairs[:, 1]]

    def decisions(self, codes: Codes) -> Floats:
        """`SVC.decision_function` with shape "ovo": (n, pairs)."""
        vectors, duals, intercepts = self._arrays
        parts = []
        for rows in chunks(codes):
            equal = np.zeros((len(rows), vectors.shape[1]), dtype=np.intp)
            for column, values in zip(rows.T, vectors, strict=True):
                equal += column[:, None] == values
            parts.append(self._kernel[equal] @ duals + intercepts)
        return np.concatenate(parts)

    def decide(self, codes: Codes) -> tuple[Codes, Floats]:
        """The class with most pairs won (the first of equals), and log-odds from all pairs."""
        decisions = self.decisions(codes)
        first, second = self._wins
        votes = (decisions > 0) @ first + (decisions <= 0) @ second
        scaled = self.slope * decisions
        logits = -np.logaddexp(0, -scaled) @ first - np.logaddexp(0, scaled) @ second
        return votes.argmax(axis=1), logits


class BoostedTrees(Frozen):
    """`HistGradientBoostingClassifier` on value codes: one tree per class and iteration.

    Attributes:
        starts: index of each tree's root in the node lists; tree t speaks for class t % classes.
        features: feature a node asks for, or -1 in a leaf.
        thresholds: codes up to this one go left.
        lefts, rights: index of the next node, in the same lists.
        values: of a leaf, added to its class's score.
        baseline: score of each class before any tree.
    """

    family: Literal["boosted_trees"]
    classes: int
    starts: list[int]
    features: list[int]
    thresholds: list[int]
    lefts: list[int]
    rights: list[int]
    values: list[int]
    baseline: list[int]

    @cached_property
    def _nodes(self) -> tuple[Codes, Codes, Codes, Floats]:
        """Leaves ask for feature 0 and lead to themselves: all rows walk in step."""
        leaf = np.array(self.features) < 0
        here = np.arange(len(leaf))
        asked = np.where(leaf, 0, self.features)
        steps = np.stack([np.where(leaf, here, self.rights), np.where(leaf, here, self.lefts)])
        return asked, np.array(self.thresholds), steps, np.array(self.values) * UNIT

    def decide(self, codes: Codes) -> tuple[Codes, Floats]:
        """The class with the highest score, and the scores, which are log-odds by construction."""
        asked, thresholds, steps, values = self._nodes
        parts = []
        for rows in chunks(codes):
            line = np.arange(len(rows))[:, None]
            node = np.tile(np.array(self.starts), (len(rows), 1))
            while True:
                left = (rows[line, asked[node]] <= thresholds[node]).astype(np.intp)
                after = steps[left, node]
                if np.array_equal(after, node):
                    break
                node = after
            shape = (len(rows), len(self.starts) // self.classes, self.classes)
            scores = values[node].reshape(shape).sum(axis=1)
            parts.append(scores + np.array(self.baseline) * UNIT)
        logits = np.concatenate(parts)
        return logits.argmax(axis=1), logits


Estimator: TypeAlias = Annotated[SupportVectors | BoostedTrees, Field(discriminator="family")]


def softmax(logits: Floats) -> Floats:
    """Probabilities per row, rounded to six decimals so that every processor prints the same."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = (odds / odds.sum(axis=1, keepdims=True)).round(6)
    return shares
