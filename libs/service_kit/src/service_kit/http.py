"""uvicorn's HTTP protocol with limits on how a request arrives, in bytes and in seconds.

uvicorn has neither limit: a client could send header fields until memory runs out, or one byte a
minute. One check of all connections per second replaces a timer for each request.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service_kit.plain_parser import PlainParser
from service_kit.problem import MEDIA_TYPE, Problem, told

MAX_HEAD_BYTES = 64 * 1024
REQUEST_SECONDS = 15.0
"""Seconds in which a request must arrive. A client that needs longer for a few megabytes holds its
connection on purpose."""


class _Joined:
    """A transport that sends all writes of one turn of the event loop in one piece.

    uvicorn writes head and body separately, and uvloop sends each write at once: that would be two
    system calls and two packets for an answer.
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
    """A client's connection, which ends when a head is too large or a request too slow.

    The connection also ends if it is idle for the keep-alive time: uvicorn stops its own timer at
    any byte, so that an empty line, which begins no request, would keep the connection for ever.
    """

    arriving_since = float("inf")
    """Moment on `time.monotonic`'s clock since which a request arrives; infinite if none does."""
    _idle_since = float("inf")
    """Moment of the last bytes after which no request was under way; infinite while one is."""
    _head_bytes = 0
    _in_head = True
    """Whether the head of the last request that began is not here whole; at first, of the next."""
    _has_arrived = False
    """Whether the last request that began to arrive is here whole."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Take a new connection, which is closed if nothing arrives within the keep-alive time."""
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type] # has a transport's methods
        self.parser = PlainParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Parse bytes that arrived; answer 431 if the head has grown past the limit."""
        self._idle_since = float("inf")
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self._has_arrived:
            self._head_bytes = 0
        if self._has_arrived:
            if not self._is_under_way():
                self._idle_since = time.monotonic()
            return
        self.arriving_since = min(self.arriving_since, time.monotonic())
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            detail = f"The head is larger than {MAX_HEAD_BYTES} bytes."
            self._refuse(Problem(431, detail, type="head-too-large"))

    def on_message_begin(self) -> None:
        """Note that a request begins to arrive."""
        super().on_message_begin()
        self._has_arrived = False
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Note that a head is here whole, and have the application answer its request."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that a request is here whole, be it answered by now or not."""
        self._note_arrival()
        super().on_message_complete()

    def close_if_late(self, now: float) -> None:
        """Answer 408 if a request has been arriving for too long; close, also if none came."""
        if now - self.arriving_since > REQUEST_SECONDS and not self.transport.is_closing():
            detail = f"The request did not arrive within {REQUEST_SECONDS:g} s."
            self._refuse(Problem(408, detail, type="slow-request"))
        if now - self._idle_since > self.timeout_keep_alive:
            self.transport.close()

    def _note_arrival(self) -> None:
        """Note that the last request is here whole: what comes behind is not the request's."""
        self._has_arrived = True
        self._head_bytes = 0
        self.arriving_since = float("inf")

    def _is_under_way(self) -> bool:
        """Return whether the application answers a request now."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - says less than `detail`
        """Answer 400 to bytes that are not HTTP."""
        self._refuse(
            Problem(400, "The bytes received are not a valid HTTP/1.1 request.", type="bad-http")
        )

    def _refuse(self, problem: Problem) -> None:
        body = told(problem, None)
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\ncontent-type: {MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def close_late(connections: set[Any], now: float) -> None:
    """Answer 408 on, and close, each connection whose request has been arriving for too long."""
    for connection in list(connections):
        connection.close_if_late(now)
