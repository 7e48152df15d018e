"""A cluster of three that loses its leader, and then one more."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from nacos_client import Known, Nacos, NacosSettings, Shown
from pydantic import BaseModel, SecretStr
from stack.nacos import NacosServer, cluster
from stack.releases import NEWEST, chosen
from stack.waiting import wait_until

from tests.cluster_members import wait_for_leader

pytestmark = [
    pytest.mark.skipif(chosen().version != NEWEST, reason="a cluster of 2.x was not tried"),
    pytest.mark.nacos,
    pytest.mark.anyio,
    pytest.mark.outage,
    pytest.mark.timeout(600),
]


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[NacosServer]]:
    """Three servers that are ready; one that gave up, without a leader in time, starts again."""
    members = list(cluster(tmp_path / "cluster"))
    try:
        for member in members:
            member.start()
        wait_until(
            lambda: {member.is_ready() for member in members} == {True},
            seconds=300,
            what=f"all members answer logins; their logs: {tmp_path}",
        )
        yield members
    finally:
        for member in members:
            member.kill()


async def eventually(condition: Callable[[], object], seconds: float) -> float:
    """Wait until the condition holds; returns how long that took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.05)
    return time.monotonic() - began


def the_leader_of(servers: list[NacosServer]) -> NacosServer:
    """Wait until a member tells who leads."""
    leader = wait_for_leader(servers[0].access)
    return next(server for server in servers if server.server_addr == leader)


@pytest.mark.feature("a cluster that loses servers")
async def test_losing_servers_loses_no_instance(servers: list[NacosServer], tmp_path: Path) -> None:
    """Callers never miss an instance, and it is registered with whoever is left."""
    access = servers[0].access
    settings = NacosSettings(
        server_addr=",".join(server.server_addr for server in servers),
        username=access.username,
        password=SecretStr(access.password),
        cache_dir=tmp_path,
        advertise_ip="127.0.0.1",
    )
    async with Nacos(settings) as provider, Nacos(settings) as caller:
        announcement = provider.announcement("models", port=8001)
        await announcement.announce()
        watched = caller.watch("models", Settings)
        await watched.start(wait=10)
        discovery = caller.discover("models")
        await eventually(lambda: len(getattr(discovery.snapshot, "instances", ())) == 1, 30)
        counts: set[int] = set()
        discovery.subscribe(lambda snapshot: counts.add(len(getattr(snapshot, "instances", ()))))

        first = await asyncio.to_thread(the_leader_of, servers)
        second, third = (server for server in servers if server is not first)
        await asyncio.to_thread(first.kill)
        await asyncio.to_thread(write, second, "clusters: 4")
        await eventually(lambda: watched.value.clusters == 4, 40)
        await eventually(lambda: shown(second) and shown(third), 40)

        await asyncio.to_thread(second.kill)
        await eventually(lambda: caller.states["nacos"]["ok"] and shown(third), 40)
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 40)
        assert isinstance(discovery.snapshot, Known)
        assert counts == {1}


def shown(server: NacosServer) -> bool:
    """Tell whether a server shows the instance."""
    try:
        return [i["port"] for i in server.access.instances("models")] == [8001]
    except httpx.HTTPError:
        return False


def write(server: NacosServer, content: str) -> None:
    """Publish the document as soon as the servers that are left have agreed on a leader."""

    def written() -> bool:
        try:
            server.access.publish("models", content)
        except httpx.HTTPError:
            return False
        return True

    wait_until(written, seconds=60, what="the document is written")
