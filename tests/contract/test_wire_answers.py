"""The Nacos in memory answers on the wire what the real server of its version answers.

One list of questions, by HTTP and by gRPC, is put to both. Each field that the one in memory sends
must be in the real answer, with the same value; it may send fewer.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from stack.access import NacosAccess

from tests.nacos_wire import WireNacos
from tests.nacos_wire.asker import Asker, Test

pytestmark = [pytest.mark.anyio, pytest.mark.nacos]

VARYING = {"lastRefTime", "connectionId", "requestId", "accessToken", "message"}
"""Fields of which only the presence counts: times, numbers, tokens, and sentences."""
STATES = ("/v3/admin/core/state", "/v1/console/server/state", "/v3/admin/core/state/readiness")
NAMESPACES = ("/v3/admin/core/namespace/list", "/v1/console/namespaces")
LOGINS = ("/v3/auth/user/login", "/v1/auth/users/login")
CLIENTS, CONFIGURATION = ("/v1/ns", "/v3/client/ns"), "/v1/cs/configs"
NOT_THERE = {"ip": "10.0.0.7", "port": 80}


@pytest.fixture(scope="module")
def version(nacos_server: NacosAccess) -> str:
    """The version of the real server, as it tells it."""
    with nacos_server.http() as client:
        answers = [client.get(path).json() for path in STATES[:2]]
    told = [answer.get("data", answer).get("version") for answer in answers]
    return str(next(filter(None, told)))


@pytest.fixture
def both(nacos_server: NacosAccess, version: str) -> Iterator[tuple[Asker, Asker, str]]:
    """The one in memory and the real one, with a new namespace in both."""
    namespace = f"contract-{os.urandom(6).hex()}"
    with WireNacos(version, auth=True) as nacos:
        for access in (nacos.access, nacos_server):
            access.new_namespace(namespace)
        yield Asker(nacos.access), Asker(nacos_server), namespace


def of_models(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields that name the service `models` by gRPC, and those of a query for it."""
    place = {"namespace": namespace, "serviceName": "models", "groupName": "DEFAULT_GROUP"}
    return place, {**place, "cluster": "", "healthyOnly": False, "udpPort": 0}


async def compare(both: tuple[Asker, Asker, str], ask: Callable[[Asker, str], Any]) -> None:
    """Put the same questions to both, and compare the answers one by one."""
    memory, real, namespace = both
    await ask(memory, namespace)
    await ask(real, namespace)
    assert len(memory.answers) > 1
    for (question, mine), (_, theirs) in zip(memory.answers, real.answers, strict=True):
        assert within(mine, theirs), f"{question}:\n{mine}\n{theirs}"


