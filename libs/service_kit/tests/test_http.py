"""Requests that arrive too slowly."""

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
            while not any(one._since < time.monotonic() for one in state.connections):  # noqa: ASYNC110 - a poll
                await asyncio.sleep(0.01)
            close_late(state.connections, time.monotonic())
            assert not any(one.transport.is_closing() for one in state.connections)

            close_late(state.connections, time.monotonic() + REQUEST_SECONDS + 1)
            answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
