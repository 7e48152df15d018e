# ruff: noqa: F401  (a test that is imported runs here again, on the `world` of this module)
"""What a client may rely on, on versions of Nacos that cannot be started here.

The parts of the contract that a version could break run on a Nacos in memory that speaks on the
wire as the version does: `tests/nacos_wire` has the differences, and where each is written.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from failover import Instance
from nacos_client import Conflict, Nacos, NacosSettings, Refused, Shown, check_access
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.session import SdkSession
from nacos_client.errors import Denied
from nacos_client.ports import DocumentKey, ServiceKey

from tests.contract.conftest import RealWorld
from tests.contract.test_nacos_contract import (
    Settings,
    announced,
    eventually,
    test_a_bad_document_is_kept_out,
    test_a_change_is_applied_and_told,
    test_a_change_of_instances_is_pushed,
    test_a_deleted_document_means_what_was_chosen,
    test_a_document_is_read_as_it_was_written,
    test_a_document_of_the_default_namespace_is_followed,
    test_an_entry_that_is_not_there_is_refused,
    test_an_instance_is_shown_only_between_announce_and_withdraw,
    test_an_ipv6_instance_that_was_announced_without_brackets,
    test_closing_the_client_withdraws,
    test_groups_are_apart,
    test_layers_go_over_each_other,
    test_metadata_and_weight_change_in_place,
    test_metadata_follow_a_document,
    test_namespaces_are_apart,
    test_nobody_is_known_to_be_nobody,
    test_the_first_value_is_there_after_start,
    test_the_history_of_a_document_keeps_its_texts,
    test_the_protect_threshold_opens_all_instances,
    test_two_instances_of_one_service_in_one_process,
)
from tests.nacos_wire import WireNacos

pytestmark = pytest.mark.anyio

VERSIONS = ("2.0.4", "2.2.3", "2.4.3", "2.5.1", "3.0.3", "3.2.0", "3.3.0")
COMPARE = ("2.4.3", "2.5.1", "3.0.3", "3.2.0", "3.3.0")
SERVICE = ServiceKey("models", "DEFAULT_GROUP")
INSTANCE = Instance("10.0.0.1", 8001)


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    """Each version."""
    return str(request.param)


@pytest.fixture
def nacos_wire(version: str) -> Iterator[WireNacos]:
    """A server of each version, with authentication on."""
    with WireNacos(version, auth=True) as nacos:
        yield nacos


@pytest.fixture
def world(nacos_wire: WireNacos, tmp_path: Path) -> RealWorld:
    """Each server as the contract's tests see one, in a namespace of their own."""
    return RealWorld(nacos_wire.access.new_namespace(f"contract-{os.urandom(6).hex()}"), tmp_path)


@pytest.fixture
async def session(nacos_wire: WireNacos) -> AsyncIterator[SdkSession]:
    """A session of a client that is logged in, in the namespace `public`."""
    made = session_at(nacos_wire)
    yield made
    await made.close()


def session_at(nacos_wire: WireNacos, **other: str) -> SdkSession:
    """Return a session that connects."""
    settings = settings_for(nacos_wire, **other)
    session = SdkSession(settings, "test", Administration(settings))
    session.start()
    return session


def settings_for(nacos_wire: WireNacos, **other: Any) -> NacosSettings:
    access = nacos_wire.access
    login = {"username": access.username, "password": access.password}
    return NacosSettings(server_addr=access.server_addr, **{**login, **other})