def within(part: Any, whole: Any) -> bool:
    """Return whether every field of an answer is in another, with the same value."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(
            name in whole and (name in VARYING or within(value, whole[name]))
            for name, value in part.items()
        )
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return bool(part == whole)


async def test_logins_state_and_namespaces(both: tuple[Asker, Asker, str]) -> None:
    """The paths that are there, who may ask them, and how a wrong password is refused."""

    async def ask(asker: Asker, _: str) -> None:
        for path in LOGINS:
            await asker.http("POST", path, by="nobody", **asker.login)
            await asker.http("POST", path, by="nobody", **{**asker.login, "password": "wrong"})
        for path in (*STATES, "/v1/console/health/readiness", "/nowhere", "/v9/ns"):
            await asker.http("GET", path, by="nobody")
        for path in NAMESPACES:
            for by in ("nobody", "the token"):
                await asker.http("GET", path, by=by, shown=public_alone)

    await compare(both, ask)


async def test_instances_over_http(both: tuple[Asker, Asker, str]) -> None:
    """Clients' paths of v1 and v3, those of operators, and what a heartbeat is answered."""

    async def ask(asker: Asker, namespace: str) -> None:
        place = {"serviceName": "models", "groupName": "DEFAULT_GROUP", "namespaceId": namespace}
        instance = {**place, "ip": "10.0.0.1", "port": 80, "metadata": '{"a": "b"}', "weight": 2.0}
        known = {"ip": "10.0.0.1", "port": 80, "serviceName": "DEFAULT_GROUP@@models"}
        for path in CLIENTS:
            for by in ("nobody", "bearer", "the token"):
                await asker.http("POST", f"{path}/instance", by=by, **instance)
            await asker.http("GET", f"{path}/instance/list", by="nobody", **place)
            await asker.http("GET", f"{path}/instance/list", until=some("10.0.0.1"), **place)
            east = {"ip": "10.0.0.2", "clusterName": "east"}
            await asker.http("POST", f"{path}/instance", **{**instance, **east})
            every = {**place, "clusterName": ",", "clusters": ""}
            for asked, seen in ((every, some("10.0.0.2")), (place, some("10.0.0.1"))):
                listed = f"{path}/instance/list"
                await asker.http("GET", listed, until=seen, shown=clusters, **asked)
            await asker.http("DELETE", f"{path}/instance", **{**instance, **east})
            await asker.http("GET", listed, until=without("10.0.0.2"), shown=clusters, **every)
            await asker.http("GET", f"{path}/instance/list", **{**place, "serviceName": "nobody"})
        beat = {**place, "beat": json.dumps({**known, "cluster": "DEFAULT"})}
        await asker.http("PUT", "/v1/ns/instance/beat", **beat)
        await asker.http("PUT", "/v1/ns/instance/beat", **place, **NOT_THERE)
        await asker.http("POST", "/v3/client/ns/instance", heartBeat="true", **instance)
        await asker.http("POST", "/v3/client/ns/instance", heartBeat="true", **place, **NOT_THERE)
        for path in ("/v3/admin/ns", "/v1/ns"):
            changed = {**instance, "weight": 3.0, "enabled": "false"}
            await asker.http("PUT", f"{path}/instance", by="nobody", **changed)
            await asker.http("PUT", f"{path}/instance", **changed)
            await asker.http("PUT", f"{path}/service", protectThreshold=0.4, **place)
        listing = {"clusterName": "DEFAULT", "pageNo": 1, "pageSize": 10, **place}
        changed_since = some('"weight": 3.0')
        await asker.http("GET", "/v3/admin/ns/instance/list", until=changed_since, **place)
        await asker.http("GET", "/v1/ns/catalog/service", **place)
        await asker.http("GET", "/v1/ns/catalog/instances", until=changed_since, **listing)
        unknown = {**place, "serviceName": "nobody"}
        await asker.http("GET", "/v3/admin/ns/instance/list", **unknown)
        await asker.http("GET", "/v1/ns/catalog/service", **unknown)
        await asker.http("GET", "/v1/ns/catalog/instances", **{**listing, "clusterName": "west"})
        for path in CLIENTS:
            await asker.http("DELETE", f"{path}/instance", **instance)

    await compare(both, ask)


async def test_documents_over_http(both: tuple[Asker, Asker, str]) -> None:
    """Reading, writing and listening, in `public` by its name and by none, and in a namespace."""
    data_id = f"wire-{os.urandom(6).hex()}"

    def places(tenant: str) -> tuple[dict[str, str], dict[str, str]]:
        name = f"{data_id}-{tenant == 'public'}"
        v1 = {"dataId": name, "group": "DEFAULT_GROUP", "tenant": tenant}
        return v1, {"dataId": name, "groupName": "DEFAULT_GROUP", "namespaceId": tenant}

    async def ask(asker: Asker, namespace: str) -> None:
        for tenant in ("public", "", namespace):
            document, v3 = places(tenant)
            content = {"content": "a: 1", "type": "yaml"}
            await asker.http("GET", CONFIGURATION, by="nobody", **document)
            await asker.http("GET", CONFIGURATION, **document)
            await asker.http("GET", "/v3/client/cs/config", **v3)
            await asker.http("POST", CONFIGURATION, by="nobody", **document, **content)
            await asker.http("POST", CONFIGURATION, **document, **content)
            await asker.http("POST", "/v3/admin/cs/config", by="nobody", **v3, **content)
        # Not every version ever shows a document of `public` by that name: the one written first is
        # asked for last, when those written after it are seen.
        for tenant in (namespace, "", "public"):
            document, v3 = places(tenant)
            written = some("a: 1") if tenant != "public" else None
            await asker.http("GET", CONFIGURATION, until=written, **document)
            await asker.http("GET", "/v3/client/cs/config", **v3)
            for listened in (tenant, "", "public"):
                words = "\x02".join((document["dataId"], "DEFAULT_GROUP", "", listened))
                configs = {"Listening-Configs": f"{words}\x01"}
                await asker.http("POST", f"{CONFIGURATION}/listener", **configs)
            await asker.http("DELETE", CONFIGURATION, **document)

    await compare(both, ask)


