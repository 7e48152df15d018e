"""The first centres of a fit's starts: k-means++ with greedy trials, as scikit-learn draws them.

scikit-learn spends much of the CPU of a small `KMeans.fit` on checks around these few array
operations, so they are done here without the checks (figures: benchmarks/results/serving.md). Their
order and shapes are scikit-learn's, because sums of floats depend on both: labels, centres and
inertia equal scikit-learn's to the bit, which a property test holds over shapes and seeds.
"""

import math
import time

import numpy as np
from numpy.typing import NDArray

from kmeans.schemas import Array


class Seeding:
    """The `init` argument of one fit by scikit-learn's `KMeans`.

    Each start of the fit calls this object for its first centres, so the object also ends a fit
    whose deadline has passed.
    """

    def __init__(self, deadline: float) -> None:
        """`deadline` is a moment on `time.monotonic`'s clock."""
        self._deadline = deadline
        self._points: Array | None = None

    def __call__(self, points: Array, count: int, random_state: np.random.RandomState) -> Array:
        """Choose `count` of the points, (n, d) float64, as first centres, (count, d).

        Each centre is drawn with a probability that grows with the squared distance to the nearest
        centre chosen before, and is the best of a few such draws (Arthur and Vassilvitskii,
        "k-means++: the advantages of careful seeding", SODA 2007, sections 2.2 and 5).

        Raises:
            TimeoutError: the deadline has passed.
        """
        self._check_time()
        if self._points is not points:
            self._prepare(points)
        trials = 2 + int(math.log(count))
        first = self._any.searchsorted(random_state.random_sample(), side="right")
        chosen = [int(first)]
        nearest = self._distances(points[first : first + 1])
        potential = nearest @ self._ones
        for _ in range(1, count):
            self._check_time()
            draws = random_state.random_sample(trials) * potential
            candidates = nearest.cumsum().searchsorted(draws)
            np.minimum(candidates, len(points) - 1, out=candidates)  # rounding may end below a draw
            nearer = self._distances(points[candidates])
            np.minimum(nearest, nearer, out=nearer)
            potentials = nearer @ self._column
            best = potentials.argmin()
            potential, nearest = potentials[best], nearer[best]
            chosen.append(int(candidates[best]))
        return points[chosen]

    def _check_time(self) -> None:
        if time.monotonic() >= self._deadline:
            raise TimeoutError

    def _prepare(self, points: Array) -> None:
        """Compute the arrays that all starts of the fit share."""
        self._points = points
        self._transposed = points.T
        self._norms = _squared_norms(points)
        self._ones = np.ones(len(points))
        self._column = self._ones.reshape(-1, 1)
        self._any = (self._ones / self._ones.sum()).cumsum()
        self._any /= self._any[-1]

    def _distances(self, centres: Array) -> Array:
        """Return the squared distances from centres, (m, d), to all points, (n, d), as (m, n)."""
        distances: Array = centres @ self._transposed
        distances *= -2
        distances += _squared_norms(centres)[:, np.newaxis]
        distances += self._norms
        return np.maximum(distances, 0, out=distances)


def _squared_norms(rows: Array) -> NDArray[np.float64]:
    norms: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows)
    return norms
