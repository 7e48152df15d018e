"""The values of the Open Inference Protocol, and the checks of an inference request, without I/O.

A `ModelSpec` describes a model's inputs and outputs. The names, datatypes, shapes and numbers of
elements in a request must match it.
Source: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from service_kit.binary_tensors import unpacked
from service_kit.bodies import limit_rows, read_json
from service_kit.datatypes import Datatype, converted, inexact, is_taken, misfit
from service_kit.problem import Problem, invalid, shown

MAX_NAME = 200
BINARY = b"inference-header-content-length"
"""The field whose value is the number of bytes of the JSON document before binary tensors."""
UNAVAILABLE = ("classification", "shared_memory_region")
"""Parameters of Triton's extensions that ask for something else than what the model gives."""
Name = Annotated[str, Field(max_length=MAX_NAME)]
Parameters = Annotated[
    dict[str, Any], BeforeValidator(lambda given: {} if given is None else given)
]
"""Parameters of a request or a tensor; clients that have none also send null."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """The description of one input or output; -1 in the shape allows any size."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
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
    """A shape, and elements in row-major order.

    A request's FP64 elements are an `array("d")`, and may be NaN or infinite if they came as a
    binary tensor; its BYTES elements may be `Categorical`.
    """

    shape: tuple[int, ...]
    data: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Inferred:
    """A model's answer: outputs by name, and parameters, such as the digest of the model."""

    outputs: Mapping[str, Tensor]
    parameters: Mapping[str, Any]


class RequestInput(BaseModel):
    """One input tensor of a request; `data` is flat or nested, or follows as a binary tensor."""

    model_config = ConfigDict(strict=True)

    name: Name
    shape: Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=20)]
    parameters: Parameters = {}
    data: list[Any] = []


class RequestOutput(BaseModel):
    """One output that is asked for."""

    name: Name
    parameters: Parameters = {}


class InferRequest(BaseModel):
    """An inference request."""

    id: Name | None = None
    parameters: Parameters = {}
    inputs: Annotated[list[RequestInput], Field(max_length=100)]
    outputs: Annotated[list[RequestOutput], Field(max_length=100)] | None = None


def read_request(
    body: bytes, fields: Mapping[bytes, bytes], max_rows: int
) -> tuple[InferRequest, bytes]:
    """Parse an inference request; return it, and the bytes of its binary tensors.

    Args:
        body: a JSON document, and binary tensors if there are any.
        fields: header fields, of which `BINARY` says where the document ends.
        max_rows: rows that one request may have now.

    Raises:
        Problem: 400 for a body that is not JSON, 413 for more lists and objects than the rows can
            need, 422 for a document that is no inference request.
    """
    length = fields.get(BINARY)
    size = len(body) if length is None else _header_length(length, len(body))
    document = read_json(body[:size], max_rows)
    try:
        return InferRequest.model_validate(document), body[size:]
    except ValidationError as error:
        raise invalid(error.errors(include_url=False)) from error


def check_inputs(
    given: Sequence[RequestInput], binary: bytes, specs: Sequence[TensorSpec], max_rows: int
) -> dict[str, Tensor]:
    """Return the inputs by name, each checked against its specification.

    Args:
        given: the tensors as the document describes them.
        binary: the binary tensors, in the order of `given`.
        specs: the model's inputs.
        max_rows: rows that one request may have now.

    Raises:
        Problem: 413 for too many rows, 422 that names the input.
    """
    names = [each.name for each in given]
    known = [spec.name for spec in specs]
    if sorted(names) != sorted(known):
        raise _refused(f"inputs are {shown(', '.join(names))}; they must be {', '.join(known)}")
    parts = _parts(given, binary)
    by_name = {each.name: each for each in given}
    return {
        spec.name: _check(by_name[spec.name], parts.get(spec.name), spec, max_rows)
        for spec in specs
    }


def check_outputs(request: InferRequest, specs: Sequence[TensorSpec]) -> dict[str, bool]:
    """Return the names of the outputs to give, and whether each is to be a binary tensor.

    They are those that are asked for, or all if none are.

    Raises:
        Problem: 422 that names an output which does not exist or cannot be given so.
    """
    as_binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return {spec.name: as_binary for spec in specs}
    known = frozenset(spec.name for spec in specs)
    wanted = {
        output.name: output.parameters.get("binary_data", as_binary) is True
        for output in request.outputs
    }
    if unknown := wanted.keys() - known:
        raise _refused(f"no output {shown(min(unknown))!r}; there are {', '.join(sorted(known))}")
    for output in request.outputs:
        if asked := next((each for each in UNAVAILABLE if output.parameters.get(each)), None):
            raise _refused(f"output {output.name}: there is no {asked} here; ask without it")
    return wanted


