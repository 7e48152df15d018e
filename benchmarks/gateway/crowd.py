"""Services that are followed and never asked: many, each with some instances that do not exist."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from failover import Instance
from nacos_client import NacosSettings
from nacos_client.ports import ServiceKey, Session
from nacos_client.runtime import Runtime
from nacos_client.vendor import Vendor
from pydantic import SecretStr

from benchmarks.measure.nacos import Account

INSTANCES = 20
"""Instances of each service."""
FILL_SECONDS = 240.0
END_SECONDS = 30.0


def name_of(number: int) -> str:
    """Return the name of a service of the crowd."""
    return f"crowd-{number}"


@contextmanager
def crowd(nacos: Account, services: int, cache: Path) -> Iterator[None]:
    """Hold the services `crowd-1` and so on in Nacos while the block runs."""
    settings = NacosSettings(
        server_addr=nacos.server_addr,
        username=nacos.username,
        password=SecretStr(nacos.password),
        namespace=nacos.namespace,
        cache_dir=cache,
    )
    runtime = Runtime()
    runtime.start()
    sessions: list[Session] = []

    async def fill() -> None:
        vendor = Vendor()
        sessions.extend(vendor(settings, f"crowd {number}") for number in range(INSTANCES))
        await asyncio.gather(*(_register(one, n, services) for n, one in enumerate(sessions)))

    async def leave() -> None:
        await asyncio.gather(*(session.close() for session in sessions))

    try:
        runtime.submit(fill()).result(FILL_SECONDS)
        yield
    finally:
        runtime.submit(leave()).result(END_SECONDS)
        runtime.stop()


async def _register(session: Session, place: int, services: int) -> None:
    """Register one instance in each service; a session carries one instance of a service."""
    session.start()
    while session.connection is None:  # noqa: ASYNC110 - the event is in a server
        await asyncio.sleep(0.05)
    for number in range(1, services + 1):
        service = ServiceKey(name_of(number), "DEFAULT_GROUP")
        await session.register(service, Instance("10.0.0.1", 1000 + place))
