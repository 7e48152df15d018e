"""KMeans, pinned so that the same points and configuration give the same clusters everywhere.

Labels depend on the random state, on the number of starts and, through the order of sums, on the
number of threads (scikit-learn issue 27518): all three are fixed.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from model_service import InForce
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from kmeans.schemas import EXAMPLE, Array
from kmeans.seeding import Seeding
from kmeans.settings import ClusterConfig

__all__ = [
    "GOLDEN",
    "Clustering",
    "InForce",
    "fit",
    "prepare_thread",
    "self_check",
]

GOLDEN = {3: [1, 1, 1, 1, 2, 0, 0, 0, 0], 4: [0, 0, 2, 2, 3, 1, 1, 1, 1]}
"""Labels of the example points by number of clusters, as published with the original service."""


TOO_CLOSE = (
    "The squares of distances, in 64-bit arithmetic, do not tell points apart that are closer than"
    " about 1e-8 of the largest distance, or than 1e-162."
)
"""The reason for which clusters of different points stay without points."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """The outcome of one fit.

    Attributes:
        labels: (n,) int32, the cluster of each point.
        centres: (clusters, d) float64.
        inertia: sum of squared distances to the nearest centre.
    """

    labels: NDArray[np.int32]
    centres: Array
    inertia: float

    @property
    def sizes(self) -> list[int]:
        """Number of points in each cluster."""
        counts: list[int] = np.bincount(self.labels, minlength=len(self.centres)).tolist()
        return counts

    @property
    def shortfall(self) -> dict[str, Any]:
        """Members that an answer has only if some clusters have no points: how many have, and why.

        scikit-learn warns of that as of duplicate points, but of different ones only those that its
        arithmetic takes for duplicates are left (scikit-learn issue 10059).
        """
        found = len(self.centres) - self.sizes.count(0)
        if found == len(self.centres):
            return {}
        note = f"{found} of {len(self.centres)} clusters have points. {TOO_CLOSE}"
        return {"clusters_found": found, "note": note}

    def by_first_appearance(self) -> "Clustering":
        """Return the same clusters, numbered in the order in which the points first name them.

        A cluster without points comes after all others.
        """
        used, first = np.unique(self.labels, return_index=True)
        empty = np.setdiff1d(np.arange(len(self.centres)), used)
        order = np.concatenate([used[first.argsort()], empty])
        labels = order.argsort()[self.labels].astype(np.int32)
        return Clustering(labels, self.centres[order], self.inertia)


def fit(points: Array, config: ClusterConfig, deadline: float = math.inf) -> Clustering:
    """Cluster points, (n, d) float64; block the thread until that is done.

    Raises:
        TimeoutError: `deadline`, on `time.monotonic`'s clock, passed before the last start had all
            its first centres.
    """
    model = KMeans(
        config.clusters,
        init=Seeding(deadline),
        n_init=config.n_init,
        random_state=config.random_state,
    )
    labels = model.fit_predict(points)
    return Clustering(labels, model.cluster_centers_, float(model.inertia_))


def prepare_thread() -> None:
    """Make scikit-learn use the calling thread alone, and not check the points once more.

    Nor does it warn of clusters without points: the answer tells its caller (`shortfall`).
    """
    threadpool_limits(1)
    warnings.filterwarnings("ignore", "Number of distinct clusters", UserWarning)
    sklearn.set_config(assume_finite=True, skip_parameter_validation=True)


def self_check() -> None:
    """Check that this machine's libraries reproduce the published labels.

    Raises:
        RuntimeError: they cluster differently.
    """
    points = np.array(EXAMPLE, dtype=np.float64)
    for clusters, expected in GOLDEN.items():
        labels = fit(points, ClusterConfig(clusters=clusters)).labels.tolist()
        if labels != expected:
            raise RuntimeError(f"{clusters} clusters of the example: {labels}, not {expected}")