def _header_length(value: bytes, size: int) -> int:
    """Return the bytes of the document before binary tensors.

    Raises:
        Problem: 400 for something else than a number of at most `size`, which the body has.
    """
    if not value.isdigit() or len(value) > len("600000000") or int(value) > size:
        detail = (
            f"Inference-Header-Content-Length is {shown(value.decode('latin-1'))!r}; it must be the"
            f" number of bytes of the JSON document, of the {size} that the body has."
        )
        raise Problem(400, detail, type="invalid-tensor")
    return int(value)


def _parts(given: Sequence[RequestInput], binary: bytes) -> dict[str, bytes]:
    """Return the binary tensors by name.

    Raises:
        Problem: 422 for sizes that are not those of the tensors.
    """
    parts: dict[str, bytes] = {}
    at = 0
    for each in given:
        size = each.parameters.get("binary_data_size")
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            detail = f"{shown(size)} is not the size of a part of the {len(binary) - at} bytes left"
            raise _refused(f"input {each.name}: binary_data_size {detail}")
        parts[each.name] = binary[at : at + size]
        at += size
    if at != len(binary):
        raise _refused(f"{len(binary) - at} bytes after the binary tensors belong to no input")
    return parts


def _check(given: RequestInput, binary: bytes | None, spec: TensorSpec, max_rows: int) -> Tensor:
    where = f"input {spec.name}"
    if not is_taken(given.datatype, spec.datatype):
        raise _refused(f"{where}: datatype {shown(given.datatype)!r}, must be {spec.datatype}")
    shape = _fitted(tuple(given.shape), spec.shape)
    if shape is None:
        raise _refused(f"{where}: shape {list(given.shape)}, must be {list(spec.shape)}")
    limit_rows(shape[0], max_rows)
    if (binary is None) != ("data" in given.model_fields_set):
        raise _refused(f"{where}: must have either data or, as a binary tensor, binary_data_size")
    data = (
        _listed(given, where)
        if binary is None
        else _unpacked(binary, given.datatype, math.prod(shape), spec, where)
    )
    if (at := inexact(data, given.datatype, spec.datatype)) is not None:
        raise _refused(f"{where}: element {at} is {shown(data[at])!r}, which is no {spec.datatype}")
    return Tensor(shape, converted(data, given.datatype, spec.datatype))


def _fitted(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return a shape as a specification has it, or None if it does not fit.

    Columns are [n, 1] for some clients, as for MLServer's codecs, where the specification has [n].
    """
    if len(shape) > len(wanted) and set(shape[len(wanted) :]) == {1}:
        shape = shape[: len(wanted)]
    fits = len(shape) == len(wanted) and all(
        want in {-1, size} for size, want in zip(shape, wanted, strict=True)
    )
    return shape if fits else None


def _listed(given: RequestInput, where: str) -> list[Any]:
    """Return the elements of a tensor whose data are a list, flat or nested as its shape says."""
    shape = given.shape
    flat = given.data
    for size in shape[1:] if flat and isinstance(flat[0], list) else ():
        if any(not isinstance(part, list) or len(part) != size for part in flat):
            raise _refused(f"{where}: nested data does not have the shape {shape}")
        flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise _refused(f"{where}: {len(flat)} elements do not make the shape {shape}")
    if (at := misfit(flat, given.datatype)) is not None:
        raise _refused(f"{where}: element {at} is {shown(flat[at])!r}, not {given.datatype}")
    return flat


def _unpacked(
    binary: bytes, datatype: str, count: int, spec: TensorSpec, where: str
) -> Sequence[Any]:
    categories = (spec.parameters or {}).get("enum", ()) if datatype == "BYTES" else ()
    try:
        return unpacked(binary, datatype, count, categories)
    except ValueError as error:
        raise _refused(f"{where}: {error}") from error


def _refused(detail: str) -> Problem:
    return Problem(422, detail, type="invalid-tensor")
