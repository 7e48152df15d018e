"""A worker: one data path on a bound socket, alone in the process or one of several processes."""

import asyncio
import gc
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from importlib.metadata import version

from failover import Instance
from nacos_client import Nacos, NacosSettings
from service_kit import traced

from gateway.console.apis import OPEN_DOCS
from gateway.control.commands import Worker
from gateway.control.heap import keep_freed_memory
from gateway.control.orders import OrdersDocument, orders_id
from gateway.downstream.listener import DataPort
from gateway.proxy.context import PortLimits, ProxyContext
from gateway.routing.document import DATA_ID, RoutesDocument
from gateway.routing.limits import Ledger, own_ledger
from gateway.routing.table import Route, Table
from gateway.settings import GatewaySettings
from gateway.telemetry.access_log import AccessLog
from gateway.telemetry.records import Counters, RequestIds
from gateway.telemetry.traces import RequestTracer
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.namespaces import Namespaces
from gateway.upstream.neighbours import Neighbours, follow_neighbours
from gateway.upstream.service import ServiceLimits

GC_THRESHOLDS = (20_000, 20, 100)
"""Container objects made between two searches for cycles; then how often old ones are searched."""

DOCS = "gateway:docs"
"""The service that makes the page of APIs for the data port: this gateway's admin port. No name of
Nacos has a colon, so that nobody can register or call it."""
DOCS_ROUTE = Route(
    "docs", DOCS, "/docs", strip=b"/docs", prefix=OPEN_DOCS.encode(), methods=frozenset({b"GET"})
)


@asynccontextmanager
async def data_path(
    settings: GatewaySettings,
    nacos: Nacos,
    sock: socket.socket,
    ledger: Ledger | None = None,
) -> AsyncIterator[tuple[DataPort, Worker]]:
    """Build the data port on a bound socket, and its worker for the operator; Nacos may be down.

    Limits of routes count in the ledger; without one they do in one of the data path's own.
    """
    keep_freed_memory()
    counts = ledger or own_ledger()
    limits = limits_of(settings, nacos.settings)
    log = AccessLog(time.time, shared=settings.workers > 1) if settings.access_log else None
    ending = ExitStack()
    tracer = ending.enter_context(traced(settings, version("modelserve-gateway")))
    counters = Counters(RequestIds(time.time), log, RequestTracer(tracer) if tracer else None)
    namespaces = Namespaces(nacos, kept=settings.service_name)
    directory = NacosDirectory(namespaces, limits, time.monotonic, on_left=counters.forget_instance)
    context = ProxyContext(
        directory,
        counters,
        time.monotonic,
        random.random,
        name=settings.service_name.encode(),
        port_limits=PortLimits(
            connections=settings.max_connections,
            head=settings.header_timeout,
            body=settings.body_timeout,
            idle=settings.idle_timeout,
        ),
        service_limits=limits,
        debug=settings.debug,
    )

    def compiled(document: RoutesDocument) -> Table:
        return document.compile(counts, own=[DOCS_ROUTE] if settings.docs else ())

    def use(table: Table) -> None:
        context.table = table
        directory.expect(table.services(), time.monotonic())

    if settings.docs:
        directory.keep(DOCS, Instance(settings.admin_address, settings.admin_port))
    watched = nacos.watch(DATA_ID, RoutesDocument, build=compiled)
    orders = nacos.watch(orders_id(settings.service_name), OrdersDocument)
    await asyncio.gather(watched.start(), orders.start())
    use(watched.value)
    watched.subscribe(use)
    sharing = asyncio.create_task(share_out(settings, nacos, directory))
    # The objects made so far stay; requests make garbage that reference counts take care of.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    port = DataPort(context, sock, tls=settings.tls_context(), trusted=settings.trusted_proxies)
    try:
        yield port, Worker(context, directory, port, watched, log, orders=orders, ledger=counts)
    finally:
        sharing.cancel()
        await asyncio.wait([sharing])
        await namespaces.close()
        if log is not None:
            log.close()
        ending.close()


async def share_out(settings: GatewaySettings, nacos: Nacos, directory: NacosDirectory) -> None:
    """Follow the gateways of this name, if they are to share the instances out."""
    cluster, size = nacos.settings.cluster, settings.aperture

    def tell(neighbours: Neighbours) -> None:
        directory.narrow(neighbours.aperture(cluster, size))

    if size:
        await follow_neighbours(nacos, settings.service_name, settings.port, tell)


def limits_of(settings: GatewaySettings, nacos: NacosSettings) -> ServiceLimits:
    """Return the limits of services that the environment sets."""
    return ServiceLimits(
        max_in_flight=settings.max_in_flight,
        connect=settings.connect_timeout,
        upstream_idle=settings.upstream_idle,
        cluster=nacos.cluster,
        tls=settings.upstream_tls,
    )
