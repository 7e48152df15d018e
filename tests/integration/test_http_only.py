"""The gRPC port of Nacos is closed, and opens, and closes, while clients and services run."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from nacos_client import Known, Nacos, Shown
from pydantic import BaseModel
from stack.access import NacosAccess
from stack.waiting import wait_until

from tests.client_settings import settings_of
from tests.grpc_gate import GrpcGate
from tests.nacos_wire import WireNacos

pytestmark = [pytest.mark.anyio, pytest.mark.outage, pytest.mark.timeout(240)]

PATIENCE_SECONDS = 60.0
"""Seconds for what takes some seconds on an idle machine; gRPC is tried every 15 s."""
AFTER_SECONDS = 6.0
"""Seconds after a change of the transport in which an instance could still vanish by mistake."""


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture(params=["2.0.4", "3.2.0", pytest.param("real", marks=pytest.mark.nacos)])
def access(request: pytest.FixtureRequest) -> Iterator[NacosAccess]:
    """Servers in memory, and a real one, with an empty namespace of this test's own."""
    if request.param == "real":
        yield request.getfixturevalue("nacos")
        return
    with WireNacos(request.param, auth=True) as nacos:
        yield nacos.access.new_namespace(f"test-{os.urandom(6).hex()}")


@pytest.fixture
def gate(access: NacosAccess) -> Iterator[GrpcGate]:
    """The way to the server's gRPC port, closed."""
    with GrpcGate(access.server_addr) as made:
        yield made


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)


class Watcher:
    """Somebody who asks Nacos for the instances of a service, again and again.

    Attributes:
        missing: how often an instance that had been there was not.
    """

    def __init__(self, access: NacosAccess, service: str) -> None:
        self.missing = 0
        self._access = access
        self._service = service
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.is_set():
            self.missing += not self._access.instances(self._service)


def count(nacos: Nacos, service: str) -> int:
    """Return how many instances are known; -1 while nothing is."""
    snapshot = nacos.discover(service).snapshot
    return len(snapshot.instances) if isinstance(snapshot, Known) else -1


@pytest.mark.feature("HTTP only, where gRPC is closed")
async def test_grpc_is_closed_opened_and_closed(
    access: NacosAccess, gate: GrpcGate, tmp_path: Path
) -> None:
    """A client changes over and back by itself; what it has announced and follows goes with it."""

    def transport() -> str:
        return str(nacos.states["nacos"]["transport"])

    async def all_is_well(clusters: int) -> None:
        await asyncio.to_thread(access.publish, "models", f"clusters: {clusters}")
        await eventually(lambda: watched.value.clusters == clusters)
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        await eventually(lambda: count(nacos, "models") == 1)
        # Registered both ways, it is listed twice for a moment.
        await eventually(lambda: [i["port"] for i in access.instances("models")] == [8001])

    async with Nacos(settings_of(access, tmp_path, grpc=str(gate.port))) as nacos:
        watched = nacos.watch("models", Settings)
        await watched.start()
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        await eventually(lambda: transport().startswith("HTTP only"))
        await all_is_well(4)
        with Watcher(access, "models") as watcher:
            await asyncio.to_thread(access.publish, "models", "clusters: 5")
            gate.open()
            await eventually(lambda: transport() == "gRPC")
            await eventually(lambda: watched.value.clusters == 5)
            await all_is_well(6)
            changed_at = time.monotonic()
            await eventually(lambda: time.monotonic() > changed_at + AFTER_SECONDS)
        assert watcher.missing == 0
        gate.close()
        await eventually(lambda: transport().startswith("HTTP only"))
        await all_is_well(7)
    assert access.instances("models") == []


async def test_a_blocked_application_does_not_stop_the_beats(
    access: NacosAccess, gate: GrpcGate, tmp_path: Path
) -> None:
    """They are sent by the Nacos thread, as often as the instance's metadata say."""
    beats = {
        "preserved.heart.beat.interval": "1000",
        "preserved.heart.beat.timeout": "3000",
        "preserved.ip.delete.timeout": "4000",
    }
    async with Nacos(settings_of(access, tmp_path, grpc=str(gate.port))) as nacos:
        announcement = nacos.announcement("models", port=8001, metadata=beats, blocked_limit=60)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        with Watcher(access, "models") as watcher:
            threading.Event().wait(12)  # this blocks the event loop
        assert watcher.missing == 0
        assert [i["healthy"] for i in access.instances("models")] == [True]


def test_a_service_over_http_alone(
    access: NacosAccess, gate: GrpcGate, service: Callable[..., Any]
) -> None:
    """It is configured and found, says so in `/readyz`, takes gRPC when that opens, and leaves."""
    name = "skl-kmeans"

    def in_force() -> Any:
        return kmeans.readyz()[1]["checks"][f"config {name}"]["version"]

    def transport() -> str:
        return str(kmeans.readyz()[1]["checks"]["nacos"]["transport"])

    def wait(condition: Callable[[], object], what: str) -> None:
        wait_until(condition, seconds=PATIENCE_SECONDS, what=what)

    access.publish(name, "clusters: 4")
    kmeans = service("kmeans", access, env={"NACOS_GRPC_PORT": str(gate.port)})
    wait(lambda: transport().startswith("HTTP only: no gRPC at port"), "HTTP only")
    wait(lambda: in_force() != "", "the document is in force")
    wait(lambda: [i["port"] for i in access.instances(name)] == [kmeans.port], "it is found")
    assert kmeans.readyz()[0] == 200
    before = in_force()
    access.publish(name, "clusters: 5")
    wait(lambda: in_force() != before, "the next document is in force")

    gate.open()
    wait(lambda: transport() == "gRPC", "gRPC is used")
    told = kmeans.log.read_text()
    assert told.count("HTTP only: ") == told.count("gRPC answers again") == 1
    kmeans.terminate()
    wait(lambda: access.instances(name) == [], "it has left")
