"""uvicorn's HTTP protocol, which answers plain requests of one route itself.

For each request uvicorn makes a task, an event and a row of coroutines, which cost more than an
answer that only has to be looked up.
"""

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any

from service_kit.edge import RequestEdge
from service_kit.http import BoundedHttp


class AtOnceHttp(BoundedHttp):
    """A client's connection, on which the requests of `RequestEdge.at_once` are answered at once.

    1. A request for the route is held from the end of its head, unless another one is under way.
    2. When the request is here whole, the edge is asked for the answer, which leaves in this turn.
    3. A request that the edge does not answer goes to the application like every other request, and
       so does one of which a part is still to come when the bytes that arrived are used up.
    """

    _edge: RequestEdge | None = None
    _target = b""
    _held: bytearray | None = None
    """The body, as far as it has arrived, of the request that is held; None if none is held."""
    _fields: Sequence[tuple[bytes, bytes]] = ()
    """Header fields of every answer; uvicorn makes new ones each second."""
    _opening = b""
    """The beginning of an answer: its status line and `_fields`."""
    _is_last = False
    """Whether `_fields` ask the client to connect elsewhere."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Take a new connection, and the edge if it is the application's outermost layer."""
        super().connection_made(transport)
        if isinstance(self.app, RequestEdge) and self.app.at_once is not None:
            self._edge = self.app
            self._target = self.app.at_once.path.encode()

    def data_received(self, data: bytes) -> None:
        """Parse bytes that arrived; a request that is still held after them is not whole."""
        super().data_received(data)
        if self._held is not None and not self.transport.is_closing():
            self._leave(bytes(self._held))

    def on_headers_complete(self) -> None:
        """Hold a request for the route; leave any other to the application."""
        if self._is_for_edge():
            self._in_head = False
            self._held = bytearray()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        if self._held is None:
            super().on_body(body)
        else:
            self._held += body

    def on_message_complete(self) -> None:
        """Answer the request that is held, or leave it to the application."""
        if self._edge is None or self._held is None:
            super().on_message_complete()
        else:
            # The request's id in logs ends with the request's own context.
            copy_context().run(self._answer_or_leave, self._edge, bytes(self._held))

    def _is_for_edge(self) -> bool:
        return (
            self._edge is not None
            and self.url.partition(b"?")[0] == self._target
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not self._is_under_way()
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _answer_or_leave(self, edge: RequestEdge, body: bytes) -> None:
        scope: Any = self.scope
        scope["method"] = "POST"
        scope["path"] = self._target.decode()
        scope["query_string"] = self.url.partition(b"?")[2]
        answer = edge.answer_at_once(scope, body)
        if answer is None:
            self._leave(body)
            super().on_message_complete()
            return
        self._held = None
        self._note_arrival()
        self._write(*answer, is_last=not self.parser.should_keep_alive())

    def _leave(self, body: bytes) -> None:
        """Leave the request that was held, and `body`, to the application."""
        self._held = None
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _write(self, lines: bytes, document: bytes, *, is_last: bool) -> None:
        fields = self.server_state.default_headers
        if fields is not self._fields:
            self._fields = fields
            first = (b"HTTP/1.1 200 OK", *(b"%b: %b" % field for field in fields), b"")
            self._opening = b"\r\n".join(first)
            self._is_last = (b"connection", b"close") in fields
        if is_last and not self._is_last:
            lines += b"connection: close\r\n"
        self.transport.write(b"%b%b\r\n%b" % (self._opening, lines, document))
        if is_last or self._is_last:
            self.transport.close()
