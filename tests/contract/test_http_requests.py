"""The requests of a client over HTTP alone: what is sent, and what is made of each answer."""

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from failover import Instance
from hypothesis import given, strategies as st
from nacos_client import Conflict, Denied, NacosSettings, Refused, Unreachable
from nacos_client._sdk import http
from nacos_client._sdk.access_key import AccessKey, sign
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.client_api import BEAT_LIMITS, BEAT_SECONDS, ClientApi, beat_pause
from nacos_client._sdk.either import EitherSession
from nacos_client._sdk.http_api import HttpApi
from nacos_client._sdk.http_session import ASK_SECONDS, HttpSession
from nacos_client._sdk.link import Link
from nacos_client._sdk.wire import Message, encode
from nacos_client.ports import DocumentKey, ServiceKey
from pydantic import SecretStr
from stack.ports import free_port

from tests.contract.test_nacos_contract import eventually
from tests.nacos_wire import WireNacos
from tests.nacos_wire.http_port import HttpPort, Reply, Request

pytestmark = pytest.mark.anyio

SERVICE, KEY = ServiceKey("models", "BLUE"), DocumentKey("models", "BLUE")
INSTANCE = Instance("10.0.0.1", 8001)
V1 = {"GET /v1/console/server/state": Reply(200, '{"version": "2.5.1"}')}
V3 = {"GET /v3/admin/core/state": Reply(200, '{"code": 0, "data": {"version": "3.1.0"}}')}
NOWHERE = Reply(404, "{}")


class Server:
    """An HTTP server that answers as a test says, and keeps what it was asked.

    Attributes:
        answers: the reply by `METHOD path`; all else is 404.
        asked: the requests, but for those of the server's version.
    """

    def __init__(self, answers: dict[str, Reply]) -> None:
        self.answers = answers
        self.asked: list[Request] = []
        self.port = free_port()
        self.http = HttpPort(self._answer)

    async def _answer(self, asked: Request) -> Reply:
        line = f"{asked.method} {asked.path.removeprefix('/nacos')}"
        if "/state" not in line:
            self.asked.append(asked)
        reply = self.answers.get(line, NOWHERE)
        if reply.status == HELD:
            await asyncio.Event().wait()
        return reply


