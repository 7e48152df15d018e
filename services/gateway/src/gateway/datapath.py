"""Builds one data path: what a worker process consists of, or the whole gateway if it is alone."""

import gc
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nacos_client import Nacos, NacosSettings

from gateway.access_log import AccessLog
from gateway.core import Core, Edge
from gateway.discovery import NacosDirectory
from gateway.document import DATA_ID, RoutesDocument
from gateway.ledger import Ledger, RequestIds
from gateway.port import DataPort
from gateway.routes import Table
from gateway.service import Limits
from gateway.settings import Settings
from gateway.state import Worker

GC_THRESHOLDS = (20_000, 20, 100)
"""Container objects that are made before cycles are looked for, and how often the old are."""


@asynccontextmanager
async def data_path(
    settings: Settings, nacos: Nacos, sock: socket.socket
) -> AsyncIterator[tuple[DataPort, Worker]]:
    """Make the data port on a bound socket, and what an operator sees of it; Nacos may be down."""
    limits = limits_of(settings, nacos.settings)
    log = AccessLog(time.time, shared=settings.workers > 1) if settings.access_log else None
    ledger = Ledger(RequestIds(time.time), log)
    directory = NacosDirectory(nacos, limits, time.monotonic, gone=ledger.forget)
    core = Core(
        directory,
        ledger,
        time.monotonic,
        random.random,
        name=settings.service_name.encode(),
        edge=Edge(
            connections=settings.max_connections,
            head=settings.header_timeout,
            body=settings.body_timeout,
            idle=settings.idle_timeout,
        ),
        limits=limits,
        debug=settings.debug,
    )

    def compiled(document: RoutesDocument) -> Table:
        return document.compile(core.table)

    def use(table: Table) -> None:
        core.table = table
        directory.expect(table.services(), time.monotonic())

    watched = nacos.watch(DATA_ID, RoutesDocument, build=compiled)
    await watched.start()
    use(watched.value)
    watched.subscribe(use)
    # What is there now stays; requests make garbage that reference counts take care of.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    port = DataPort(core, sock, tls=tls_of(settings), trusted=settings.trusted_proxies)
    try:
        yield port, Worker(core, directory, port, watched, log)
    finally:
        if log is not None:
            log.close()


def limits_of(settings: Settings, nacos: NacosSettings) -> Limits:
    """What the environment says about services."""
    return Limits(
        max_in_flight=settings.max_in_flight,
        connect=settings.connect_timeout,
        upstream_idle=settings.upstream_idle,
        cluster=nacos.cluster,
    )


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """The certificate of the data port, if it has one; HTTP/1.1 only."""
    if settings.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context


def bind(settings: Settings, count: int) -> list[socket.socket]:
    """Bind the data port; for several workers, a socket for each.

    Raises:
        OSError: the address is taken or not ours.
    """
    first = _bound(settings, shared=False)
    if count == 1:
        return [first]
    # Nobody else has the port: only then is it shared, and only with ourselves.
    first.close()
    return [_bound(settings, shared=True) for _ in range(count)]


def _bound(settings: Settings, *, shared: bool) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
    sock.bind((settings.host, settings.port))
    return sock