async def test_connections_by_grpc(both: tuple[Asker, Asker, str]) -> None:
    """What is answered before a connection is registered, and to whom it is refused after."""

    async def ask(asker: Asker, namespace: str) -> None:
        _, query = of_models(namespace)
        async with asker.connection() as connection:
            told = await connection.ask("ServerCheckRequest", by="nobody")
            for kind in ("HealthCheckRequest", "NoSuchRequest"):
                await connection.ask(kind, by="nobody")
            await connection.ask("PersistentInstanceRequest", type="registerInstance")
            await connection.set_up()
            if told.get("supportAbilityNegotiation"):
                await connection.pushed("SetupAckRequest")
            await connection.ask("NoSuchRequest")
            await connection.ask("ServiceQueryRequest", by="nobody", **query)
            await connection.ask("ServiceQueryRequest", **query)
            document = {"dataId": "models", "group": "DEFAULT_GROUP", "tenant": namespace}
            await connection.ask("ConfigQueryRequest", by="nobody", **document)
            await connection.ask("ConfigQueryRequest", **document)
            contexts = {"listen": True, "configListenContexts": [{**document, "md5": ""}]}
            await connection.ask("ConfigBatchListenRequest", by="nobody", **contexts)
            await connection.ask("ConfigBatchListenRequest", **contexts)

    await compare(both, ask)


async def test_instances_by_grpc(both: tuple[Asker, Asker, str]) -> None:
    """What is registered is listed and pushed; a connection has one instance of a service."""

    async def ask(asker: Asker, namespace: str) -> None:
        place, query = of_models(namespace)
        instance = {
            "ip": "10.0.0.2",
            "port": 81,
            "weight": 1.5,
            "healthy": True,
            "enabled": True,
            "ephemeral": True,
            "clusterName": "east",
            "serviceName": "models",
            "metadata": {"v": "1"},
        }
        other, kept = {**instance, "port": 82}, {**instance, "ephemeral": False}
        async with asker.connection() as connection:
            await connection.set_up()
            await connection.ask("SubscribeServiceRequest", subscribe=True, clusters="", **place)
            await connection.ask("InstanceRequest", by="nobody", type="registerInstance", **place)
            for each in (instance, other):
                await connection.ask(
                    "InstanceRequest", type="registerInstance", instance=each, **place
                )
                await connection.pushed("NotifySubscriberRequest")
            await connection.ask("ServiceQueryRequest", until=some('"port": 82'), **query)
            await connection.ask(
                "InstanceRequest", type="deregisterInstance", instance=other, **place
            )
            await connection.pushed("NotifySubscriberRequest")
            elsewhere = {**place, "serviceName": "kept"}
            for what in ("registerInstance", "deregisterInstance"):
                await connection.ask(
                    "PersistentInstanceRequest", type=what, instance=kept, **elsewhere
                )

    await compare(both, ask)


async def test_documents_by_grpc(both: tuple[Asker, Asker, str]) -> None:
    """A document of `public` is found where the version looks for it; a stale write is refused."""
    data_id = f"wire-{os.urandom(6).hex()}"

    async def ask(asker: Asker, namespace: str) -> None:
        for tenant in (namespace, "", "public"):
            key = {"dataId": f"{data_id}-{tenant == 'public'}", "group": "DEFAULT_GROUP"}
            document = {**key, "tenant": tenant}
            write = {**document, "casMd5": None, "additionMap": {"type": "yaml"}}
            async with asker.connection() as connection:
                await connection.set_up()
                await connection.ask("ConfigPublishRequest", by="nobody", content="a: 1", **write)
                await connection.ask("ConfigPublishRequest", content="a: 1", **write)
                await connection.ask("ConfigQueryRequest", until=found, **document)
                for other in ("", "public"):
                    spelled = {**key, "tenant": other}
                    contexts = {"listen": True, "configListenContexts": [{**spelled, "md5": ""}]}
                    await connection.ask("ConfigQueryRequest", **spelled)
                    await connection.ask("ConfigBatchListenRequest", **contexts)
                contexts = {"listen": True, "configListenContexts": [{**document, "md5": ""}]}
                await connection.ask("ConfigBatchListenRequest", **contexts)
                stale = {**write, "casMd5": "0cc175b9c0f1b6a831c399e269772661"}
                await connection.ask("ConfigPublishRequest", content="a: 2", **stale)
                await connection.ask("ConfigPublishRequest", content="a: 3", **write)
                await connection.pushed("ConfigChangeNotifyRequest")
                await connection.ask("ConfigRemoveRequest", **document)
                await connection.ask("ConfigQueryRequest", until=lambda a: not found(a), **document)

    await compare(both, ask)