async def test_the_first_request_meets_a_server_that_knows_the_connection(
    session: SdkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether the server says when it has registered a connection or not, none is lost for it."""
    with caplog.at_level(logging.WARNING):
        assert (await session.instances(SERVICE)).instances == ()
    assert caplog.records == []


@pytest.mark.feature("the server's version is told")
async def test_the_server_tells_its_version_and_dialect(session: SdkSession, version: str) -> None:
    """`/readyz` shows both, for a server of each version."""
    await session.instances(SERVICE)
    facts = await session.server()
    assert (facts.version, facts.dialect) == (version, "v3" if version >= "3" else "v1")


@pytest.mark.feature("a change by hand is undone")
async def test_what_an_operator_set_is_undone(
    session: SdkSession, nacos_wire: WireNacos, tmp_path: Path
) -> None:
    """The instance gets its weight and its place in traffic back, in the server's own dialect."""
    await session.register(SERVICE, INSTANCE)
    RealWorld(nacos_wire.access, tmp_path).change(SERVICE.name, replace(INSTANCE, enabled=False))
    assert (await session.instances(SERVICE)).instances == ()

    await session.override(SERVICE, INSTANCE)
    assert (await session.instances(SERVICE)).instances == (INSTANCE,)


@pytest.mark.feature("persistent instances")
async def test_a_persistent_instance_stays_without_its_session(
    session: SdkSession, nacos_wire: WireNacos
) -> None:
    """It comes and goes by HTTP where gRPC has no request for it, before 2.3."""
    other = session_at(nacos_wire)
    await other.register(SERVICE, INSTANCE, ephemeral=False)
    await other.close()
    assert (await session.instances(SERVICE)).instances == (INSTANCE,)

    await session.deregister(SERVICE, INSTANCE, ephemeral=False)
    assert (await session.instances(SERVICE)).instances == ()


@pytest.mark.feature("encrypted documents", since="2.1")
async def test_a_key_that_nacos_would_lose_is_not_published(
    session: SdkSession, version: str
) -> None:
    """Before 2.1 nobody could decrypt the document; later ones keep its key beside it."""
    key = DocumentKey("cipher-aes-models", "DEFAULT_GROUP")
    if version == "2.0.4":
        with pytest.raises(Refused, match="loses the key of an encrypted document"):
            await session.publish(key, "0a1b", "yaml", None, "its key")
        assert await session.fetch(key) is None
    else:
        await session.publish(key, "0a1b", "yaml", None, "its key")
        document = await session.fetch(key)
        assert document is not None
        assert (document.content, document.data_key) == ("0a1b", "its key")


@pytest.mark.feature("compare-and-set of documents", since="2.3.2")
async def test_a_document_that_changed_meanwhile_is_not_overwritten(
    session: SdkSession, version: str
) -> None:
    """Where the server cannot compare, no write is tried: the error names the version."""
    key = DocumentKey("models", "DEFAULT_GROUP")
    await session.publish(key, "clusters: 4", "yaml", None)
    compares = version in COMPARE
    told = "is no longer the document" if compares else f"Nacos {version} may overwrite"
    with pytest.raises(Conflict if compares else Refused, match=told):
        await session.publish(key, "clusters: 6", "yaml", "0cc175b9c0f1b6a831c399e269772661")
    document = await session.fetch(key)
    assert document is not None
    assert document.content == "clusters: 4"


async def test_clients_of_several_namespaces_log_in_at_the_same_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each has its own event loop: none waits for the login of another, nor fails by it."""
    with WireNacos("3.0.3", auth=True) as server:
        async with AsyncExitStack() as stack:
            one = Nacos(settings_for(server, cache_dir=tmp_path))
            others = [one.in_namespace(f"other-{number}") for number in range(8)]
            for nacos in (one, *others):
                await stack.enter_async_context(nacos)
                for number in range(5):
                    nacos.discover(f"models-{number}")
            for nacos in (one, *others):
                for number in range(5):
                    await nacos.discover(f"models-{number}").known(10)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.feature("a wrong password is told as one")
async def test_a_wrong_password_is_told_as_one(nacos_wire: WireNacos) -> None:
    """Whatever the version's answer looks like: 0, 403 or 500."""
    settings = settings_for(nacos_wire, password="wrong")  # noqa: S106
    with pytest.raises(Denied, match="refused the user 'nacos' or the password"):
        await Administration(settings).credentials.headers()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, "lets the user nacos read models in namespace public, group DEFAULT_GROUP"),
        ({"password": "wrong"}, "refused the user 'nacos' or the password"),
        ({"namespace": "staging"}, "NACOS_NAMESPACE=staging does not exist"),
        ({"username": None, "password": None}, "NACOS_USERNAME is not set"),
    ],
    ids=["login", "password", "namespace", "nobody"],
)
async def test_a_check_of_the_access(
    nacos_wire: WireNacos, version: str, other: dict[str, Any], told: str
) -> None:
    """A line says which server lets whom read what, or why not."""
    works, line = await check_access("models", settings_for(nacos_wire, **other))
    assert told in line
    assert works is (not other)
    assert line.startswith(f"Nacos {version} at " if works else "Nacos at ")


