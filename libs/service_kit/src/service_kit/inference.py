"""The Open Inference Protocol, version 2, over JSON: what public V2 clients speak.

A model says in a `ModelSpec` what it takes and gives; that is what the metadata route tells and
what every request is held to: names, datatypes, shapes, and the number of elements.
Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Literal, Protocol

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service_kit.bodies import json_body
from service_kit.health import Health
from service_kit.problem import Problem, invalid, problems, shown

Datatype = Literal["BYTES", "FP64", "INT64"]
_PYTHON_TYPES: Mapping[str, frozenset[type]] = {
    "BYTES": frozenset({str}),
    "FP64": frozenset({int, float}),
    "INT64": frozenset({int}),
}
MAX_NAME = 200
Name = Annotated[str, Field(max_length=MAX_NAME)]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output; -1 in the shape is any size.

    `accepts` names other datatypes whose elements are as good.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    accepts: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the metadata of a model says."""

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Elements in row-major order, and their shape."""

    shape: tuple[int, ...]
    data: Sequence[Any]


class Model(Protocol):
    """What answers inference requests."""

    @property
    def spec(self) -> ModelSpec:
        """What it takes and gives, now."""

    async def infer(
        self, inputs: Mapping[str, Tensor], outputs: frozenset[str], deadline: float
    ) -> Mapping[str, Tensor]:
        """Return the outputs asked for; every declared input is given, of a declared shape."""


class RequestInput(BaseModel):
    """One input tensor of a request; `data` may be flat or nested."""

    model_config = ConfigDict(strict=True)

    name: Name
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=20)]
    parameters: dict[str, Any] = {}
    data: list[Any]


class RequestOutput(BaseModel):
    """One output that is asked for."""

    name: Name
    parameters: dict[str, Any] = {}


class InferRequest(BaseModel):
    """An inference request."""

    id: Name | None = None
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[RequestInput], Field(max_length=100)]
    outputs: Annotated[list[RequestOutput], Field(max_length=100)] | None = None


def add_inference(app: FastAPI, model: Model, health: Health) -> None:
    """Add the protocol's routes for one model."""
    router = APIRouter(prefix="/v2", tags=["open inference protocol"])
    about = health.about["build"]

    @router.get("")
    async def server_metadata() -> dict[str, Any]:
        return {"name": about["name"], "version": about["version"], "extensions": []}

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/health/ready", responses={503: {"description": "Not ready"}})
    async def ready() -> Response:
        return _ready({}, health)

    for path in ("/models/{model_name}", "/models/{model_name}/versions/{model_version}"):

        @router.get(path, responses=problems(404))
        async def model_metadata(model_name: str, model_version: str | None = None) -> Response:
            spec = _find(model, model_name, model_version)
            return Response(orjson.dumps(_metadata(spec)), media_type="application/json")

        @router.get(path + "/ready", responses=problems(404))
        async def model_ready(model_name: str, model_version: str | None = None) -> Response:
            return _ready({"name": _find(model, model_name, model_version).name}, health)

        @router.post(
            path + "/infer", responses=problems(404), openapi_extra=json_body(InferRequest)
        )
        async def infer(
            request: Request, model_name: str, model_version: str | None = None
        ) -> Response:
            spec = _find(model, model_name, model_version)
            asked = read_request(request.scope["body"], request.scope["headers"])
            inputs = check_inputs(asked.inputs, spec.inputs)
            wanted = check_outputs(asked.outputs, spec.outputs)
            given = await model.infer(inputs, wanted, request.scope["deadline"])
            return _answer(spec, asked, request.scope["request_id"].decode(), given)

    app.include_router(router)


def _find(model: Model, name: str, version: str | None) -> ModelSpec:
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


def _described(tensor: TensorSpec) -> dict[str, Any]:
    described = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    return described | ({"parameters": tensor.parameters} if tensor.parameters else {})


def _ready(body: Mapping[str, Any], health: Health) -> Response:
    is_ready, _ = health.report()
    content = orjson.dumps({**body, "ready": is_ready})
    return Response(content, 200 if is_ready else 503, media_type="application/json")


def read_request(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> InferRequest:
    """Read a JSON request.

    Raises:
        Problem: 400 for what is no JSON, 415 for binary tensors, 422 for another shape.
    """
    if any(name == b"inference-header-content-length" for name, _ in headers):
        raise Problem(415, "Binary tensors are not taken; send JSON tensors.", type="not-json")
    try:
        return InferRequest.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from error


def check_inputs(given: Sequence[RequestInput], specs: Sequence[TensorSpec]) -> dict[str, Tensor]:
    """Return the inputs by name, each as its specification says.

    Raises:
        Problem: 422 that names the input.
    """
    names = [each.name for each in given]
    known = [spec.name for spec in specs]
    if sorted(names) != sorted(known):
        raise _refused(f"inputs are {shown(', '.join(names))}; they must be {', '.join(known)}")
    by_name = {each.name: each for each in given}
    return {spec.name: _check(by_name[spec.name], spec) for spec in specs}


def check_outputs(
    asked: Sequence[RequestOutput] | None, specs: Sequence[TensorSpec]
) -> frozenset[str]:
    """Return the names of the outputs to give: those asked for, else all.

    Raises:
        Problem: 422 that names an output which does not exist.
    """
    known = frozenset(spec.name for spec in specs)
    wanted = frozenset(output.name for output in asked) if asked else known
    if unknown := wanted - known:
        raise _refused(f"no output {shown(min(unknown))!r}; there are {', '.join(sorted(known))}")
    return wanted


def _check(given: RequestInput, spec: TensorSpec) -> Tensor:
    where = f"input {spec.name}"
    if given.datatype != spec.datatype and given.datatype not in spec.accepts:
        raise _refused(f"{where}: datatype {shown(given.datatype)!r}, must be {spec.datatype}")
    shape = tuple(given.shape)
    fits = len(shape) == len(spec.shape) and all(
        want in {-1, size} for size, want in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise _refused(f"{where}: shape {list(shape)}, must be {list(spec.shape)}")
    return Tensor(shape, _elements(given.data, shape, spec, where))


def _elements(data: list[Any], shape: tuple[int, ...], spec: TensorSpec, where: str) -> list[Any]:
    flat = data
    for size in shape[1:] if data and isinstance(data[0], list) else ():
        if any(not isinstance(part, list) or len(part) != size for part in flat):
            raise _refused(f"{where}: nested data does not have the shape {list(shape)}")
        flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise _refused(f"{where}: {len(flat)} elements do not make the shape {list(shape)}")
    allowed = _PYTHON_TYPES[spec.datatype]
    if not set(map(type, flat)) <= allowed:
        at = next(i for i, element in enumerate(flat) if type(element) not in allowed)
        raise _refused(f"{where}: element {at} is {shown(flat[at])!r}, not {spec.datatype}")
    return flat


def _refused(detail: str) -> Problem:
    return Problem(422, detail, type="invalid-tensor")


def _answer(
    spec: ModelSpec, asked: InferRequest, request_id: str, given: Mapping[str, Tensor]
) -> Response:
    outputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": given[tensor.name].shape,
            "data": given[tensor.name].data,
        }
        for tensor in spec.outputs
        if tensor.name in given
    ]
    content = {
        "model_name": spec.name,
        "model_version": spec.version,
        "id": asked.id or request_id,
        "outputs": outputs,
    }
    return Response(orjson.dumps(content), media_type="application/json")
