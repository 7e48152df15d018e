"""What the clusterer is told: at its start by the environment, while it runs by Nacos."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from service_kit import Port, ProcessSettings, ServiceName

DATA_ID = "skl-kmeans"
MAX_CLUSTERS = 256
MAX_FIT_SECONDS = 30.0
"""No fit begins another start after so long, whether or not its caller named a deadline: some
configurations would hold a thread for far longer."""


class KMeansSettings(ProcessSettings):
    """Environment of the clusterer."""

    service_name: ServiceName = "skl-kmeans"
    port: Port = 9999
    fit_workers: Annotated[int, Field(validation_alias="FIT_WORKERS", ge=1, le=16)] = 2
    """Fits that run at once; each uses one thread."""
    fit_queue: Annotated[int, Field(validation_alias="FIT_QUEUE", ge=0, le=10_000)] = 64
    """Fits that may wait; past it a caller is told to come back."""


class ClusterConfig(BaseModel):
    """The Nacos document `skl-kmeans`; an absent one means these defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    clusters: Annotated[int, Field(ge=1, le=MAX_CLUSTERS)] = 3
    n_init: Annotated[int, Field(ge=1, le=100)] = 10
    """Starts of which the best counts. scikit-learn's own default is 1 since 1.4, which gives
    other and worse clusters; the published example needs 10."""
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 9
    max_points: Annotated[int, Field(ge=1, le=100_000)] = 10_000
