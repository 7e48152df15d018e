"""Settings of the clusterer: the environment at its start, a Nacos document while it runs."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from service_kit import ModelSettings, Port, ServiceName

DATA_ID = "skl-kmeans"
MAX_CLUSTERS = 256


class KMeansSettings(ModelSettings):
    """Environment of the clusterer."""

    service_name: ServiceName = "skl-kmeans"
    port: Port = 9999
    fit_workers: Annotated[int, Field(validation_alias="FIT_WORKERS", ge=1, le=16)] = 2
    """Fits that run at once; each uses one thread."""
    fit_queue: Annotated[int, Field(validation_alias="FIT_QUEUE", ge=0, le=10_000)] = 64
    """Fits that may wait for a thread; a further caller gets 503 and `Retry-After`."""


class ClusterConfig(BaseModel):
    """The Nacos document `skl-kmeans`; without a document these defaults are in force."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    clusters: Annotated[int, Field(ge=1, le=MAX_CLUSTERS)] = 3
    n_init: Annotated[int, Field(ge=1, le=100)] = 10
    """Starts of a fit, the best of which counts. scikit-learn's own default is 1 since 1.4, which
    gives other and worse clusters; the published example needs 10."""
    random_state: Annotated[int, Field(ge=0, lt=2**32)] = 9
    max_points: Annotated[int, Field(ge=1, le=100_000)] = 10_000
