"""How quick and how large: figures that the library promises, on a real server."""

import asyncio
import itertools
import math
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from failover import Instance
from nacos_client import Known, Nacos
from nacos_client.ports import ServiceKey
from nacos_client.vendor import Vendor
from pydantic import BaseModel
from stack.access import NacosAccess

from tests.client_settings import settings_of

pytestmark = [pytest.mark.nacos, pytest.mark.anyio]

P99_SECONDS = 0.25
INSTANCES = 20


class Settings(BaseModel):
    """A document that counts."""

    number: int = 0


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.mark.parametrize(
    ("changes", "part", "rounds"),
    [
        (20, 0.5, 1),
        pytest.param(100, 0.99, 5, marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
async def test_a_change_is_in_force_in_a_quarter_of_a_second(
    nacos: NacosAccess, tmp_path: Path, changes: int, part: float, rounds: int
) -> None:
    """From publishing to the value in force, 99 of 100 changes take at most 250 ms.

    Twenty changes on a busy machine are too few for that; their median must hold it. Of the rounds
    of a hundred one is enough: what the client itself delays is late in each, and what else the
    machine does is not.
    """
    settings = settings_of(nacos, tmp_path)
    async with Nacos(settings) as operator, Nacos(settings) as service:
        watched = service.watch("models", Settings)
        await watched.start()
        applied = asyncio.Event()
        watched.subscribe(lambda _: applied.set())
        numbers = itertools.count(1)

        async def seconds() -> float:
            applied.clear()
            began, number = time.monotonic(), next(numbers)
            await operator.publish("models", f"number: {number}")
            async with asyncio.timeout(5):
                await applied.wait()
            took = time.monotonic() - began
            assert watched.value.number == number
            return took

        late: list[float] = []
        while len(late) < rounds and (not late or late[-1] > P99_SECONDS):
            took = sorted([await seconds() for _ in range(changes)])
            late.append(took[math.ceil(part * changes) - 1])
    assert late[-1] <= P99_SECONDS, late


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])
async def test_many_services_are_followed(nacos: NacosAccess, tmp_path: Path, count: int) -> None:
    """500 services of 20 instances: all known, and a process that stays small and idle."""
    settings = settings_of(nacos, tmp_path)
    vendor = Vendor()
    providers = [vendor(settings, f"provider {n}") for n in range(INSTANCES)]
    services = [ServiceKey(f"service-{n}", "DEFAULT_GROUP") for n in range(count)]

    async def register(number: int) -> None:
        for service in services:
            instance = Instance("10.0.0.1", 1000 + number)
            await providers[number].register(service, instance)

    async with AsyncExitStack() as stack:
        # The client, whose loop is another, ends before them: gRPC closes the socket that wakes all
        # loops with the last channel, and must do so on the loop that may be about to read it.
        for provider in providers:
            provider.start()
            stack.push_async_callback(provider.close)
        client = await stack.enter_async_context(Nacos(settings))
        await asyncio.gather(*map(register, range(INSTANCES)))
        watched_seconds = 3 if count < 500 else 20
        process = psutil.Process()
        before = process.memory_info().rss
        discoveries = [client.discover(service.name) for service in services]

        def complete() -> bool:
            snapshots = [discovery.snapshot for discovery in discoveries]
            return all(isinstance(s, Known) and len(s.instances) == 20 for s in snapshots)

        began = time.monotonic()
        async with asyncio.timeout(60):
            while not complete():  # noqa: ASYNC110  (the event is in a server)
                await asyncio.sleep(0.1)
        known_after = time.monotonic() - began
        grown = process.memory_info().rss - before
        cpu = process.cpu_times()
        await asyncio.sleep(watched_seconds)
        used = process.cpu_times()
        share = (used.user + used.system - cpu.user - cpu.system) / watched_seconds
        print(f"known after {known_after:.1f} s, {grown / 2**20:.0f} MB, {100 * share:.1f} % CPU")
        assert grown < 100 * 2**20
        assert share < 0.5
