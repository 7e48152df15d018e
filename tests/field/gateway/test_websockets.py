"""WebSockets by name where the service declares them, and keys that a page can present."""

import asyncio
import hashlib

import pytest

pytestmark = pytest.mark.anyio

NAME = "car-evaluation"
TOKEN = "a-long-and+random/token"  # noqa: S105 - of a test
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"


async def switching(instance, wire) -> None:
    await instance.take(wire)
    wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
              b"Connection: Upgrade\r\n\r\n")  # fmt: skip
    while data := await wire.reader.read(100):
        wire.send(data)


async def switched(gateway, target: str, fields: str = "") -> tuple[str, str]:
    """Return the status line and the head of the answer; a tunnel has echoed."""
    wire = await gateway.connect()
    wire.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n{UPGRADE}{fields}\r\n".encode())
    async with asyncio.timeout(10):
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("HTTP/1.1 101"):
            wire.send(b"hello")
            assert await wire.reader.readexactly(5) == b"hello"
    return head.partition("\r\n")[0], head


@pytest.mark.parametrize(
    ("metadata", "status"), [({"gateway.upgrade": "websocket"}, 101), ({}, 501)]
)
async def test_by_name_a_service_declares_that_it_takes_websockets(world, metadata, status: int):
    """Without a route in the document, too."""
    gateway = await world.gateway(await world.instance(switching), metadata=metadata)

    line, _ = await switched(gateway, f"/{NAME}/ws")

    assert line.split()[1] == str(status)


async def test_a_route_overrules_what_the_service_declares(world, by_document):
    """`upgrade: false` keeps WebSockets out."""
    table = by_document({"path": "/a", "service": NAME, "upgrade": False})
    gateway = await world.gateway(
        await world.instance(switching), table=table, metadata={"gateway.upgrade": "websocket"}
    )

    line, _ = await switched(gateway, "/a")

    assert line.split()[1] == "501"


@pytest.mark.parametrize(
    ("target", "fields", "got", "chosen"),
    [
        ("/a?x=1&access_token=a-long-and%2Brandom/token&y=2", "", "/a?x=1&y=2", None),
        ("/a?access_token=a-long-and%2Brandom/token", "", "/a", None),
        ("/a?access_token=a-long-and%2Brandom/token&access_token=a-long-and%2Brandom%2ftoken",
         "", "/a", None),
        ("/a", f"Sec-WebSocket-Protocol: bearer, {TOKEN}\r\n", "/a", "bearer"),
        ("/a", f"Sec-WebSocket-Protocol: bearer, {TOKEN}, chat\r\n", "/a", None),
        ("/a", f"Authorization: Bearer {TOKEN}\r\n", "/a", None),
    ],
)  # fmt: skip
async def test_a_page_presents_its_key_where_it_can(
    world, by_document, target, fields, *, got, chosen
):
    """`new WebSocket(url, ["bearer", token])` or a parameter; the service sees neither."""
    instance = await world.instance(switching)
    keys = [hashlib.sha256(TOKEN.encode()).hexdigest()]
    table = by_document({"path": "/a", "service": NAME, "upgrade": True, "keys": keys})
    gateway = await world.gateway(instance, table=table)

    line, head = await switched(gateway, target, fields)

    assert line.split()[1] == "101"
    (request,) = instance.executed
    assert request.line == f"GET {got} HTTP/1.1"
    if "Authorization" not in fields:
        assert TOKEN.encode() not in request.raw
    assert ("Sec-WebSocket-Protocol: bearer" in head) is (chosen == "bearer")
    assert request.all("sec-websocket-protocol") == (["chat"] if "chat" in fields else [])


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("/a?access_token=wrong", ""),
        ("/a", "Sec-WebSocket-Protocol: bearer, wrong\r\n"),
        ("/a", f"Sec-WebSocket-Protocol: chat, {TOKEN}\r\n"),
        ("/a", ""),
    ],
)
async def test_no_other_key_opens_the_route(world, by_document, target: str, fields: str):
    """A wrong token, or one in the wrong place, is a 401."""
    keys = [hashlib.sha256(TOKEN.encode()).hexdigest()]
    table = by_document({"path": "/a", "service": NAME, "upgrade": True, "keys": keys})
    gateway = await world.gateway(await world.instance(switching), table=table)

    line, _ = await switched(gateway, target, fields)

    assert line.split()[1] == "401"


async def test_a_parameter_opens_nothing_but_a_websocket(world, by_document):
    """A URL with a key in it ends in logs and histories."""
    keys = [hashlib.sha256(TOKEN.encode()).hexdigest()]
    table = by_document({"path": "/a", "service": NAME, "keys": keys})
    gateway = await world.gateway(await world.instance(), table=table)
    target = "/a?access_token=a-long-and%2Brandom/token"

    reply = await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())

    assert reply.status == 401


async def test_a_redirect_does_not_carry_a_token_on(world, by_document):
    """The token of the first URL was in the second one, which may be of another host."""
    keys = [hashlib.sha256(TOKEN.encode()).hexdigest()]
    redirect = {"to": "https://new.example", "keep_path": True}
    gateway = await world.gateway(table=by_document({"path": "/a", "redirect": redirect,
                                                     "keys": keys}))  # fmt: skip

    target = "/a/b?x=1&access_token=a-long-and%2Brandom/token"
    reply = await gateway.ask(f"GET {target} HTTP/1.1\r\nHost: h\r\n{UPGRADE}\r\n".encode())

    assert (reply.status, reply.one("location")) == (302, "https://new.example/b?x=1")