@pytest.mark.feature("a namespace that does not exist is told")
async def test_a_namespace_that_is_not_there_is_told(nacos_wire: WireNacos) -> None:
    """A missing id is trouble, in both dialects."""
    for namespace, trouble in (("public", None), ("staging", "does not exist")):
        session = session_at(nacos_wire, namespace=namespace)
        await session.instances(SERVICE)
        told = await session.namespace_trouble()
        assert told is None if trouble is None else trouble in str(told)
        await session.close()


async def test_who_may_not_administer_is_told_what_is_known_of_the_namespace(
    version: str, tmp_path: Path
) -> None:
    """Before 3.0 everybody may see that it is absent; since then the state says what is missing."""
    with WireNacos(version, auth=False) as nacos_wire:
        settings = NacosSettings(
            server_addr=nacos_wire.access.server_addr, namespace="staging", cache_dir=tmp_path
        )
        async with Nacos(settings) as nacos:
            await eventually(lambda: nacos.states["nacos"]["namespace"])
            state = nacos.states["nacos"]
    if version < "3":
        assert "does not exist" in state["namespace"]
        assert state["namespace"] == state["trouble"]
    else:
        assert state["namespace"].startswith("not known: this user may not list namespaces")
        assert "/v3/admin/core/namespace" in state["namespace"]
        assert state["trouble"] is None
    assert state["ok"] is (version >= "3")


@pytest.mark.feature("no login is asked for by default", before="3.3")
async def test_a_client_without_a_login(version: str) -> None:
    """By default it was served until 3.3, where its error names the refusal."""
    with WireNacos(version) as nacos_wire:
        settings = NacosSettings(server_addr=nacos_wire.access.server_addr)
        session = SdkSession(settings, "test", Administration(settings))
        session.start()
        if version < "3.3":
            assert await session.fetch(DocumentKey("models", "DEFAULT_GROUP")) is None
        else:
            with pytest.raises(Denied, match="user not found"):
                await session.fetch(DocumentKey("models", "DEFAULT_GROUP"))
        await session.close()


@pytest.mark.feature("a lost connection is made again")
async def test_the_grpc_port_is_closed_and_opened_again(
    session: SdkSession, nacos_wire: WireNacos
) -> None:
    """The session ends with the port, tells why, and is back when the port is."""
    await session.register(SERVICE, INSTANCE)
    nacos_wire.close_grpc()
    await eventually(lambda: session.connection is None)
    assert nacos_wire.access.server_addr in str(session.trouble)
    nacos_wire.open_grpc()
    await eventually(lambda: session.connection is not None)
    assert (await session.instances(SERVICE)).instances == ()


@pytest.mark.feature("another version takes over the address")
async def test_another_version_takes_over_the_address(version: str, tmp_path: Path) -> None:
    """A client is at home there as it was before, in the other dialect, without a restart.

    A document that the new server lacks counts as deleted.
    """
    before = "2.2.3" if version >= "3" else "3.3.0"
    with WireNacos(before, auth=True) as old:
        world = RealWorld(old.access, tmp_path)
        nacos = world.client()
        nacos.start()
        announcement = nacos.announcement(SERVICE.name, port=8001)
        await announced(announcement)
        world.publish("models", "clusters: 4")
        watched = nacos.watch("models", Settings)
        await watched.start()
        await eventually(lambda: watched.value.clusters == 4)
    await eventually(lambda: announcement.state.shown is Shown.UNKNOWN)
    assert watched.value.clusters == 4

    with WireNacos(version, auth=True, instead_of=old.access):
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED)
        await eventually(lambda: watched.value == Settings())
        world.publish("models", "clusters: 5")
        await eventually(lambda: watched.value.clusters == 5)
        world.change(SERVICE.name, replace(announcement.state.wanted, weight=9.0))
        await eventually(lambda: world.shown(SERVICE.name)[0][1] == 9.0)
        await eventually(lambda: world.shown(SERVICE.name)[0][1] == 1.0)
        assert nacos.states["nacos"]["version"] == version
        await nacos.close()