HELD = -1
"""The status of a reply that never comes."""
Start = Callable[..., Awaitable[tuple[Server, ClientApi]]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers that end with the test; each comes with a client of it."""
    servers: list[Server] = []

    async def begin(answers: dict[str, Reply], **settings: Any) -> tuple[Server, ClientApi]:
        server = Server(answers)
        await server.http.open(server.port)
        servers.append(server)
        made = NacosSettings(server_addr=f"127.0.0.1:{server.port}", **settings)
        return server, ClientApi(HttpApi(made), made.namespace)

    yield begin
    for server in servers:
        await server.http.close()


def at(server: Server) -> tuple[str, int]:
    """Return where a server listens."""
    return "127.0.0.1", server.port


@given(st.text() | st.integers() | st.floats() | st.none() | st.lists(st.integers()))
def test_whatever_interval_is_told_the_beats_are_neither_rare_nor_many(told: object) -> None:
    """What is no number is as good as not told."""
    shortest, longest = BEAT_LIMITS
    assert shortest <= beat_pause(told) <= longest


@pytest.mark.parametrize(
    ("told", "seconds"),
    [(3000, 3.0), ("2500", 2.5), (None, BEAT_SECONDS), ("soon", BEAT_SECONDS), (0, BEAT_LIMITS[0])],
)
def test_an_interval_is_milliseconds(told: object, seconds: float) -> None:
    """As a number or as text."""
    assert beat_pause(told) == seconds


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ({**V1, "PUT /v1/ns/instance/beat": '{"code": 10200, "clientBeatInterval": 3000}'}, 3.0),
        ({**V1, "PUT /v1/ns/instance/beat": '{"code": 20404, "clientBeatInterval": 5000}'}, None),
        ({**V3, "POST /v3/client/ns/instance": '{"code": 0, "data": "ok"}'}, 2.0),
        ({**V3, "POST /v3/client/ns/instance": '{"code": 21003, "data": null}'}, None),
    ],
)
async def test_a_beat(start: Start, answers: dict[str, Any], told: float | None) -> None:
    """The answer says when the next is due, else the metadata do; or that nobody knows of it."""
    replies = {
        line: reply if isinstance(reply, Reply) else Reply(200, reply)
        for line, reply in answers.items()
    }
    server, api = await start(replies)
    instance = Instance("10.0.0.1", 8001, metadata={"preserved.heart.beat.interval": "2000"})
    assert await api.beat(at(server), SERVICE, instance) == told
    [asked] = server.asked
    assert (asked.fields["serviceName"], asked.fields["groupName"]) == ("models", "BLUE")
    assert "beat" not in asked.fields  # the short form, which registers nothing


async def test_a_request_is_signed_for_what_it_asks(start: Start) -> None:
    """By the access key, in headers, as over gRPC: for a service, a document, and neither."""
    answers = {
        **V1,
        "GET /v1/ns/instance/list": Reply(200, '{"hosts": []}'),
        "GET /v1/cs/configs": Reply(200, "a: 1", "text/plain"),
        "POST /v1/cs/configs/listener": Reply(200, ""),
    }
    keys = {"access_key": "ours", "secret_key": SecretStr("hidden"), "namespace": "prod"}
    server, api = await start(answers, **keys)
    await api.instances(at(server), SERVICE)
    await api.fetch(at(server), KEY)
    await api.changed(at(server), {KEY: ""}, hold=False)
    naming, document, listener = (asked.headers for asked in server.asked)

    def signed(millis: str, **what: str | None) -> dict[str, str]:
        wanted = {"region": None, "naming": None, "config": None, **what}
        made = sign(AccessKey(id="ours", secret=SecretStr("hidden")), millis=int(millis), **wanted)
        return {name.lower(): value for name, value in made.items()}

    wanted = signed(naming["data"].partition("@@")[0], naming="BLUE@@models")
    assert wanted.items() <= naming.items()
    assert signed(document["timestamp"], config="prod+BLUE").items() <= document.items()
    assert signed(listener["timestamp"], config="").items() <= listener.items()


async def test_a_token_that_is_refused_is_renewed_once(start: Start) -> None:
    """A 403 may mean that the server has another key now; a second one means no permission."""
    answers = {
        **V3,
        "POST /v3/auth/user/login": Reply(200, '{"accessToken": "t", "tokenTtl": 18000}'),
        "GET /v3/client/ns/instance/list": Reply(403, '{"code": 403, "message": "no"}'),
    }
    server, api = await start(answers, username="u", password=SecretStr("p"))
    with pytest.raises(Denied):
        await api.instances(at(server), SERVICE)
    paths = [asked.path.rpartition("/")[2] for asked in server.asked]
    assert paths == ["login", "list", "login", "list"]


async def test_a_document_without_headers(start: Start) -> None:
    """A proxy may drop those with the type and the MD5, which then is that of the text."""
    server, api = await start({**V1, "GET /v1/cs/configs": Reply(200, "a: 1", "text/plain")})
    found = await api.fetch(at(server), KEY)
    assert found is not None
    assert (found.content, found.type) == ("a: 1", "yaml")
    assert found.md5 == hashlib.md5(b"a: 1", usedforsecurity=False).hexdigest()


async def test_what_nacos_refuses_is_told_with_its_words(start: Start) -> None:
    """With its code; a write over another version is a conflict."""
    conflict = {"code": 20005, "message": "conflict", "data": "Cas publish fail, server md5 ..."}
    server, api = await start(
        {
            **V3,
            "POST /v3/client/ns/instance": Reply(400, '{"code": 10000, "message": "bad weight"}'),
            "POST /v3/admin/cs/config": Reply(500, json.dumps(conflict)),
        }
    )
    with pytest.raises(Refused, match="bad weight") as refused:
        await api.register(at(server), SERVICE, INSTANCE, ephemeral=True)
    assert refused.value.code == 10000
    with pytest.raises(Conflict):
        await api.publish(at(server), KEY, {"content": "a: 1", "type": "yaml"}, "0cc1")
    assert server.asked[-1].headers["casmd5"] == "0cc1"


async def test_an_answer_without_end_is_not_read_to_its_end(start: Start) -> None:
    """Nor is a part of it taken for the whole."""
    long = Reply(200, "x" * (http.MAX_BYTES + 1), "text/plain")
    server, api = await start({**V1, "GET /v1/cs/configs": long})
    with pytest.raises(Refused, match="an answer of over"):
        await api.fetch(at(server), KEY)


async def test_a_key_that_http_would_lose_is_not_published() -> None:
    """Between 2.1 and 2.3 a server keeps the key of an encrypted document by gRPC alone."""
    with WireNacos("2.2.3", auth=False) as nacos:
        settings = NacosSettings(server_addr=nacos.access.server_addr)
        session = HttpSession(HttpApi(settings), settings.namespace)
        session.enter(settings.servers[0])
        with pytest.raises(Refused, match=r"loses the key .* 2\.3\.0 or later"):
            await session.publish(KEY, "0a1b", "yaml", None, "its key")
        assert await session.fetch(KEY) is None
        await session.close()


@pytest.mark.parametrize(("state", "told"), [(V1, "blue"), (V3, None)])
async def test_a_long_poll_is_about_the_document_that_is_read(
    start: Start, state: dict[str, Reply], told: str | None
) -> None:
    """By v3 none is read for a tag (ConfigOpenApiController), but v1's poll would compare it."""
    listener = {"POST /v1/cs/configs/listener": Reply(200, "")}
    server, api = await start({**state, **listener}, labels="Vipserver-Tag=blue")
    await api.changed(at(server), {KEY: ""}, hold=True)
    [asked] = server.asked
    assert asked.headers.get("vipserver-tag") == told


async def test_a_poll_that_contradicts_what_is_read_is_not_repeated_at_once(start: Start) -> None:
    """Behind one address may be servers of which some are late: they are asked in peace."""
    changed = quote("models\x02BLUE\x01")
    server, _ = await start(
        {
            **V1,
            "GET /v1/cs/configs": Reply(200, "a: 1", "text/plain"),
            "POST /v1/cs/configs/listener": Reply(200, changed),
        }
    )
    settings = NacosSettings(server_addr=f"127.0.0.1:{server.port}")
    session = HttpSession(HttpApi(settings), settings.namespace)
    session.enter(at(server))
    told: list[float] = []
    reads: set[asyncio.Task[Any]] = set()

    def read() -> None:
        told.append(time.monotonic())
        reads.add(asyncio.create_task(session.fetch(KEY)))

    assert await session.listen(KEY, "", read)
    await session.fetch(KEY)
    await eventually(lambda: len(told) == 3)
    await session.close()
    assert told[2] - told[0] >= 2 * ASK_SECONDS


async def test_servers_that_are_silent_do_not_hide_the_one_that_answers() -> None:
    """However long each question to them takes, HTTP alone is used once gRPC was tried."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        nacos = stack.enter_context(WireNacos("3.0.3"))
        nacos.close_grpc()
        places = [f"127.0.0.1:{each.getsockname()[1]}" for each in silent]
        addresses = ",".join((*places, nacos.access.server_addr))
        settings = NacosSettings(server_addr=addresses)
        session = EitherSession(settings, "test", Administration(settings))
        session.start()
        await eventually(lambda: session.transport.startswith("HTTP only"), seconds=40)
        await session.close()


async def test_a_long_poll_that_nobody_waits_for_frees_its_thread(start: Start) -> None:
    """The connection ends, too: the server need not hold it."""
    server, api = await start({**V1, "POST /v1/cs/configs/listener": Reply(HELD, "")})
    poll = asyncio.create_task(api.changed(at(server), {KEY: ""}, hold=True))
    await eventually(lambda: server.asked)
    poll.cancel()
    await asyncio.wait([poll])
    # A thread that still read from the server would keep the executor from ending.
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_an_instance_that_nacos_forgot_is_registered_again() -> None:
    """By its next beat; and it is taken out when the session closes, though it was left before."""
    beats = {"preserved.heart.beat.interval": "1000"}
    instance = Instance("10.0.0.1", 8001, metadata=beats)
    for version in ("2.0.4", "3.3.0"):
        with WireNacos(version, auth=True) as nacos:
            access = nacos.access
            settings = NacosSettings(
                server_addr=access.server_addr,
                username=access.username,
                password=SecretStr(access.password),
            )
            session = HttpSession(HttpApi(settings), settings.namespace)
            session.enter(settings.servers[0])
            await session.register(ServiceKey("models", "DEFAULT_GROUP"), instance)
            session.leave()
            [there] = access.instances("models")
            other = ClientApi(HttpApi(settings), settings.namespace)
            await other.deregister(
                settings.servers[0],
                ServiceKey("models", "DEFAULT_GROUP"),
                instance,
                ephemeral=True,
            )
            assert access.instances("models") == []
            await eventually(lambda wanted=there, at=access: wanted in at.instances("models"))
            await session.close()
            assert access.instances("models") == []


async def test_an_instance_is_taken_out_once_for_others_may_live_there() -> None:
    """Processes that share an address are one to Nacos; who is held back must not end the rest."""
    place = ServiceKey("models", "DEFAULT_GROUP")
    for version in ("2.5.1", "3.0.3"):
        with WireNacos(version, auth=False) as nacos:
            settings = NacosSettings(server_addr=nacos.access.server_addr)
            one, other = (HttpSession(HttpApi(settings), settings.namespace) for _ in range(2))
            for session in (one, other):
                session.enter(settings.servers[0])
                await session.register(place, INSTANCE)
            await one.deregister(place, INSTANCE)
            assert nacos.access.instances("models") == []
            await other.register(place, INSTANCE)
            await one.deregister(place, INSTANCE)
            await one.close()
            assert len(nacos.access.instances("models")) == 1
            await other.close()
            assert nacos.access.instances("models") == []


async def test_what_was_not_taken_out_is_tried_again_at_the_end(start: Start) -> None:
    """Without heartbeats Nacos would show the instance for half a minute more."""
    taken, failed = Reply(200, "ok", "text/plain"), Reply(500, "busy", "text/plain")
    line = "DELETE /v1/ns/instance"
    server, _ = await start({**V1, "POST /v1/ns/instance": taken, line: failed})
    settings = NacosSettings(server_addr=f"127.0.0.1:{server.port}")
    session = HttpSession(HttpApi(settings), settings.namespace)
    session.enter(at(server))
    await session.register(SERVICE, INSTANCE)
    with pytest.raises(Refused, match="busy"):
        await session.deregister(SERVICE, INSTANCE)
    server.answers[line] = taken
    await session.close()
    assert [asked.method for asked in server.asked].count("DELETE") == 2


async def transports(settings: NacosSettings, enough: Callable[[Link], bool]) -> set[str]:
    """Return the transports that a session has used when there were enough attempts by gRPC."""
    links: list[Link] = []

    def made(*given: Any) -> Link:
        links.append(Link(*given))
        return links[-1]

    session = EitherSession(settings, "test", Administration(settings), made)
    used: set[str] = set()
    session.attach(lambda: used.add(session.transport))
    session.start()
    try:
        await eventually(lambda: enough(links[0]), seconds=30)
        with pytest.raises(Unreachable, match="not connected to Nacos"):
            await session.fetch(KEY)
    finally:
        await session.close()
    return used


async def test_a_server_that_is_down_is_not_http_only() -> None:
    """However often gRPC is tried, nothing is used, and a call says why."""
    settings = NacosSettings(server_addr=f"127.0.0.1:{free_port()}")
    assert await transports(settings, lambda link: link.unanswered >= 6) == {"none"}


class Starting(grpc.GenericRpcHandler):
    """A server whose every answer by gRPC is that it is starting."""

    def __init__(self) -> None:
        self.asked = 0

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Answer every method alike."""
        told = {"resultCode": 500, "message": "server is STARTING now"}

        async def answer(*_: object) -> bytes:
            self.asked += 1
            return encode(Message("ErrorResponse", told, {}))

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_a_server_that_starts_is_not_http_only() -> None:
    """Though its HTTP answers all the while."""
    starting, server = Starting(), grpc.aio.server()
    server.add_generic_rpc_handlers((starting,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with WireNacos("3.0.3") as nacos:
        settings = NacosSettings(server_addr=nacos.access.server_addr, grpc=str(port))
        assert await transports(settings, lambda _: starting.asked >= 8) == {"none"}
    await server.stop(None)
