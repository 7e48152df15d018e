"""Starts the gateway: `python -m gateway`."""

import asyncio
import json
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from nacos_client import Nacos, NacosSettings, check_access
from prometheus_client import REGISTRY
from service_kit import HealthChecks, Listener, bind, serve, start

from gateway.console.api_documents import ApiDocuments
from gateway.console.apis import OPEN_DOCS, ApiPages
from gateway.console.app import Console
from gateway.console.tryout import DataPortPlace, TryOut
from gateway.control.admin import Workers, create_app
from gateway.control.commands import Worker
from gateway.control.form import build_info, form
from gateway.control.gateways import ADMIN, GatewayNumber, admin_place
from gateway.control.open_files import clients_allowed
from gateway.control.order_desk import OrderDesk
from gateway.control.orders import OrderBook
from gateway.control.supervisor import (
    ANSWER_SECONDS,
    DRAINED,
    FDS,
    LIMITS,
    STOP,
    Supervisor,
    answer_supervisor,
    inherited_ledger,
)
from gateway.routing.limits import Ledger, own_ledger
from gateway.settings import GatewaySettings, reached
from gateway.telemetry.metrics import GatewayMetrics, WorkerState
from gateway.upstream.neighbours import follow_neighbours
from gateway.worker import data_path

_log = logging.getLogger(__name__)
VERSION = version("modelserve-gateway")


class Alone:
    """The only worker, which runs in this process, for the admin port."""

    @staticmethod
    def check() -> dict[str, Any]:
        """Return that the worker serves: it does whenever this process does."""
        return {"ok": True, "running": 1}

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def ask(self, command: Mapping[str, Any]) -> list[Any]:
        """Send a command to the worker."""
        return [self._worker.ask(command)]

    def counters(self) -> list[WorkerState]:
        """Return what the worker counts, without the gauges of each instance."""
        return [self._worker.counters()]

    async def refresh(self) -> None:
        """Ask nothing: the state of this process is read when it is needed."""


async def main(settings: GatewaySettings, nacos_settings: NacosSettings) -> None:
    """Build everything and serve until told to stop."""
    allowed = clients_allowed(settings.max_connections)
    settings = settings.model_copy(update={"max_connections": allowed})
    async with Nacos(nacos_settings) as nacos:
        if FDS in os.environ:
            await work(settings, nacos)
        elif settings.workers == 1:
            (sock,) = bind(settings.host, settings.port)
            hup = partial(_log.warning, "one_worker_is_not_replaced")
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hup)
            ledger = own_ledger()
            async with data_path(settings, nacos, sock, ledger) as (port, worker):
                metrics = GatewayMetrics(lambda: [worker.describe()])
                alone = Alone(worker)
                await administer(
                    settings, nacos, port, alone, metrics, ledger=ledger, counters=alone.counters
                )
        else:
            # Workers inherit the open-file limit, and the clients it allows: the log says so once.
            sockets = bind(settings.host, settings.port, processes=settings.workers)
            clients = {"GATEWAY_MAX_CONNECTIONS": str(allowed)}
            supervisor = Supervisor(sockets, {**os.environ, **clients})
            metrics = GatewayMetrics(lambda: supervisor.states)
            ledger = supervisor.ledger
            await administer(
                settings, nacos, supervisor, supervisor, metrics,
                ledger=ledger, counters=metrics.states,
            )  # fmt: skip


async def work(settings: GatewaySettings, nacos: Nacos) -> None:
    """Serve one of several data paths until the supervisor ends it, or is gone."""
    listen, line = (socket.socket(fileno=int(fd)) for fd in os.environ[FDS].split(","))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(STOP, stop.set)
    for meant_for_the_supervisor in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(meant_for_the_supervisor, lambda: None)
    ledger = inherited_ledger(os.environ[LIMITS])
    async with data_path(settings, nacos, listen, ledger) as (port, worker):
        worker.keep_drained(json.loads(os.environ[DRAINED]))
        await port.open()
        serving = asyncio.create_task(answer_supervisor(line, worker.ask))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await port.drain()
        await port.close()
        for task in (serving, stopping):
            task.cancel()
        await asyncio.wait({serving, stopping}, timeout=ANSWER_SECONDS)


async def administer(
    settings: GatewaySettings,
    nacos: Nacos,
    listener: Listener,
    workers: Workers,
    metrics: GatewayMetrics,
    *,
    ledger: Ledger,
    counters: Callable[[], Iterable[WorkerState]],
) -> None:
    """Serve the admin port, and through the listener the data port."""
    _log.info("gateway_starts", extra={"version": VERSION, "form": form()})
    health = HealthChecks(settings.service_name, VERSION)
    health.about["build"]["form"] = form()
    health.measure(partial(build_info, VERSION))
    health.show(lambda: nacos.states)

    def known() -> dict[str, Any]:
        unknown = sorted({name for state in metrics.states() for name in state["unknown"]})
        return {"ok": not unknown, "unknown": unknown}

    health.add("workers", workers.check)
    health.add("discovery", known)
    health.prepare(workers.refresh)
    REGISTRY.register(metrics)
    token = settings.admin_token.get_secret_value() if settings.admin_token else None
    labels = {
        "version": VERSION,
        "protocol": "https" if settings.tls_cert else "http",
        ADMIN: admin_place(settings.admin_host, settings.admin_port),
    }
    announcement = nacos.announcement(settings.service_name, port=settings.port, metadata=labels)
    number = GatewayNumber(ledger)
    health.add("gateways", number.state)
    orders = OrderDesk(workers, OrderBook(nacos, settings.service_name))
    app = create_app(workers, health, version=VERSION, token=token, orders=orders)
    build = f"{VERSION}, {form()}"
    tls = settings.upstream_tls
    console = Console(workers, health, orders, counters, build=build, token=token, tls=tls)
    console.add_to(app)
    tryout = TryOut(DataPortPlace(reached(settings.host), settings.port, settings.tls_cert))
    documents = ApiDocuments(tls)
    ApiPages(workers, documents, console=console, tryout=tryout).add_to(app, "/docs")
    if settings.docs:
        ApiPages(workers, documents).add_to(app, OPEN_DOCS)
    name, port = settings.service_name, settings.port
    counting = asyncio.create_task(follow_neighbours(nacos, name, port, number.divide))
    try:
        await serve(
            app,
            settings.model_copy(update={"host": settings.admin_host, "port": settings.admin_port}),
            health=health,
            presence=announcement,
            listeners=[console, documents, listener],
        )
    finally:
        counting.cancel()
        await asyncio.wait([counting])


if __name__ == "__main__":
    start(main, GatewaySettings, NacosSettings, check=check_access, warn=FDS not in os.environ)
