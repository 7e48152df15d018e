"""uvicorn's HTTP protocol with the arrival of a request bounded, in bytes and seconds.

uvicorn bounds neither: a client could send fields until the memory ends, or one byte a minute.
One look per second at all connections replaces a timer per request.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service_kit.problem import MEDIA_TYPE, Problem

MAX_HEAD_BYTES = 64 * 1024
REQUEST_SECONDS = 15.0
"""A client that needs longer for a few megabytes holds a connection on purpose."""


class _Joined:
    """A transport that sends in one piece what is written in one turn of the loop.

    uvicorn writes head and body apart and uvloop sends at once: two system calls, two packets.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            self._transport.write(b"".join(self._parts))
            self._parts.clear()


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _since = float("inf")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Close the connection if nothing is sent on it for the keep-alive time."""
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type] # as good as one
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that grows past the limit is answered 431."""
        super().data_received(data)
        scope: Mapping[str, Any] | None = self.scope
        head_complete = scope is not None and "method" in scope
        if head_complete and not self.cycle.more_body:
            self._head_bytes = 0
            self._since = float("inf")
            return
        self._since = min(self._since, time.monotonic())
        self._head_bytes = 0 if head_complete else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            detail = f"The head is larger than {MAX_HEAD_BYTES} bytes."
            self._refuse(Problem(431, detail, type="head-too-large"))

    def close_if_late(self, now: float) -> None:
        """Answer 408 and close if a request has been arriving for too long."""
        if now - self._since > REQUEST_SECONDS and not self.transport.is_closing():
            detail = f"The request did not arrive within {REQUEST_SECONDS:g} s."
            self._refuse(Problem(408, detail, type="slow-request"))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - says less than `detail`
        """Answer what is not HTTP."""
        self._refuse(
            Problem(400, "The bytes received are not a valid HTTP/1.1 request.", type="bad-http")
        )

    def _refuse(self, problem: Problem) -> None:
        body = problem.body(None)
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def close_late(connections: set[Any], now: float) -> None:
    """Close every connection whose request has been arriving for too long."""
    for connection in list(connections):
        connection.close_if_late(now)
