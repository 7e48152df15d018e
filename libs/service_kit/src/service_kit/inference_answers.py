"""The answers of the Open Inference Protocol, version 2, beside those that are problems.

The classes have the names of the protocol's gRPC messages.
Sources: github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md;
github.com/triton-inference-server/server, docs/protocol/extension_statistics.md.
"""

from typing import Any

from pydantic import BaseModel

from service_kit.datatypes import Datatype


class ServerLive(BaseModel):
    """That the server answers."""

    live: bool = True


class ServerReady(BaseModel):
    """That the server wants requests; false with status 503."""

    ready: bool


class ServerMetadata(BaseModel):
    """Name and version of the program, and the protocol's extensions that it has."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or output; -1 in the shape is any size, `parameters` have what values may be."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: dict[str, Any] | None = None


class ModelMetadata(BaseModel):
    """A model with its inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ModelReady(BaseModel):
    """That the model wants requests; false with status 503."""

    name: str
    ready: bool


class StatisticDuration(BaseModel):
    """How often something was done, and the nanoseconds that were spent on all of it."""

    count: int
    ns: int


class InferStatistics(BaseModel):
    """The time of all answers, and of each of their stages."""

    success: StatisticDuration
    compute_input: StatisticDuration
    compute_infer: StatisticDuration
    compute_output: StatisticDuration


class ModelStatistics(BaseModel):
    """The statistics of one version of a model; Triton's have more members."""

    name: str
    version: str
    inference_stats: InferStatistics


class ModelStatisticsResponse(BaseModel):
    """The statistics of each version that is served."""

    model_stats: list[ModelStatistics]


class InferOutputTensor(BaseModel):
    """One output of an answer; `data` is flat, in row-major order."""

    name: str
    datatype: Datatype
    shape: list[int]
    data: list[Any]


class ModelInferResponse(BaseModel):
    """The outputs for an inference request; `id` is the request's, or else its request id."""

    model_name: str
    model_version: str
    id: str
    parameters: dict[str, Any]
    outputs: list[InferOutputTensor]
