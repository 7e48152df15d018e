"""What a server is, by its own word over HTTP, and what follows from that for a session."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from failover import Instance
from nacos_client import NacosSettings, Refused
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.dialect import Dialects, is_before
from nacos_client._sdk.session import SdkSession
from nacos_client.ports import DocumentKey, ServerFacts, ServiceKey

pytestmark = pytest.mark.anyio

SERVICE = ServiceKey("models", "DEFAULT_GROUP")
INSTANCE = Instance("10.0.0.1", 8001)
NAMESPACES = [
    {"namespace": "public", "namespaceShowName": "public"},
    {"namespace": "5f1c", "namespaceShowName": "production"},
]
OLD = {"GET /v1/console/server/state": {"version": "2.2.3", "startup_mode": "standalone"}}
NEW = {"GET /v3/admin/core/state": {"code": 0, "data": {"version": "3.1.0-bugfix"}}}

Answers = Mapping[str, Any]
"""The body of each answer by `METHOD path`; an int is a status instead. All else is 404."""


class Asked:
    """The requests that a server heard: `METHOD path`, and the form of each."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.lines: list[str] = []
        self.forms: list[dict[str, str]] = []


@contextmanager
def server(answers: Answers) -> Iterator[tuple[tuple[str, int], Asked]]:
    """Run an HTTP server; `asked.answers` may be exchanged, as a server at one address is."""
    asked = Asked()
    asked.answers = answers

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            url = urlsplit(self.path)
            line = f"{self.command} {url.path.removeprefix('/nacos')}"
            body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            asked.lines.append(line)
            form = parse_qs(body or url.query)
            asked.forms.append({name: value for name, (value,) in form.items()})
            asked.may_answer.wait(5)
            found = asked.answers.get(line, 404)
            self.send_response(found if isinstance(found, int) else 200)
            self.end_headers()
            self.wfile.write(b"" if isinstance(found, int) else json.dumps(found).encode())

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (names of the library)

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield ("127.0.0.1", listening.server_port), asked
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def settings_for(address: tuple[str, int], **other: str) -> NacosSettings:
    return NacosSettings(server_addr=f"{address[0]}:{address[1]}", **other)


@pytest.mark.parametrize(
    ("answers", "version", "dialect"),
    [
        (NEW, "3.1.0-bugfix", "v3"),
        (OLD, "2.2.3", "v1"),
        ({"GET /v3/admin/core/state": 403}, "", "v3"),
    ],
)
async def test_a_server_tells_its_version_and_dialect(
    answers: Answers, version: str, dialect: str
) -> None:
    """It is asked without a login, and once; a server that tells no stranger has its dialect."""
    with server(answers) as (address, asked):
        dialects = Dialects(settings_for(address))
        facts = await dialects.of(address)
        assert await dialects.of(address) is facts
        heard = list(asked.lines)
    assert (facts.version, facts.dialect) == (version, dialect)
    assert heard == ["GET /v3/admin/core/state", *list(answers)][-len(heard) :]


async def test_a_server_that_was_replaced_is_asked_anew() -> None:
    """An answer from before the connection broke does not count: an update may have come."""
    with server(OLD) as (address, asked):
        dialects = Dialects(settings_for(address))
        before = await dialects.of(address)
        asked.answers = NEW
        assert await dialects.of(address) is before
        after = await dialects.of(address, since=float("inf"))
    assert (before.dialect, after.dialect) == ("v1", "v3")


async def test_what_a_server_is_is_told_while_it_is_asked_anew() -> None:
    """Who needs it to send something does not wait for the answer to who doubts it."""
    with server(OLD) as (address, asked):
        dialects = Dialects(settings_for(address))
        known = await dialects.of(address)
        asked.may_answer.clear()
        anew = asyncio.create_task(dialects.of(address, since=float("inf")))
        while len(asked.lines) == 2:  # noqa: ASYNC110  (the event is in the server)
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(dialects.of(address), 1) is known
        assert not anew.done()
        asked.may_answer.set()
        assert await anew == known


async def test_a_server_that_tells_nothing_is_no_old_server() -> None:
    """A failing server's answer is not remembered, and says of no version that it is too old."""
    with server({"GET /v3/admin/core/state": 503}) as (address, asked):
        dialects = Dialects(settings_for(address))
        with pytest.raises(Refused, match="tells no version: HTTP 503"):
            await dialects.of(address)
        asked.answers = NEW
        assert (await dialects.of(address)).dialect == "v3"
    assert not is_before(ServerFacts("nacos:8848", "", "v3"), (2, 4))


