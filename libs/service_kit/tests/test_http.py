"""Requests that arrive too slowly, and the pieces in which answers leave."""

import asyncio
import time

import pytest
import uvicorn
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
