"""Settings of the classifier: the environment at its start, a Nacos document while it runs."""

from pathlib import Path
from typing import Annotated, Literal

from model_service import Batching, Live
from model_service.feedback import MAX_KEPT_ROWS
from pydantic import BaseModel, ConfigDict, Field
from service_kit import ModelSettings, Port, ServiceName

__all__ = ["DATA_ID", "Audit", "Batching", "ClassifierSettings", "ServingConfig"]

DATA_ID = "car-evaluation"


class ClassifierSettings(ModelSettings):
    """Environment of the classifier."""

    service_name: ServiceName = "car-evaluation"
    port: Port = 8001
    model_version: Annotated[
        str, Field(validation_alias="MODEL_VERSION", pattern=r"^\d+\.\d+\.\d+$")
    ] = ""
    """Version of the packaged model to serve; empty for the version that the package names."""
    audit_file: Annotated[Path | None, Field(validation_alias="AUDIT_FILE")] = None
    """File to which the events of the audit are appended, a JSON object in each line, instead of
    the log."""
    audit_url: Annotated[
        str | None, Field(validation_alias="AUDIT_URL", pattern=r"^https?://[^\s]+$")
    ] = None
    """Address to which the events of the audit are posted in batches, as JSON lines, instead of the
    log; AUDIT_FILE goes before it."""


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
    feedback_rows: Annotated[int, Field(ge=0, le=MAX_KEPT_ROWS)] = 0
    """Rows whose answers are kept until somebody tells the true classes; 0: none."""
