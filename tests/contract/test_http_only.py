# ruff: noqa: F401  (a test that is imported runs here again, on the `world` of this module)
"""What a client may rely on where the gRPC port is closed, on Nacos in memory and on a real one.

The parts of the contract that set no time run as they are; those that do have their like here, for
what is pushed by gRPC is asked for over HTTP.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from failover import Instance
from nacos_client import Nacos, Refused
from stack.access import NacosAccess
from stack.ports import free_port

from tests.contract.conftest import RealWorld, server_of
from tests.contract.test_nacos_contract import (
    Settings,
    announced,
    eventually,
    test_a_bad_document_is_kept_out,
    test_a_deleted_document_means_what_was_chosen,
    test_a_disabled_instance_gets_no_calls,
    test_a_document_is_read_as_it_was_written,
    test_a_document_that_says_nothing_is_not_a_deleted_one,
    test_an_encrypted_document_is_followed as an_encrypted_document_is_followed,
    test_an_instance_can_be_announced_again,
    test_an_instance_is_shown_only_between_announce_and_withdraw,
    test_an_ipv6_instance_that_was_announced_without_brackets,
    test_closing_the_client_withdraws,
    test_compare_and_set as compare_and_set,
    test_groups_are_apart,
    test_layers_go_over_each_other,
    test_metadata_and_weight_change_in_place,
    test_metadata_follow_a_document,
    test_namespaces_are_apart,
    test_nobody_is_known_to_be_nobody,
    test_the_first_value_is_there_after_start,
    test_two_instances_of_one_service_in_one_process,
)
from tests.nacos_wire import WireNacos

pytestmark = pytest.mark.anyio

VERSIONS = ("2.0.4", "2.5.1", "3.0.3", "3.2.0", "3.3.0")


class Patient(Nacos):
    """A client whose tests begin when it is connected, over whatever transport."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await eventually(lambda: self.states["nacos"]["connection"])
        return self


class HttpOnlyWorld(RealWorld):
    """A server whose gRPC port is closed to its clients."""

    def client(self, **other: Any) -> Nacos:
        """Make a client that knows a port for gRPC at which nobody listens."""
        settings = super().client(**other).settings
        return Patient(settings.model_copy(update={"grpc": str(free_port())}))

    def in_public(self) -> "HttpOnlyWorld":
        """Return the same server for the namespace `public`."""
        public = super().in_public()
        return HttpOnlyWorld(public.access, public.cache)


@pytest.fixture(params=[*VERSIONS, pytest.param("real", marks=pytest.mark.nacos)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HttpOnlyWorld]:
    """Each server, with authentication on, in a namespace of the test's own."""
    with server_of(request) as access:
        yield HttpOnlyWorld(access, tmp_path)


@pytest.mark.feature("HTTP only, where gRPC is closed")
async def test_the_transport_is_told(world: HttpOnlyWorld, caplog: Any) -> None:
    """`/readyz` has it with its reason, and the log once, however many connections there are."""
    async with world.client() as nacos:
        await announced(nacos.announcement("models", port=8001))
        told = nacos.states["nacos"]
        assert told["ok"]
        assert told["transport"].startswith(f"HTTP only: no gRPC at port {nacos.settings.grpc}: ")
        await eventually(lambda: nacos.states["nacos"]["version"])
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in warned if "HTTP only" in line]) == 1


@pytest.mark.feature("HTTP only, where gRPC is closed")
async def test_a_change_of_instances_is_found(world: HttpOnlyWorld) -> None:
    """By asking, some seconds later, with weight, cluster and metadata."""
    async with world.client() as nacos:
        discovery = nacos.discover("models")
        await discovery.known()
        world.put("models", Instance("10.0.0.1", 80, 2.0, cluster="east", metadata={"a": "b"}))
        await eventually(lambda: discovery.snapshot.instances)
        [found] = discovery.snapshot.instances
        assert (found.address, found.weight, found.cluster) == ("10.0.0.1:80", 2.0, "east")
        assert found.metadata == {"a": "b"}


async def test_a_protected_service_is_open(world: HttpOnlyWorld) -> None:
    """When Nacos says that too few are healthy, all are callable."""
    for port, healthy in ((1, True), (2, False), (3, False)):
        world.put("models", Instance("10.0.0.1", port, healthy=healthy))
    world.protect("models", 0.4)
    async with world.client() as nacos:
        discovery = nacos.discover("models")
        await eventually(
            lambda: [i.healthy for i in getattr(discovery.snapshot, "instances", ())] == [True] * 3
        )


@pytest.mark.feature("HTTP only, where gRPC is closed")
async def test_changes_are_applied_one_after_the_other(world: HttpOnlyWorld) -> None:
    """Two watches of a document, and one of another, each learn of every change."""
    async with world.client() as nacos:
        one, same, other = (nacos.watch(name, Settings) for name in ("models", "models", "other"))
        for watched in (one, same, other):
            await watched.start()
        for clusters in (4, 5):
            world.publish("models", f"clusters: {clusters}")
            await eventually(lambda wanted=clusters: one.value.clusters == wanted)
            await eventually(lambda wanted=clusters: same.value.clusters == wanted)
            world.publish("other", f"clusters: {clusters}")
            await eventually(lambda wanted=clusters: other.value.clusters == wanted)


async def test_compare_and_set(world: HttpOnlyWorld, request: pytest.FixtureRequest) -> None:
    """It holds from 2.3.2 on; before, it is refused and not just claimed."""
    if "2.0.4" not in request.node.name:
        await compare_and_set(world)
        return
    async with world.client() as nacos:
        with pytest.raises(Refused, match=r"2\.3\.2 or later"):
            await nacos.publish("models", "a: 1", cas_md5="0cc1")


async def test_an_encrypted_document_is_followed(
    world: HttpOnlyWorld, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Its key comes beside it; a server before 2.3 would lose the key, and is refused."""
    if "2.0.4" not in request.node.name:
        await an_encrypted_document_is_followed(world, tmp_path)
        return
    key_file = tmp_path / "key"
    key_file.write_text("0" * 32)
    async with world.client(cipher_key_file=key_file) as nacos:
        with pytest.raises(Refused, match=r"2\.3\.0 or later"):
            await nacos.publish("cipher-aes-models", "a: 1")


async def test_a_document_of_the_default_namespace_is_followed(world: HttpOnlyWorld) -> None:
    """`public` is spelled as each version wants it."""
    public, data_id = world.in_public(), f"models-{os.urandom(6).hex()}"
    try:
        async with public.client() as nacos:
            watched = nacos.watch(data_id, Settings)
            await watched.start()
            for clusters in (4, 5):
                await nacos.publish(data_id, f"clusters: {clusters}")
                await eventually(lambda wanted=clusters: watched.value.clusters == wanted)
    finally:
        public.remove(data_id)
