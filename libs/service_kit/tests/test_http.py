"""Requests that arrive too slowly, and the pieces in which answers leave."""

import asyncio
import time

import pytest
import uvicorn
from service_kit.at_once import AtOnceHttp
from service_kit.http import REQUEST_SECONDS, BoundedHttp, close_late
from uvicorn.server import ServerState


async def _application(_scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    "beginning",
    [b"GET / HTT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["head", "body"],
)
async def test_slow_request_is_ended(beginning):
    """A head or a body that does not arrive in time gets 408 and a closed connection."""
    config = uvicorn.Config(_application, http=BoundedHttp, log_config=None)
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedHttp(config, state, {}), host="127.0.0.1", port=0
    )
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(beginning)
        async with asyncio.timeout(30):
            while not any(one.arriving_since < time.monotonic() for one in state.connections):  # noqa: ASYNC110 - a poll
                await asyncio.sleep(0.01)
            close_late(state.connections, time.monotonic())
            assert not any(one.transport.is_closing() for one in state.connections)

            close_late(state.connections, time.monotonic() + REQUEST_SECONDS + 1)
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")


class Wire(asyncio.Transport):
    """A transport that keeps what it is told to send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data) -> None:
        """Keep it."""
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        """Say that it is open."""
        return False

    def close(self) -> None:
        """Note when."""
        self.sent.append(b"closed")

    def pause_reading(self) -> None:
        """Go on: a test hands over what it likes."""

    def resume_reading(self) -> None:
        """Nothing is ever paused."""


@pytest.mark.anyio
@pytest.mark.parametrize("field", [b"", b"Connection: close\r\n"])
async def test_head_and_body_leave_in_one_piece(field):
    """What an application sends in one turn is one write, which does not wait for the rest."""
    goes_on = asyncio.Event()

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await goes_on.wait()
        await send({"type": "http.response.body", "body": b"second"})

    state, wire = ServerState(), Wire()
    config = uvicorn.Config(application, http=BoundedHttp, log_config=None)
    connection = BoundedHttp(config, state, {})
    connection.connection_made(wire)
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n")
    async with asyncio.timeout(5):
        while not wire.sent:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(0)
        assert wire.sent[0].startswith(b"HTTP/1.1 200 ")
        assert wire.sent[0].endswith(b"\r\n\r\n5\r\nfirst\r\n")

        goes_on.set()
        await asyncio.gather(*state.tasks)
        await asyncio.sleep(0)
    sent = wire.sent.copy()
    connection.connection_lost(None)

    assert sent[1:] == [b"6\r\nsecond\r\n0\r\n\r\n", *([b"closed"] if field else [])]


@pytest.mark.anyio
async def test_a_request_that_was_answered_early_is_no_slow_one():
    """Once the rest of a refused body is here, its connection may stay as idle as any other."""

    async def application(_scope, _receive, send):
        fields = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 413, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    state, wire = ServerState(), Wire()
    config = uvicorn.Config(application, http=BoundedHttp, log_config=None)
    connection = BoundedHttp(config, state, {})
    connection.connection_made(wire)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    await asyncio.gather(*state.tasks)
    await asyncio.sleep(0)
    connection.data_received(b"def")
    close_late({connection}, time.monotonic() + REQUEST_SECONDS + 1)
    await asyncio.sleep(0)
    sent = b"".join(wire.sent)
    connection.connection_lost(None)

    assert sent.count(b"HTTP/1.1 ") == 1
    assert sent.startswith(b"HTTP/1.1 413 ")


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEA\r\nUpgrade: h2c\r\n"
BODIES = {
    "length": b"Content-Length: 5\r\n\r\nhello",
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "nothing": b"\r\n",
}


@pytest.mark.anyio
@pytest.mark.parametrize("protocol", [BoundedHttp, AtOnceHttp])
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_an_offer_to_upgrade_is_ignored(protocol, step):
    """Kludex/uvicorn 2722: Java's client offers HTTP/2 with each request, and sends a body.

    However the bytes arrive, each request of the connection is answered as one without an offer.
    """
    echoed: list[tuple[str, bytes]] = []

    async def application(scope, receive, send):
        body, more = b"", True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        assert b"upgrade" not in dict(scope["headers"])
        echoed.append((scope["path"], body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    state, wire = ServerState(), Wire()
    config = uvicorn.Config(application, http=protocol, ws="none", log_config=None)
    connection = protocol(config, state, {})
    connection.connection_made(wire)
    sent = b"".join(
        b"POST /%b HTTP/1.1\r\nHost: a\r\n" % name.encode() + offer + body
        for offer in (OFFER, b"", OFFER)
        for name, body in BODIES.items()
    )
    for start in range(0, len(sent), step):
        connection.data_received(sent[start : start + step])
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        while len(echoed) < 9:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(0)
    await asyncio.gather(*state.tasks)
    connection.connection_lost(None)

    bodies = {"length": b"hello", "chunks": b"hello", "nothing": b""}
    assert echoed == [(f"/{name}", body) for _ in range(3) for name, body in bodies.items()]
    assert b"".join(wire.sent).count(b"HTTP/1.1 204 ") == 9


@pytest.mark.anyio
async def test_connect_is_refused_once():
    """To the parser CONNECT is an upgrade too; it is no offer, and gets uvicorn's 400."""
    state, wire = ServerState(), Wire()
    config = uvicorn.Config(_application, http=BoundedHttp, ws="none", log_config=None)
    connection = BoundedHttp(config, state, {})
    connection.connection_made(wire)
    connection.data_received(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n")
    sent = b"".join(wire.sent)
    connection.connection_lost(None)

    assert sent.startswith(b"HTTP/1.1 400 ")
    assert sent.count(b"HTTP/1.1 400 ") == 1
