"""A document is tried on some clients first: those of a beta, by IP address, or those of a tag.

On a real server, and on versions that cannot be started here.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from nacos_client import Nacos, Watched
from stack.access import NacosAccess

from tests.contract.conftest import RealWorld, server_of
from tests.contract.test_nacos_contract import Settings, eventually
from tests.contract.test_wire_versions import VERSIONS

pytestmark = pytest.mark.anyio

CHOSEN, OTHER = "10.0.0.1", "10.0.0.2"


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.nacos), *VERSIONS])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealWorld]:
    """A real server, and one of each version, with a namespace of the test's own."""
    with server_of(request) as access:
        yield RealWorld(access, tmp_path)


async def following(nacos: Nacos) -> Watched[Settings]:
    """Watch the document that is tried, until it is in force."""
    watched = nacos.watch("models", Settings)
    await watched.start()
    await eventually(lambda: watched.value.clusters == 4)
    return watched


@pytest.mark.feature("documents for a beta or a tag")
async def test_a_beta_is_for_the_clients_of_its_addresses(world: RealWorld) -> None:
    """They get it, and what becomes of it, by a push; for all others nothing changes.

    Promoted, it is everybody's. Ended, it leaves its clients with the document for all.
    """
    world.publish("models", "clusters: 4")
    chosen, other = world.client(advertise_ip=CHOSEN), world.client(advertise_ip=OTHER)
    async with chosen, other:
        tried, normal = await following(chosen), await following(other)
        assert tried.plain_state["document"] == "found"

        world.try_out("models", "clusters: 5", ips=f"10.0.0.9,{CHOSEN}")
        assert await eventually(lambda: tried.value.clusters == 5) < 5
        assert tried.plain_state["document"] == "found (beta)"
        world.try_out("models", "clusters: 6", ips=CHOSEN)
        assert await eventually(lambda: tried.value.clusters == 6) < 5
        async with world.client(advertise_ip=CHOSEN) as late:
            watched = late.watch("models", Settings)
            await watched.start()
            assert watched.value.clusters == 6
        normally = await other.fetch("models")
        assert normally is not None
        assert (normally.content, normal.value.clusters) == ("clusters: 4", 4)

        world.end_beta("models")
        assert await eventually(lambda: tried.value.clusters == 4) < 5
        assert tried.plain_state["document"] == "found"

        world.try_out("models", "clusters: 7", ips=CHOSEN)
        await eventually(lambda: tried.value.clusters == 7)
        world.publish("models", "clusters: 7")
        assert await eventually(lambda: normal.value.clusters == 7) < 5
        world.end_beta("models")
        await eventually(lambda: tried.plain_state["document"] == "found")
        assert tried.value.clusters == 7
        assert normal.state.version == tried.state.version


@pytest.mark.feature("documents for a beta or a tag")
async def test_a_tag_is_for_the_clients_that_have_it_as_a_label(world: RealWorld) -> None:
    """So two clients at one address can have two documents; labels of other names count nothing."""
    world.publish("models", "clusters: 4")
    chosen = world.client(labels="app=iris,Vipserver-Tag=blue")
    other = world.client(labels="app=iris,colour=blue,Vipserver-Tag=green")
    async with chosen, other:
        tried, normal = await following(chosen), await following(other)

        world.try_out("models", "clusters: 5", tag="blue")
        assert await eventually(lambda: tried.value.clusters == 5) < 5
        assert tried.plain_state["document"] == "found (tag)"
        normally = await other.fetch("models")
        assert normally is not None
        assert (normally.content, normal.value.clusters) == ("clusters: 4", 4)

        version = tuple(map(int, chosen.states["nacos"]["version"].split(".")[:2]))
        world.end_tag("models", "tag_blue" if version >= (2, 5) else "blue")
        assert await eventually(lambda: tried.value.clusters == 4) < 5


async def test_a_client_that_is_not_in_a_beta_is_not_told_of_a_change(world: RealWorld) -> None:
    """What it has is up to date: no reading is repeated because of a document for others."""
    world.publish("models", "clusters: 4")
    world.try_out("models", "clusters: 5", ips=CHOSEN)
    async with world.client(advertise_ip=OTHER) as other:
        normal = await following(other)
        versions = {normal.state.version}
        normal.subscribe(lambda _: versions.add(normal.state.version))
        world.try_out("models", "clusters: 6", ips=CHOSEN)
        world.publish("models", "clusters: 8")
        await eventually(lambda: normal.value.clusters == 8)
        assert len(versions) == 2


@pytest.mark.nacos
async def test_a_server_knows_address_and_labels_of_a_client(
    nacos_server: NacosAccess, tmp_path: Path
) -> None:
    """It has them as it has those of Java's client, for rules of its own; each version does."""
    world = RealWorld(nacos_server.new_namespace(f"contract-{os.urandom(6).hex()}"), tmp_path)
    async with world.client(advertise_ip="10.9.8.7", labels="app=iris,zone=a") as nacos:
        assert await nacos.fetch("models") is None
        (found,) = (each for each in world.connections() if each["clientIp"] == "10.9.8.7")
    assert (found["labels"]["app_app"], found["labels"]["app_zone"]) == ("iris", "a")
    assert (found["appLabels"]["app"], found["appLabels"]["zone"]) == ("iris", "a")
