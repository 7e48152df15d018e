"""The routes of the Open Inference Protocol, version 2, with tensors in JSON or binary."""

from collections.abc import Mapping
from time import perf_counter
from typing import Annotated, Any, Protocol

import orjson
from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from starlette.types import Scope

from service_kit.binary_tensors import packed
from service_kit.bodies import json_body, require_json
from service_kit.deadline import Deadline
from service_kit.health import HealthChecks
from service_kit.inference_answers import (
    InferStatistics,
    ModelInferResponse,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    ModelStatisticsResponse,
    ServerLive,
    ServerMetadata,
    ServerReady,
    StatisticDuration,
    TensorMetadata,
)
from service_kit.inference_extensions import (
    EXTENSIONS,
    add_every_statistics,
    add_extensions,
    configuration,
)
from service_kit.problem import JSON, Problem, problems, shown
from service_kit.stages import Stages
from service_kit.tensors import (
    BINARY,
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
    body = _described_body(model.spec)
    add_every_statistics(router, lambda: _statistics(model.spec, stages))
    tried_name, tried_version = _tried_with(model.spec.name), _tried_with(model.spec.version)

    async def named(model_name: Annotated[str, tried_name]) -> ModelSpec:
        return _find(model, model_name, None)

    async def versioned(
        model_name: Annotated[str, tried_name], model_version: Annotated[str, tried_version]
    ) -> ModelSpec:
        return _find(model, model_name, model_version)

    for path, named_by, prefix in (
        ("/models/{model_name}", named, "model"),
        ("/models/{model_name}/versions/{model_version}", versioned, "model_version"),
    ):
        # First, for it is asked most, and each route before it has to be matched.
        @router.post(
            path + "/infer",
            name=f"{prefix}_infer",
            responses={**problems(404, of=JSON), 200: {"model": ModelInferResponse}},
            openapi_extra=body,
        )
        async def model_infer(
            request: Request, spec: Annotated[ModelSpec, Depends(named_by)]
        ) -> Response:
            """Answer tensors with tensors."""
            scope = request.scope
            _require_tensors(scope)
            most = model.max_rows
            began = perf_counter()

            def read() -> tuple[str | None, dict[str, Tensor], dict[str, bool]]:
                asked, binary = read_request(scope["body"], scope["fields"], most)
                inputs = check_inputs(asked.inputs, binary, spec.inputs, most)
                return asked.id, inputs, check_outputs(asked, spec.outputs)

            is_large = len(scope["body"]) > LARGE_BODY_BYTES
            name, inputs, wanted = (
                await threads.run(read, deadline=scope["deadline"]) if is_large else read()
            )
            decoded = perf_counter()
            given = await model.infer(inputs, frozenset(wanted), scope["deadline"])
            computed = perf_counter()
            answer = _answer(spec, name or scope["request_id"].decode(), given, wanted)
            stages.observe(began, decoded, computed, perf_counter())
            return answer

        @router.get(
            path,
            name=f"{prefix}_metadata",
            responses=problems(404, of=JSON),
            response_model_exclude_none=True,
        )
        async def model_metadata(spec: Annotated[ModelSpec, Depends(named_by)]) -> ModelMetadata:
            """Tell the model's inputs and outputs."""
            return _metadata(spec)

        @router.get(
            path + "/ready",
            name=f"{prefix}_ready",
            responses={**problems(404, of=JSON), 503: {"model": ModelReady}},
        )
        async def model_ready(
            spec: Annotated[ModelSpec, Depends(named_by)], response: Response
        ) -> ModelReady:
            """Say whether the model wants requests; 503 if not."""
            return ModelReady(name=spec.name, ready=_is_ready(health, response))

        @router.get(path + "/stats", name=f"{prefix}_statistics", responses=problems(404, of=JSON))
        async def model_statistics(
            spec: Annotated[ModelSpec, Depends(named_by)],
        ) -> ModelStatisticsResponse:
            """Tell how many answers were given, and the time of their stages."""
            return _statistics(spec, stages)

        @router.get(path + "/config", include_in_schema=False)
        async def model_configuration(
            spec: Annotated[ModelSpec, Depends(named_by)],
        ) -> dict[str, Any]:
            """Tell the model's tensors in the words of Triton's model configuration."""
            return configuration(spec)

    _add_server(router, health)
    add_extensions(router, model.spec, health)
    app.include_router(router)


def _add_server(router: APIRouter, health: HealthChecks) -> None:
    about = health.about["build"]

    @router.get("")
    async def server_metadata() -> ServerMetadata:
        """Say what this server is."""
        return ServerMetadata(
            name=about["name"], version=about["version"], extensions=[*EXTENSIONS]
        )

    @router.get("/health/live")
    async def server_live() -> ServerLive:
        """Say that the server answers."""
        return ServerLive()

    @router.get("/health/ready", responses={503: {"model": ServerReady}})
    async def server_ready(response: Response) -> ServerReady:
        """Say whether the server wants requests; 503 if not."""
        return ServerReady(ready=_is_ready(health, response))


def _tried_with(value: str) -> Any:
    """Return a part of a path, with the value that the documentation tries."""
    return Path(openapi_examples={"served": {"value": value}})


def _described_body(spec: ModelSpec) -> dict[str, Any]:
    body = json_body(InferRequest)
    if spec.example is not None:
        body["requestBody"]["content"]["application/json"]["example"] = spec.example
    return body


def _require_tensors(scope: Scope) -> None:
    """Refuse a request that declares its body to be neither JSON nor binary tensors after JSON."""
    if BINARY not in scope["fields"]:
        require_json(scope)


def _find(model: InferenceModel, name: str, version: str | None) -> ModelSpec:
    spec = model.spec
    if name != spec.name:
        raise Problem(404, f"No model {shown(name)!r} here, only {spec.name!r}.", type="no-model")
    if version not in {None, spec.version}:
        detail = f"No version {shown(version)!r} of {name} here, only {spec.version!r}."
        raise Problem(404, detail, type="no-model")
    return spec


def _metadata(spec: ModelSpec) -> ModelMetadata:
    return ModelMetadata(
        name=spec.name,
        versions=[spec.version],
        platform=spec.platform,
        inputs=[_described(tensor) for tensor in spec.inputs],
        outputs=[_described(tensor) for tensor in spec.outputs],
    )


def _described(tensor: TensorSpec) -> TensorMetadata:
    parameters = dict(tensor.parameters) if tensor.parameters else None
    return TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, parameters=parameters
    )


