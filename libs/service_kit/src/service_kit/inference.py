"""The routes of the Open Inference Protocol, version 2, over JSON: the protocol of V2 clients."""

from collections.abc import Mapping
from time import perf_counter
from typing import Annotated, Any, Protocol

import orjson
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response

from service_kit.bodies import json_body, require_json
from service_kit.deadline import Deadline
from service_kit.health import HealthChecks
from service_kit.problem import Problem, problems, shown
from service_kit.stages import Stages
from service_kit.tensors import (
    Inferred,
    InferRequest,
    ModelSpec,
    Tensor,
    TensorSpec,
    check_inputs,
    check_outputs,
    read_request,
)
from service_kit.thread_pool import ThreadPool

LARGE_BODY_BYTES = 64 * 1024
"""Bytes of the largest body that the event loop reads itself, in about a millisecond."""


class InferenceModel(Protocol):
    """A model that answers inference requests."""

    @property
    def spec(self) -> ModelSpec:
        """Name, version, inputs and outputs of the model."""

    @property
    def max_rows(self) -> int:
        """Rows that one request may have now; rows are a tensor's first dimension."""

    async def infer(
        self, inputs: Mapping[str, Tensor], outputs: frozenset[str], deadline: Deadline
    ) -> Inferred:
        """Return the outputs that the request asks for.

        Args:
            inputs: each input of `spec` by its name, of a shape that `spec` allows.
            outputs: names of the outputs to return.
            deadline: moment after which nobody waits for the answer.
        """


def add_inference(
    app: FastAPI, model: InferenceModel, health: HealthChecks, threads: ThreadPool, stages: Stages
) -> None:
    """Add the protocol's routes for one model.

    Args:
        app: gets the routes.
        model: answers the requests.
        health: names the service, and says whether it is ready.
        threads: pool that reads large bodies.
        stages: counts of the answers.
    """
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    about = health.about["build"]
    body = _described_body(model.spec)
    named, versioned = _tried_with(model.spec.name), _tried_with(model.spec.version)
    places = (
        ("/models/{model_name}", Depends(lambda: None)),
        ("/models/{model_name}/versions/{model_version}", versioned),
    )

    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        return {"name": about["name"], "version": about["version"], "extensions": ["statistics"]}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", responses={503: {"description": "Not ready"}})
    async def ready() -> Response:
        return _ready({}, health)

    for path, version in places:

        @router.get(path, responses=problems(404))
        async def model_metadata(
            model_name: Annotated[str, named], model_version: Annotated[str | None, version]
        ) -> Response:
            spec = _find(model, model_name, model_version)
            return Response(orjson.dumps(_metadata(spec)), media_type="application/json")

        @router.get(path + "/ready", responses=problems(404))
        async def model_ready(
            model_name: Annotated[str, named], model_version: Annotated[str | None, version]
        ) -> Response:
            return _ready({"name": _find(model, model_name, model_version).name}, health)

        @router.get(path + "/stats", responses=problems(404))
        async def statistics(
            model_name: Annotated[str, named], model_version: Annotated[str | None, version]
        ) -> Response:
            spec = _find(model, model_name, model_version)
            return Response(orjson.dumps(_statistics(spec, stages)), media_type="application/json")

        @router.post(path + "/infer", responses=problems(404), openapi_extra=body)
        async def infer(
            request: Request,
            model_name: Annotated[str, named],
            model_version: Annotated[str | None, version],
        ) -> Response:
            spec = _find(model, model_name, model_version)
            scope = request.scope
            require_json(scope)
            most = model.max_rows
            began = perf_counter()

            def read() -> tuple[str | None, dict[str, Tensor], frozenset[str]]:
                asked = read_request(scope["body"], scope["fields"], most)
                inputs = check_inputs(asked.inputs, spec.inputs, most)
                return asked.id, inputs, check_outputs(asked.outputs, spec.outputs)

            is_large = len(scope["body"]) > LARGE_BODY_BYTES
            name, inputs, wanted = (
                await threads.run(read, deadline=scope["deadline"]) if is_large else read()
            )
            decoded = perf_counter()
            given = await model.infer(inputs, wanted, scope["deadline"])
            computed = perf_counter()
            answer = _answer(spec, name or scope["request_id"].decode(), given)
            stages.observe(began, decoded, computed, perf_counter())
            return answer

    app.include_router(router)


def _tried_with(value: str) -> Any:
    """Return a part of a path, with the value that the documentation tries."""
    return Path(openapi_examples={"served": {"value": value}})


def _described_body(spec: ModelSpec) -> dict[str, Any]:
    body = json_body(InferRequest)
    if spec.example is not None:
        body["requestBody"]["content"]["application/json"]["example"] = spec.example
    return body


def _find(model: InferenceModel, name: str, version: str | None) -> ModelSpec:
    spec = model.spec
    if name != spec.name:
        raise Problem(404, f"No model {shown(name)!r} here, only {spec.name!r}.", type="no-model")
    if version not in {None, spec.version}:
        detail = f"No version {shown(version)!r} of {name} here, only {spec.version!r}."
        raise Problem(404, detail, type="no-model")
    return spec


def _metadata(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "versions": [spec.version],
        "platform": spec.platform,
        "inputs": [_described(tensor) for tensor in spec.inputs],
        "outputs": [_described(tensor) for tensor in spec.outputs],
    }


def _statistics(spec: ModelSpec, stages: Stages) -> dict[str, Any]:
    """Return those members of Triton's statistics extension that are counted here.

    Source: github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
    """
    count, seconds = stages.answers, stages.seconds

    def spent(*names: str) -> dict[str, int]:
        return {"count": count, "ns": round(sum(seconds[name] for name in names) * 1e9)}

    told = {
        "success": spent("decode", "compute", "encode"),
        "compute_input": spent("decode"),
        "compute_infer": spent("compute"),
        "compute_output": spent("encode"),
    }
    one = {"name": spec.name, "version": spec.version, "inference_stats": told}
    return {"model_stats": [one]}


def _described(tensor: TensorSpec) -> dict[str, Any]:
    described = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    return described | ({"parameters": tensor.parameters} if tensor.parameters else {})


def _ready(body: Mapping[str, Any], health: HealthChecks) -> Response:
    is_ready, _ = health.report()
    content = orjson.dumps({**body, "ready": is_ready})
    return Response(content, 200 if is_ready else 503, media_type="application/json")


def _answer(spec: ModelSpec, name: str, given: Inferred) -> Response:
    outputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": given.outputs[tensor.name].shape,
            "data": given.outputs[tensor.name].data,
        }
        for tensor in spec.outputs
        if tensor.name in given.outputs
    ]
    content = {
        "model_name": spec.name,
        "model_version": spec.version,
        "id": name,
        "parameters": given.parameters,
        "outputs": outputs,
    }
    return Response(orjson.dumps(content), media_type="application/json")
