"""Triton's extensions of the Open Inference Protocol beside inference, as far as they apply.

A process serves one model, which is loaded before the first request and never unloaded. So the
repository has an index of one entry; what would change the process is refused in words.
Source: github.com/triton-inference-server/server, docs/protocol.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from service_kit.health import HealthChecks
from service_kit.problem import Problem
from service_kit.tensors import ModelSpec, TensorSpec

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics")
_TYPES = {"BYTES": "TYPE_STRING"}
_ABSENT = {
    "/repository/models/{name}/load": "The model was loaded when the process started.",
    "/repository/models/{name}/unload": "The model is served until the process ends.",
    "/logging": "Logging is set by LOG_LEVEL in the environment of the process.",
    "/trace/setting": "There are no traces here; requests carry traceparent and X-Request-Id.",
    "/models/{name}/trace/setting": "There are no traces here; requests carry traceparent.",
    "/systemsharedmemory/{rest:path}": "There is no shared memory here; send binary tensors.",
    "/cudasharedmemory/{rest:path}": "There is no shared memory here; send binary tensors.",
}
"""The routes of extensions that are absent, and what their callers are told."""


def add_every_statistics(router: APIRouter, statistics: Callable[[], Any]) -> None:
    """Add the statistics of all models, before any route that takes `stats` for a model's name."""

    @router.get("/models/stats", include_in_schema=False)
    async def every_statistics() -> Any:
        """Tell how many answers were given, and the time of their stages."""
        return statistics()


def add_extensions(router: APIRouter, spec: ModelSpec, health: HealthChecks) -> None:
    """Add the routes of V2 that are of the process, after those that are asked more often."""

    @router.post("/repository/index", include_in_schema=False)
    async def repository_index() -> list[dict[str, str]]:
        """List the model."""
        is_ready = health.is_ready
        state = "READY" if is_ready else "UNAVAILABLE"
        reason = "" if is_ready else "the service is not ready"
        return [{"name": spec.name, "version": spec.version, "state": state, "reason": reason}]

    for path, words in _ABSENT.items():
        router.add_api_route(path, _teller(words), methods=["GET", "POST"], include_in_schema=False)


def configuration(spec: ModelSpec) -> dict[str, Any]:
    """Return what Triton calls the model's configuration; shapes include the rows."""
    return {
        "name": spec.name,
        "platform": spec.platform,
        "backend": "python",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": [spec.version]}},
        "input": [_configured(tensor) for tensor in spec.inputs],
        "output": [_configured(tensor) for tensor in spec.outputs],
    }


def _configured(tensor: TensorSpec) -> dict[str, Any]:
    kind = _TYPES.get(tensor.datatype, f"TYPE_{tensor.datatype}")
    return {"name": tensor.name, "data_type": kind, "dims": list(tensor.shape)}


def _teller(words: str) -> Any:
    async def tell() -> None:
        raise Problem(404, words, type="no-extension")

    return tell