def _statistics(spec: ModelSpec, stages: Stages) -> ModelStatisticsResponse:
    """Return those members of Triton's statistics extension that are counted here."""
    count, seconds = stages.answers, stages.seconds

    def spent(*names: str) -> StatisticDuration:
        ns = round(sum(seconds[name] for name in names) * 1e9)
        return StatisticDuration(count=count, ns=ns)

    told = InferStatistics(
        success=spent("decode", "compute", "encode"),
        compute_input=spent("decode"),
        compute_infer=spent("compute"),
        compute_output=spent("encode"),
    )
    one = ModelStatistics(name=spec.name, version=spec.version, inference_stats=told)
    return ModelStatisticsResponse(model_stats=[one])


def _is_ready(health: HealthChecks, response: Response) -> bool:
    """Return whether the service is ready; the response gets the status that says so."""
    is_ready = health.is_ready
    response.status_code = 200 if is_ready else 503
    return is_ready


def _answer(spec: ModelSpec, name: str, given: Inferred, as_binary: Mapping[str, bool]) -> Response:
    """Return an answer whose binary tensors stand behind its JSON document."""
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for tensor in spec.outputs:
        if tensor.name not in given.outputs:
            continue
        shape, data = given.outputs[tensor.name].shape, given.outputs[tensor.name].data
        told = {"name": tensor.name, "datatype": tensor.datatype, "shape": shape}
        if as_binary[tensor.name]:
            parts.append(packed(data, tensor.datatype))
            outputs.append(told | {"parameters": {"binary_data_size": len(parts[-1])}})
        else:
            outputs.append(told | {"data": data})
    content = {
        "model_name": spec.name,
        "model_version": spec.version,
        "id": name,
        "parameters": given.parameters,
        "outputs": outputs,
    }
    document = orjson.dumps(content)
    if not parts:
        return Response(document, media_type="application/json")
    fields = {"Inference-Header-Content-Length": str(len(document))}
    return Response(
        b"".join((document, *parts)), headers=fields, media_type="application/octet-stream"
    )