async def test_trials_by_grpc(both: tuple[Asker, Asker, str]) -> None:
    """Who gets the document of a beta or of a tag, with which MD5, and until when."""
    data_id = f"wire-{os.urandom(6).hex()}"
    blue = {"Vipserver-Tag": "blue", "app_Vipserver-Tag": "blue"}

    async def ask(asker: Asker, namespace: str) -> None:
        v1 = {"dataId": data_id, "group": "DEFAULT_GROUP", "tenant": namespace}
        v3 = {"dataId": data_id, "groupName": "DEFAULT_GROUP", "namespaceId": namespace}
        path, place = ("/v3/admin/cs/config", v3) if asker.dialect == "v3" else (CONFIGURATION, v1)
        end, beta = (f"{path}/beta", {}) if asker.dialect == "v3" else (path, {"beta": "true"})
        async with asker.connection() as tried, asker.connection() as other:
            await tried.set_up("10.0.0.1", **blue)
            await other.set_up("10.0.0.2")

            async def query(until: Test, *, by: str = "the tag") -> None:
                await tried.ask("ConfigQueryRequest", by=by, until=until, **v1)
                await other.ask("ConfigQueryRequest", **v1)
                for content in ("a: 1", "a: 2", "a: 3"):
                    md5 = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest()
                    contexts = {"listen": True, "configListenContexts": [{**v1, "md5": md5}]}
                    await tried.ask("ConfigBatchListenRequest", by=by, **contexts)
                    await other.ask("ConfigBatchListenRequest", **contexts)

            await asker.http("POST", path, content="a: 1", type="yaml", **place)
            await query(found)
            await asker.http("POST", path, content="a: 2", ips="10.0.0.1", type="yaml", **place)
            await tried.pushed("ConfigChangeNotifyRequest")
            await query(lambda answer: answer.get("beta") is True)
            await asker.http("DELETE", end, **place, **beta)
            await tried.pushed("ConfigChangeNotifyRequest")
            await query(lambda answer: answer.get("content") == "a: 1")
            await asker.http("POST", path, content="a: 3", tag="blue", type="yaml", **place)
            await tried.pushed("ConfigChangeNotifyRequest")
            await query(lambda answer: answer.get("tag") == "blue")
            await query(found, by="the token")
            for name in ("blue", "tag_blue"):
                await asker.http("DELETE", path, **place, tag=name)
            await tried.pushed("ConfigChangeNotifyRequest")
            await query(lambda answer: answer.get("content") == "a: 1")

    await compare(both, ask)


def some(text: str) -> Test:
    """Return a test whether an answer has a text, or is an error page."""
    return lambda body: text in json.dumps(body) or (isinstance(body, dict) and "status" in body)


def without(text: str) -> Test:
    """Return a test whether an answer does not have a text."""
    return lambda body: text not in json.dumps(body)


def clusters(body: Any) -> Any:
    """Return the clusters of a list of instances, in the order of the alphabet."""
    hosts = body.get("hosts", body.get("data")) if isinstance(body, dict) else None
    return sorted(host["clusterName"] for host in hosts) if isinstance(hosts, list) else body


def found(answer: Mapping[str, Any]) -> bool:
    """Return whether a document was found."""
    return "content" in answer


def public_alone(body: Any) -> Any:
    """Return a list of namespaces without those that other tests made."""
    if "data" not in body:
        return body
    return {**body, "data": [n for n in body["data"] if n["namespaceShowName"] == "public"]}
