"""The clusterer as a model of the Open Inference Protocol."""

from collections.abc import Callable, Mapping

import numpy as np
from model_service import InForce
from service_kit import Deadline, Inferred, ModelSpec, Tensor, TensorSpec, ThreadPool

from kmeans.clustering import Clustering, fit
from kmeans.schemas import EXAMPLE, check_points
from kmeans.settings import DATA_ID, ClusterConfig

_EXAMPLE = {
    "name": "points",
    "datatype": "FP64",
    "shape": [len(EXAMPLE), len(EXAMPLE[0])],
    "data": EXAMPLE,
}


class ClusterInference:
    """A model that takes points (n, d) and gives their clusters, centres (k, d) and inertia."""

    def __init__(
        self,
        version: str,
        in_force: Callable[[], InForce[ClusterConfig]],
        threads: ThreadPool,
    ) -> None:
        self.spec = ModelSpec(
            name=DATA_ID,
            version=version,
            platform="sklearn_kmeans",
            inputs=(TensorSpec("points", "FP64", (-1, -1)),),
            outputs=(
                TensorSpec("labels", "INT64", (-1,)),
                TensorSpec("centres", "FP64", (-1, -1)),
                TensorSpec("inertia", "FP64", (1,)),
            ),
            example={"inputs": [_EXAMPLE]},
        )
        self._in_force = in_force
        self._threads = threads

    @property
    def max_rows(self) -> int:
        """Points that one request may have, by the configuration in force."""
        return self._in_force().config.max_points

    async def infer(
        self, inputs: Mapping[str, Tensor], outputs: frozenset[str], deadline: Deadline
    ) -> Inferred:
        """Fit the points with the configuration in force, and return the outputs asked for."""
        now = self._in_force()
        config = now.config
        tensor = inputs["points"]

        def work() -> Clustering:
            points = np.asarray(tensor.data, np.float64).reshape(tensor.shape)
            return fit(check_points(points, config), config, deadline.moment)

        clustering = await self._threads.run(work, deadline=deadline)
        every = {
            "labels": clustering.labels.tolist(),
            "centres": clustering.centres.ravel().tolist(),
            "inertia": [clustering.inertia],
        }
        shapes = {"labels": clustering.labels.shape, "centres": clustering.centres.shape}
        given = {name: Tensor(shapes.get(name, (1,)), every[name]) for name in outputs}
        about = {"clusters": config.clusters, "config_version": now.version}
        return Inferred(given, about | clustering.shortfall)
