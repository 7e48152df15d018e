"""The values of the Open Inference Protocol, and the checks of an inference request, without I/O.

A `ModelSpec` describes a model's inputs and outputs. The names, datatypes, shapes and numbers of
elements in a request must match it.
Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service_kit.bodies import limit_rows, read_json
from service_kit.problem import Problem, invalid, shown

Datatype = Literal["BOOL", "BYTES", "FP64", "INT64"]
_PYTHON_TYPES: Mapping[str, frozenset[type]] = {
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
    "FP64": frozenset({int, float}),
    "INT64": frozenset({int}),
}
MAX_NAME = 200
PACKED_AT_ONCE = 100_000
"""Numbers that are packed in one step: two million would hold up the event loop for 60 ms, though
they are packed in a thread."""
Name = Annotated[str, Field(max_length=MAX_NAME)]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The description of one input or output; -1 in the shape allows any size.

    `accepts` names other datatypes that are taken as if they were `datatype`.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    accepts: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The description of a model, as its metadata route gives it.

    Attributes:
        example: a good inference request, for the documentation.
    """

    name: str
    version: str
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A shape, and elements in row-major order; a request's FP64 elements are an `array("d")`."""

    shape: tuple[int, ...]
    data: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Inferred:
    """A model's answer: outputs by name, and parameters, such as the digest of the model."""

    outputs: Mapping[str, Tensor]
    parameters: Mapping[str, Any]


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


def read_request(body: bytes, fields: Mapping[bytes, bytes], max_rows: int) -> InferRequest:
    """Parse an inference request in JSON; `fields` are the header fields.

    Raises:
        Problem: 400 for a body that is not JSON, 413 for more lists and objects than the rows can
            need, 415 for binary tensors, 422 for a document that is no inference request.
    """
    if b"inference-header-content-length" in fields:
        raise Problem(415, "Binary tensors are not taken; send JSON tensors.", type="not-json")
    document = read_json(body, max_rows)
    try:
        return InferRequest.model_validate(document)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from error


def check_inputs(
    given: Sequence[RequestInput], specs: Sequence[TensorSpec], max_rows: int
) -> dict[str, Tensor]:
    """Return the inputs by name, each checked against its specification.

    Raises:
        Problem: 413 for too many rows, 422 that names the input.
    """
    names = [each.name for each in given]
    known = [spec.name for spec in specs]
    if sorted(names) != sorted(known):
        raise _refused(f"inputs are {shown(', '.join(names))}; they must be {', '.join(known)}")
    by_name = {each.name: each for each in given}
    return {spec.name: _check(by_name[spec.name], spec, max_rows) for spec in specs}


def check_outputs(
    asked: Sequence[RequestOutput] | None, specs: Sequence[TensorSpec]
) -> frozenset[str]:
    """Return the names of the outputs to give: those that are asked for, or all if none are.

    Raises:
        Problem: 422 that names an output which does not exist.
    """
    known = frozenset(spec.name for spec in specs)
    wanted = frozenset(output.name for output in asked) if asked else known
    if unknown := wanted - known:
        raise _refused(f"no output {shown(min(unknown))!r}; there are {', '.join(sorted(known))}")
    return wanted


def _check(given: RequestInput, spec: TensorSpec, max_rows: int) -> Tensor:
    where = f"input {spec.name}"
    if given.datatype != spec.datatype and given.datatype not in spec.accepts:
        raise _refused(f"{where}: datatype {shown(given.datatype)!r}, must be {spec.datatype}")
    shape = tuple(given.shape)
    fits = len(shape) == len(spec.shape) and all(
        want in {-1, size} for size, want in zip(shape, spec.shape, strict=True)
    )
    if not fits:
        raise _refused(f"{where}: shape {list(shape)}, must be {list(spec.shape)}")
    limit_rows(shape[0], max_rows)
    return Tensor(shape, _elements(given.data, shape, spec, where))


def _elements(
    data: list[Any], shape: tuple[int, ...], spec: TensorSpec, where: str
) -> Sequence[Any]:
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
    return _packed(flat) if spec.datatype == "FP64" else flat


def _packed(numbers: list[Any]) -> "array[float]":
    """Return numbers in 8 bytes each, not a list's 32: a request may wait long for its turn."""
    packed = array("d")
    for start in range(0, len(numbers), PACKED_AT_ONCE):
        packed.extend(numbers[start : start + PACKED_AT_ONCE])
    return packed


def _refused(detail: str) -> Problem:
    return Problem(422, detail, type="invalid-tensor")
