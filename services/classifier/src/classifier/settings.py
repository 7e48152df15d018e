"""Settings of the classifier: the environment at its start, a Nacos document while it runs."""

import json
from typing import Annotated, Literal

from model_service import Batching, Live
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from service_kit import ModelSettings, Port, ServiceName

__all__ = ["DATA_ID", "Audit", "Batching", "ClassifierSettings", "ServingConfig"]

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


class Audit(BaseModel):
    """Settings of the audit log of inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    enabled: bool = False
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of requests that are logged, evenly spread."""
    max_rows: Annotated[int, Field(ge=1, le=1000)] = 20
    """Rows of a request that its event shows."""


class ServingConfig(Live):
    """The Nacos document `car-evaluation`; without a document these defaults are in force."""

    engine: Literal["table", "estimator"] = "table"
    audit: Audit = Audit()
