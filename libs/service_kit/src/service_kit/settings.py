"""The environment variables of a process, read once at its start into frozen values.

A service that starts with half of its settings wrong fails later and elsewhere. So every variable
of every model is checked before anything else happens, and one line names all bad variables.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, TypeVar, overload

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from service_kit.exit_codes import ExitCode
from service_kit.variables import unknown, variables

REQUEST_TIMEOUT_SECONDS = 30.0
"""Seconds that a request may take where the environment names no other limit."""


def _origins(value: object) -> object:
    """Split a JSON list, or names with commas between; a slash at the end of a name is dropped."""
    if not isinstance(value, str):
        return value
    names = json.loads(value) if value.startswith("[") else value.split(",")
    return [name.strip().removesuffix("/") if isinstance(name, str) else name for name in names]


Origin = Annotated[str, Field(pattern=r"^(\*|https?://[^/*\s]+)$")]
"""The origin of a page as browsers send it (RFC 6454, 6.2), or `*` for every page."""

A = TypeVar("A", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)
C = TypeVar("C", bound=BaseModel)

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

ServiceName = Annotated[
    str, Field(validation_alias="SERVICE_NAME", pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
]
"""A valid host name label: Java clients put the name into URLs."""
Port = Annotated[int, Field(validation_alias="PORT", ge=1, le=65535)]


def _level(value: object) -> object:
    """Return a level's name as it is declared, however its case is; WARN is WARNING, as elsewhere.

    uvicorn has small letters, Python's logging capitals and both names.
    """
    name = value.upper() if isinstance(value, str) else value
    return "WARNING" if name == "WARN" else name


class ProcessSettings(BaseModel):
    """The environment variables that every service has; a service adds its own in a subclass."""

    model_config = ConfigDict(frozen=True)

    service_name: ServiceName
    """Name of the service in Nacos: small letters, digits and `-`, as it becomes a host in URLs."""
    port: Port
    """TCP port for callers, which is announced."""
    host: Annotated[str, Field(validation_alias="HOST")] = "0.0.0.0"  # noqa: S104 - for other hosts
    """Address at which the service listens: `0.0.0.0` for all of IPv4, `::` for IPv6 and IPv4, or
    one address of this host, which is then announced."""
    drain_seconds: Annotated[float, Field(validation_alias="DRAIN_SECONDS", ge=0, le=600)] = 2.0
    """Seconds to serve on after Nacos shows the instance gone; 40 for Spring's cache of 35 s."""
    log_level: Annotated[LogLevel, BeforeValidator(_level), Field(validation_alias="LOG_LEVEL")] = (
        "INFO"
    )
    """Least level of the events that are logged; `info` and `WARN` do as well."""
    log_format: Annotated[Literal["json", "text"], Field(validation_alias="LOG_FORMAT")] = "json"
    """Form of the log on standard output: a JSON object in each line, or text for people."""
    otlp_endpoint: Annotated[
        str | None,
        Field(validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT", pattern=r"^https?://[^\s]+$"),
    ] = None
    """Address of an OpenTelemetry collector that takes OTLP over HTTP, such as
    `http://collector:4318`; without it there are no traces."""
    trace_share: Annotated[float, Field(validation_alias="OTEL_TRACES_SAMPLER_ARG", ge=0, le=1)] = (
        1.0
    )
    """Share of the requests without a `traceparent` that are traced."""


class ModelSettings(ProcessSettings):
    """The environment variables that every model service has."""

    timeout_seconds: Annotated[
        float, Field(validation_alias="REQUEST_TIMEOUT_SECONDS", ge=0.1, le=600)
    ] = REQUEST_TIMEOUT_SECONDS
    """Seconds from a request's head until its caller gets 504 instead of an answer."""
    cors_origins: Annotated[
        tuple[Origin, ...],
        BeforeValidator(_origins),
        Field(validation_alias="BACKEND_CORS_ORIGINS"),
    ] = ()
    """Origins whose pages may call, such as `https://cars.example`; `*` is all."""


@overload
def read_env(first: type[A], /) -> tuple[A]: ...
@overload
def read_env(first: type[A], second: type[B], /) -> tuple[A, B]: ...
@overload
def read_env(first: type[A], second: type[B], third: type[C], /) -> tuple[A, B, C]: ...
def read_env(*models: type[BaseModel]) -> tuple[BaseModel, ...]:
    """Build one instance of each model from the environment.

    A field's `validation_alias` names its variable. An empty variable counts as absent, because
    Compose passes `${NAME:-}` as an empty text where NAME is not set. An absent variable that
    several models name has one value for all of them, the first model's default: what is told of
    `HOST` is then true of the socket.

    Raises:
        SystemExit: code 2, after one line on stderr that names every bad variable of all models.
    """
    found: list[BaseModel] = []
    problems: list[str] = []
    environ = {name: value for name, value in os.environ.items() if value}
    for model in models:
        try:
            found.append(model.model_validate(_present(model, environ)))
        except ValidationError as error:
            problems.extend(_describe(model, error))
        environ = _defaults(model) | environ
    if problems:
        print("bad environment: " + "; ".join(problems), file=sys.stderr)  # noqa: T201 - logs are not set up yet
        raise SystemExit(ExitCode.BAD_ENVIRONMENT)
    return tuple(found)


def unread(*models: type[BaseModel]) -> dict[str, str | None]:
    """Return the variables that are meant for a process of these settings, which has no such ones.

    Each leads to the variable with the nearest name, or to None.
    """
    return dict(unknown(os.environ, [each.name for each in variables(*models)]))


def _present(model: type[BaseModel], environ: Mapping[str, str]) -> dict[str, str]:
    names = (str(field.validation_alias) for field in model.model_fields.values())
    return {name: environ[name] for name in names if name in environ}


def _defaults(model: type[BaseModel]) -> dict[str, str]:
    """Return the texts that stand for absent variables of a model."""
    return {
        str(field.validation_alias): field.default
        for field in model.model_fields.values()
        if isinstance(field.default, str)
    }


def _describe(model: type[BaseModel], error: ValidationError) -> Iterator[str]:
    secret = {
        str(field.validation_alias)
        for field in model.model_fields.values()
        if SecretStr.__name__ in repr(field.annotation)
    }
    for each in error.errors(include_url=False, include_context=False):
        name = str(each["loc"][0]) if each["loc"] else model.__name__
        if each["type"] == "missing":
            yield f"{name} is not set"
        else:
            shown = "" if name in secret or not each["loc"] else f"={str(each['input'])[:80]!r}"
            yield f"{name}{shown}: {each['msg']}"
