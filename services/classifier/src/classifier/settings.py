"""Settings of the classifier: the environment at its start, a Nacos document while it runs."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from service_kit import ModelSettings, Port, ServiceName

DATA_ID = "car-evaluation"


def _origins(value: object) -> object:
    """Split a JSON list, or names with commas between."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return json.loads(value)
    return [origin.strip() for origin in value.split(",")]


Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/*\s]+)$")]


class ClassifierSettings(ModelSettings):
    """Environment of the classifier."""

    service_name: ServiceName = "car-evaluation"
    port: Port = 8001
    cors_origins: Annotated[
        tuple[Origin, ...],
        BeforeValidator(_origins),
        Field(validation_alias="BACKEND_CORS_ORIGINS"),
    ] = ()
    """Origins whose pages may call, such as `https://cars.example`; `*` is all."""
    model_version: Annotated[
        str, Field(validation_alias="MODEL_VERSION", pattern=r"^\d+\.\d+\.\d+$")
    ] = ""
    """Version of the packaged model to serve; empty for the version that the package names."""


class Batching(BaseModel):
    """Bounds of the estimator engine's batches."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 4096
    """Rows of one run of the estimator, unless one request alone has more."""
    queue_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Rows that may wait for the estimator; a caller with more gets 503 and `Retry-After`."""


class Audit(BaseModel):
    """Settings of the audit log of inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    enabled: bool = False
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of requests that are logged, evenly spread."""
    max_rows: Annotated[int, Field(ge=1, le=1000)] = 20
    """Rows of a request that its event shows."""


class ServingConfig(BaseModel):
    """The Nacos document `car-evaluation`; without a document these defaults are in force."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    engine: Literal["table", "estimator"] = "table"
    max_rows: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    """Rows that one request may have."""
    batching: Batching = Batching()
    audit: Audit = Audit()
