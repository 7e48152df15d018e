"""The process of a model service: everything is built here, in this order.

1. Read the environment and set up logs.
2. Load the model and check it; one that fails is never announced.
3. Follow the service's document in Nacos.
4. Listen, announce, serve until SIGTERM, drain, decline what waits (`service_kit.serve`). The
   announcement's metadata follow the document.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from nacos_client import Announcement, Nacos, NacosSettings, check_access
from nacos_client.asgi import NacosApp
from pydantic import ValidationError, create_model
from service_kit import (
    DeferredApp,
    ExitCode,
    HealthChecks,
    ModelSettings,
    Port,
    ServiceName,
    WorkQueue,
    configure_logs,
    read_env,
    serve,
    start,
    traced,
)
from starlette.types import ASGIApp

from model_service.errors import DeclarationError
from model_service.service import InForce, ModelService, Parts

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A service that can be served and announced.

    Attributes:
        app: its application.
        health: its state.
        follow: has the metadata of an announcement follow the service's document.
        queues: the work that waits.
    """

    app: ASGIApp
    health: HealthChecks
    follow: Callable[[Announcement], None]
    queues: tuple[WorkQueue, ...]


def main(declared: type[ModelService]) -> None:
    """Run the process of a declared service until SIGTERM, or do what the command line says.

    Raises:
        SystemExit: a text that names what is wrong with the declaration, code 2 for a bad
            environment, 3 for an address that cannot be listened on, 4 for a model that cannot be
            loaded or does not answer right.
    """
    try:
        wanted = settings_of(declared)
    except DeclarationError as error:
        raise SystemExit(f"bad declaration: {error}") from error
    start(partial(_serve, declared), wanted, NacosSettings, check=check_access)


def deferred(declared: type[ModelService]) -> DeferredApp:
    """Return the application of a declared service, for any ASGI server; it announces itself.

    Nothing happens before the server starts it. What `main` raises ends the server's start.
    """

    @asynccontextmanager
    async def built() -> AsyncIterator[ASGIApp]:
        settings, nacos_settings = read_env(settings_of(declared), NacosSettings)
        configure_logs(settings)
        model = await _proved(declared, settings)
        async with (
            Nacos(nacos_settings) as nacos,
            started(model, settings, nacos) as running,
        ):
            yield NacosApp(
                running.app,
                nacos=nacos,
                name=settings.service_name,
                drain_seconds=settings.drain_seconds,
                prepare=running.follow,
                drains=running.health.drain,
            )

    return DeferredApp(built)


async def _serve(
    declared: type[ModelService], settings: ModelSettings, nacos_settings: NacosSettings
) -> None:
    model = await _proved(declared, settings)
    async with (
        Nacos(nacos_settings) as nacos,
        started(model, settings, nacos) as running,
    ):
        announcement = nacos.announcement(settings.service_name, port=settings.port)
        running.follow(announcement)
        await serve(
            running.app,
            settings,
            health=running.health,
            presence=announcement,
            queues=running.queues,
        )


async def _proved(declared: type[ModelService], settings: Any) -> ModelService:
    try:
        model = declared.load(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, a model that cannot be loaded is not served
        _refuse("unusable_model", error)
    try:
        await asyncio.to_thread(model.check)
    except Exception as error:  # noqa: BLE001 - as above
        _refuse("self_check_failed", error)
    return model


def _refuse(event: str, error: Exception) -> NoReturn:
    extra = {"kind": type(error).__name__, "reason": str(error)}
    _log.critical(event, extra=extra, exc_info=error)
    raise SystemExit(ExitCode.UNUSABLE_MODEL) from error


@asynccontextmanager
async def started(model: ModelService, settings: Any, nacos: Nacos) -> AsyncIterator[Running]:
    """Follow the model's document and build its application; close its threads at the end."""
    threads = model.threads(settings)
    health = HealthChecks(settings.service_name, model.version)
    if about := model.about:
        health.about["model"] = about
        health.add("model", lambda: {"ok": True, **about})
    health.show(lambda: nacos.states)
    watched = nacos.watch(model.name, model.Config)
    await watched.start()

    def follow(announcement: Announcement) -> None:
        announcement.follow(watched, lambda: model.metadata(settings, watched.state.version))

    def in_force() -> InForce[Any]:
        return InForce(watched.value, watched.state.version or "default")

    with traced(settings, model.version) as tracer:
        parts = Parts(lambda: watched.value, in_force, health, threads, settings, tracer)
        try:
            yield Running(model.app(parts), health, follow, (threads, model))
        finally:
            threads.close()
            model.close()


def settings_of(declared: type[ModelService]) -> type[ModelSettings]:
    """Return the declaration's settings, with its name and port where they have no defaults.

    Raises:
        DeclarationError: the name is no host name, or the port no port.
    """
    own = declared.Settings
    kinds: dict[str, Any] = {"service_name": ServiceName, "port": Port}
    attributes = {"service_name": "name", "port": "port"}
    wanted = {field: attributes[field] for field in kinds if own.model_fields[field].is_required()}
    given = {field: getattr(declared, attribute, None) for field, attribute in wanted.items()}
    named = {str(own.model_fields[field].validation_alias): field for field in wanted}
    try:
        own.model_validate({alias: given[field] for alias, field in named.items()})
    except ValidationError as error:
        for each in error.errors():
            if (field := named.get(str(each["loc"][0]))) is not None:
                what = f"{declared.__name__}.{wanted[field]} is {given[field]!r}"
                raise DeclarationError(f"{what}: {each['msg']}") from error
    defaults: dict[str, Any] = {field: (kinds[field], value) for field, value in given.items()}
    return create_model(own.__name__, __base__=own, __module__=own.__module__, **defaults)
