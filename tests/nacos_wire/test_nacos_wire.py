"""What the Nacos in memory does by its version: each difference of the table, seen on the wire.

That real servers do the same is shown in `tests/contract`, for the versions that can be started.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.nacos_wire import WireNacos
from tests.nacos_wire.asker import Asker

pytestmark = pytest.mark.anyio

PLACE = {"serviceName": "models", "groupName": "DEFAULT_GROUP", "namespaceId": "public"}
INSTANCE = {**PLACE, "ip": "10.0.0.1", "port": 80}
BY_GRPC = {"namespace": "public", "serviceName": "models", "groupName": "DEFAULT_GROUP"}
DOCUMENT = {"dataId": "models", "group": "DEFAULT_GROUP"}
WRITE = {"casMd5": None, "additionMap": {"type": "yaml"}}
PATIENCE_SECONDS = 8.0
OK, DENIED, MISSING, GONE, FAILED = 200, 403, 404, 410, 500


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture
def nacos(request: pytest.FixtureRequest) -> Iterator[WireNacos]:
    """A server of the version that the test names, with authentication on."""
    with WireNacos(request.param, auth=True) as made:
        yield made


def versions(**expected: Any) -> pytest.MarkDecorator:
    """Run a test for each version, written `v2_0_4`, with what is expected of it."""
    rows = [(name[1:].replace("_", "."), value) for name, value in expected.items()]
    return pytest.mark.parametrize(("nacos", "expected"), rows, indirect=["nacos"])


@versions(v2_0_4=False, v2_2_3=False, v2_3_2=True, v3_0_3=True)
async def test_a_request_before_registration_is_refused(nacos: WireNacos, expected: bool) -> None:
    """With 301, in every version; since 2.3 the server says when the time has come."""
    async with Asker(nacos.access).connection() as connection:
        told = await connection.ask("ServerCheckRequest")
        early = await connection.ask("HealthCheckRequest")
        await connection.set_up()
        if expected:
            await connection.pushed("SetupAckRequest")
    assert early["errorCode"] == 301
    assert told.get("supportAbilityNegotiation", False) is expected


@versions(v2_0_4="", v2_1_0="its key", v3_0_3="its key")
async def test_the_key_of_an_encrypted_document_is_kept(nacos: WireNacos, expected: str) -> None:
    """Since 2.1."""
    place = {**DOCUMENT, "tenant": ""}
    async with Asker(nacos.access).connection() as connection:
        await connection.set_up()
        more = {"type": "yaml", "encryptedDataKey": "its key"}
        write = {"casMd5": None, "additionMap": more, "content": "0a1b", **place}
        await connection.ask("ConfigPublishRequest", **write)
        read = await connection.ask("ConfigQueryRequest", **place)
    assert read.get("encryptedDataKey", "") == expected


@versions(v2_4_3=("a: 2", "a: 1"), v2_5_1=("a: 1", "a: 2"))
async def test_the_tag_is_a_header_or_a_label(nacos: WireNacos, expected: tuple[str, str]) -> None:
    """Before 2.5 a reader with the header gets a tag's document, since then one with the label."""
    nacos.access.publish("models", "a: 1")
    nacos.access.publish("models", "a: 2", tag="blue")
    place, read = {**DOCUMENT, "tenant": ""}, list[str]()
    for by, labels in (("the tag", {}), ("the token", {"app_Vipserver-Tag": "blue"})):
        async with Asker(nacos.access).connection() as connection:
            await connection.set_up(**labels)
            read.append((await connection.ask("ConfigQueryRequest", by=by, **place))["content"])
    assert tuple(read) == expected


@versions(v2_4_3="other", v2_5_1="models")
async def test_a_tags_document_is_pushed_by_the_label(nacos: WireNacos, expected: str) -> None:
    """Before 2.5 a connection without the label hears of the next document only."""
    asker, places = Asker(nacos.access), [{**DOCUMENT, "tenant": "", "md5": ""}]
    places.append({**places[0], "dataId": "other"})
    async with asker.connection() as connection:
        await connection.set_up()
        listen = {"listen": True, "configListenContexts": places}
        await connection.ask("ConfigBatchListenRequest", **listen)
        nacos.access.publish("models", "a: 1", tag="blue")
        nacos.access.publish("other", "a: 1")
        await connection.pushed("ConfigChangeNotifyRequest")
    assert asker.answers[-1][1]["dataId"] == expected