@pytest.mark.parametrize(
    ("version", "before"),
    [("2.2.3", True), ("2.3", True), ("2.3.2", False), ("2.3.2-BETA", False), ("3.1.0", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, before: bool) -> None:
    """Two digits are more than one, and a suffix does not count."""
    assert is_before(ServerFacts("nacos:8848", version, "v1"), (2, 3, 2)) is before
    assert not is_before(ServerFacts("nacos:8848", "2.10.0", "v1"), (2, 4))


class Link:
    """Stands where a session has its connection: to a server that knows few kinds of requests."""

    trouble = None
    lost_at = 0.0

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.kinds: list[str] = []

    async def up(self) -> None:
        """Be connected."""

    async def call(self, kind: str, *_: Any, **__: Any) -> Mapping[str, Any]:
        """Answer as a server before 2.3 does that has no handler for a kind."""
        self.kinds.append(kind)
        raise Refused(f"{kind} Request Handler Not Found", 302)


def session_at(address: tuple[str, int], **other: str) -> tuple[SdkSession, Link]:
    settings, link = settings_for(address, **other), Link(address)
    return SdkSession(settings, "test", Administration(settings), lambda *_: link), link


async def test_a_persistent_instance_on_an_old_server() -> None:
    """Where gRPC has no request for it (before 2.3), HTTP puts it in, and takes it out."""
    answers = {**OLD, "POST /v1/ns/instance": "ok", "DELETE /v1/ns/instance": "ok"}
    with server(answers) as (address, asked):
        session, link = session_at(address)
        await session.register(SERVICE, INSTANCE, ephemeral=False)
        await session.deregister(SERVICE, INSTANCE, ephemeral=False)
    assert link.kinds == ["PersistentInstanceRequest"] * 2
    assert asked.lines[-2:] == ["POST /v1/ns/instance", "DELETE /v1/ns/instance"]
    for form in asked.forms[-2:]:
        assert (form["ip"], form["port"], form["ephemeral"]) == ("10.0.0.1", "8001", "false")
        assert (form["serviceName"], form["groupName"]) == ("models", "DEFAULT_GROUP")
        assert form["namespaceId"] == "public"


async def test_compare_and_set_is_not_claimed_where_it_does_not_hold() -> None:
    """A server that overwrites another's change is not asked to compare; the error says why."""
    with server(OLD) as (address, _):
        session, link = session_at(address)
        with pytest.raises(Refused, match=r"Nacos 2\.2\.3 may overwrite .* 2\.3\.2 or later"):
            await session.publish(DocumentKey("models", "DEFAULT_GROUP"), "a: 1", "yaml", "0cc1")
    assert link.kinds == []


@pytest.mark.parametrize(
    ("namespace", "trouble"),
    [
        ("public", None),
        ("5f1c", None),
        ("production", "is a namespace's name: set it to the id, 5f1c"),
        ("staging", "does not exist"),
    ],
)
@pytest.mark.parametrize(
    ("facts", "line"),
    [(NEW, "GET /v3/admin/core/namespace/list"), (OLD, "GET /v1/console/namespaces")],
)
async def test_a_namespace_that_is_not_there(
    facts: Answers, line: str, namespace: str, trouble: str | None
) -> None:
    """It is said what is wrong: there is no such namespace, or this is its name and not its id."""
    with server({**facts, line: {"data": NAMESPACES}}) as (address, _):
        session, _ = session_at(address, namespace=namespace)
        told = await session.namespace_trouble()
    assert told is None if trouble is None else trouble in str(told)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "may not list namespaces: give .* the permission to read /v3/admin/core/namespace"),
        (500, "list of namespaces: HTTP 500"),
    ],
)
async def test_who_may_not_list_namespaces_is_told_what_is_missing(
    status: int, reason: str
) -> None:
    """An application's user often may not: the namespace may be there or not."""
    with server({**NEW, "GET /v3/admin/core/namespace/list": status}) as (address, _):
        session, _ = session_at(address, namespace="staging")
        with pytest.raises(Refused, match=reason):
            await session.namespace_trouble()


@pytest.mark.parametrize(
    ("context_path", "path"), [("/", ""), ("/api/nacos/", "/api/nacos"), ("other", "/other")]
)
async def test_the_context_path_can_be_another(context_path: str, path: str) -> None:
    """It precedes every path of the HTTP API; behind a proxy it may be longer, or none."""
    with server({f"GET {path}/v3/admin/core/state": {"data": {"version": "3.1.0"}}}) as (
        address,
        _,
    ):
        facts = await Dialects(settings_for(address, context_path=context_path)).of(address)
    assert facts.version == "3.1.0"
