"""The declaration of a model service: its name, settings and document, and what it is built of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from service_kit import HealthChecks, ModelSettings, ThreadPool, Tracer
from starlette.types import ASGIApp

from model_service.batcher import Batching

C = TypeVar("C")

MAX_ROWS = 10_000


class Live(BaseModel):
    """The Nacos document of a model service; without a document its defaults are in force."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max_rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] = MAX_ROWS
    """Rows that one request may have."""
    batching: Batching = Batching()


@dataclass(frozen=True, slots=True)
class InForce(Generic[C]):
    """The configuration in force, and its version."""

    config: C
    version: str


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service that its application is built on.

    Attributes:
        config: returns the configuration in force.
        in_force: returns the same with its version; a request reads it once and keeps to it.
        health: state of the service.
        threads: pool for work that would block the event loop.
        settings: the environment, an instance of the declaration's `Settings`.
        tracer: makes the spans of requests; None makes none.
    """

    config: Callable[[], Any]
    in_force: Callable[[], InForce[Any]]
    health: HealthChecks
    threads: ThreadPool
    settings: Any
    tracer: Tracer | None = None


def instance_metadata(
    settings: ModelSettings,
    model_version: str,
    config_version: str | None,
    *,
    version: str,
    path: str,
) -> dict[str, str]:
    """Return the metadata of an instance in Nacos that the gateway and callers read.

    Args:
        settings: the environment.
        model_version: version of the model.
        config_version: version of the document in force; None without a document.
        version: version of the program.
        path: path of the POST route that callers may repeat.
    """
    return {
        "version": version,
        "model_version": model_version,
        "config": config_version or "default",
        "protocol": "http",
        "gateway.idempotent": f"POST {path}",
        "gateway.timeout": f"{settings.timeout_seconds:g}",
    }


class ModelService:
    """A model service with an HTTP interface of its own; `model_service.main` runs it.

    Attributes:
        name: name of the service in Nacos, of its document and of the model in V2.
        version: version of the program.
        port: TCP port, where PORT does not say another one.
        path: path of the POST route that callers may repeat.
        Settings: the environment; a subclass adds variables.
        Config: the Nacos document `name`, which may change while the service runs.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    port: ClassVar[int]
    path: ClassVar[str] = "/api/v1/predict"
    Settings: ClassVar[type[ModelSettings]] = ModelSettings
    Config: ClassVar[type[BaseModel]] = Live

    @classmethod
    def load(cls, settings: Any) -> Self:  # noqa: ARG003 - for those who need it
        """Return the model, loaded; `settings` is an instance of `Settings`.

        Whatever this raises ends the process with exit code 4 before it is announced.
        """
        return cls()

    @property
    def model_version(self) -> str:
        """Version of the model, which labels metrics."""
        return self.version

    @property
    def about(self) -> dict[str, str]:
        """Facts of the model for /readyz and /actuator/info; without any, there is no such part."""
        return {}

    def threads(self, settings: Any) -> ThreadPool:  # noqa: ARG002 - for those who need it
        """Return the pool that reads large bodies."""
        return ThreadPool("rows", threads=1, queue_limit=64)

    def check(self) -> None:
        """Check that the model answers right on this machine; runs in a thread.

        Whatever this raises ends the process with exit code 4 before it is announced.
        """

    def metadata(self, settings: Any, config_version: str | None) -> dict[str, str]:
        """Return the instance's metadata in Nacos; without a document the version is None."""
        return instance_metadata(
            settings, self.model_version, config_version, version=self.version, path=self.path
        )

    def app(self, parts: Parts) -> ASGIApp:
        """Return the application, such as `service_kit.model_app` makes."""
        raise NotImplementedError

    def decline(self) -> None:
        """Answer 503 to the requests that wait for the model, as the process ends; others go on."""

    def close(self) -> None:
        """Release what the model holds, at the end of the process."""