@versions(v2_0_4=302, v2_2_3=302, v2_3_2=0)
async def test_a_missing_handler_is_302(nacos: WireNacos, expected: int) -> None:
    """Persistent instances have no handler before 2.3."""
    instance = {"ip": "10.0.0.1", "port": 80, "clusterName": "DEFAULT", "weight": 1.0}
    more = {"metadata": {}, "healthy": True, "enabled": True, "ephemeral": False}
    async with Asker(nacos.access).connection() as connection:
        await connection.set_up()
        body = {**BY_GRPC, "type": "registerInstance", "instance": {**instance, **more}}
        answer = await connection.ask("PersistentInstanceRequest", **body)
    assert answer["errorCode"] == expected


@versions(v2_0_4=DENIED, v2_1_0=OK, v3_0_3=OK)
async def test_the_token_in_a_header_of_its_own(nacos: WireNacos, expected: int) -> None:
    """2.0 looks for it in `Authorization` only."""
    asker = Asker(nacos.access)
    assert (await asker.http("POST", "/v1/ns/instance", **INSTANCE))["status"] == expected
    assert (await asker.http("POST", "/v1/ns/instance", by="bearer", **INSTANCE))["status"] == OK


@versions(v2_0_4=0, v2_2_3=0, v2_4_3=DENIED, v2_5_1=DENIED, v3_0_3=FAILED, v3_3_0=FAILED)
async def test_a_refused_login(nacos: WireNacos, expected: int) -> None:
    """Its status is that of the version: none, 403 or 500."""
    path = "/v1/auth/users/login" if expected in {0, DENIED} else "/v3/auth/user/login"
    asker = Asker(nacos.access)
    answer = await asker.http("POST", path, **{**asker.login, "password": "wrong"})
    assert answer["status"] == expected


@versions(v2_0_4=True, v2_2_3=True, v2_3_2=False, v3_0_3=False)
async def test_a_stale_write(nacos: WireNacos, expected: bool) -> None:
    """Before 2.3 it is taken."""
    async with Asker(nacos.access).connection() as connection:
        await connection.set_up()
        document = {**DOCUMENT, **WRITE, "tenant": ""}
        await connection.ask("ConfigPublishRequest", content="a: 1", **document)
        stale = {**document, "casMd5": "0cc175b9c0f1b6a831c399e269772661"}
        answer = await connection.ask("ConfigPublishRequest", content="a: 2", **stale)
    assert answer["success"] is expected


@versions(v2_0_4=(False, False), v2_5_0=(False, False), v2_5_1=(True, False), v3_0_3=(True, True))
async def test_the_tenant_public(nacos: WireNacos, expected: tuple[bool, bool]) -> None:
    """Where documents of the empty tenant are found under `public`: by a query, by a listener."""
    async with Asker(nacos.access).connection() as connection:
        await connection.set_up()
        await connection.ask("ConfigPublishRequest", content="a: 1", **DOCUMENT, **WRITE, tenant="")
        query = await connection.ask("ConfigQueryRequest", **DOCUMENT, tenant="public")
        context = {**DOCUMENT, "tenant": "public", "md5": ""}
        listen = {"listen": True, "configListenContexts": [context]}
        changed = await connection.ask("ConfigBatchListenRequest", **listen)
    assert (query["success"], changed["changedConfigs"] != []) == expected


@versions(
    v2_0_4=(OK, OK, MISSING),
    v2_5_1=(OK, OK, MISSING),
    v3_0_3=(OK, GONE, OK),
    v3_2_0=(MISSING, MISSING, OK),
    v3_3_0=(MISSING, MISSING, OK),
)
async def test_the_paths_of_v1_and_v3(nacos: WireNacos, expected: tuple[int, int, int]) -> None:
    """Those of v1 for clients, those of v1 for operators, and those of v3."""
    asker = Asker(nacos.access)
    paths = ("/v1/ns/instance/list", "/v1/console/server/state", "/v3/admin/core/state")
    told = [await asker.http("GET", path, by="bearer", **PLACE) for path in paths]
    assert tuple(answer["status"] for answer in told) == expected


@pytest.mark.parametrize(
    ("version", "for_clients", "for_operators"),
    [("2.5.1", OK, None), ("3.0.3", OK, DENIED), ("3.3.0", DENIED, DENIED)],
)
async def test_who_needs_a_login_by_default(
    version: str, for_clients: int, for_operators: int | None
) -> None:
    """Operators since 3.0, clients since 3.3."""
    with WireNacos(version) as nacos:
        asker = Asker(nacos.access)
        prefix = "/v1/ns" if for_operators is None else "/v3/client/ns"
        answer = await asker.http("GET", f"{prefix}/instance/list", by="nobody", **PLACE)
        assert answer["status"] == for_clients
        if for_operators is not None:
            path = "/v3/admin/core/namespace/list"
            assert (await asker.http("GET", path, by="nobody"))["status"] == for_operators


@versions(v2_0_4="/v1/ns", v3_0_3="/v3/client/ns")
async def test_an_instance_without_beats_is_unhealthy(nacos: WireNacos, expected: str) -> None:
    """The next beat makes it healthy again; its metadata set the milliseconds."""
    metadata = {"preserved.heart.beat.timeout": "300"}
    instance = {**INSTANCE, "metadata": json.dumps(metadata)}
    asker = Asker(nacos.access)
    await asker.http("POST", f"{expected}/instance", by="bearer", **instance)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await health(asker, expected) != [False]:
            pass
        while await health(asker, expected) != [True]:
            if expected == "/v1/ns":
                beat = json.dumps({"ip": "10.0.0.1", "port": 80, "metadata": metadata})
                await asker.http("PUT", "/v1/ns/instance/beat", by="bearer", **PLACE, beat=beat)
            else:
                await asker.http("POST", f"{expected}/instance", heartBeat="true", **instance)


@versions(v2_0_4="/v1/ns", v3_0_3="/v3/client/ns")
async def test_an_instance_without_beats_goes(nacos: WireNacos, expected: str) -> None:
    """Its metadata set after how many milliseconds; a persistent one needs no beats."""
    asker = Asker(nacos.access)
    brief = {**INSTANCE, "metadata": json.dumps({"preserved.ip.delete.timeout": "300"})}
    for service, ephemeral in (("kept", "false"), ("models", "true")):
        instance = {**brief, "serviceName": service, "ephemeral": ephemeral}
        told = await asker.http("POST", f"{expected}/instance", by="bearer", **instance)
        assert told["status"] == OK
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await health(asker, expected):
            pass
    assert await health(asker, expected, "kept") == [True]


async def health(asker: Asker, path: str, service: str = "models") -> list[bool]:
    """Return the health of each instance that a service has."""
    place = {**PLACE, "serviceName": service}
    body = (await asker.http("GET", f"{path}/instance/list", by="bearer", **place))["body"]
    return [host["healthy"] for host in (body["hosts"] if "hosts" in body else body["data"])]


@versions(v2_0_4="", v3_0_3="public")
async def test_a_long_poll_ends_with_a_change(nacos: WireNacos, expected: str) -> None:
    """It names the document as the question did."""
    asker = Asker(nacos.access)
    listening = {"Listening-Configs": f"models\x02DEFAULT_GROUP\x02\x02{expected}\x01"}
    path = "/v1/cs/configs/listener"
    waiting = asyncio.create_task(asker.http("POST", path, by="bearer", patient=True, **listening))
    write = {**DOCUMENT, "tenant": "", "content": "a: 1"}
    await asker.http("POST", "/v1/cs/configs", by="bearer", **write)
    named = "models%02DEFAULT_GROUP" + (f"%02{expected}" if expected else "")
    assert (await waiting)["body"] == f"{named}%01\n"


async def test_http_goes_on_without_grpc() -> None:
    """As where a firewall passes one port only; what the closed connections carried is gone."""
    with WireNacos("3.0.3") as nacos:
        nacos.close_grpc()
        asker = Asker(nacos.access)
        assert (await asker.http("POST", "/v3/client/ns/instance", **INSTANCE))["status"] == OK
        nacos.open_grpc()
        async with asker.connection() as connection:
            await connection.set_up()


async def test_another_context_path() -> None:
    """Every path is below it, and nothing beside it."""
    with WireNacos("3.0.3", context_path="/registry") as nacos, nacos.access.http() as client:
        there = client.get("../registry/v3/admin/core/state").status_code
        beside = client.get("/v3/admin/core/state").status_code
    assert (there, beside) == (OK, MISSING)
