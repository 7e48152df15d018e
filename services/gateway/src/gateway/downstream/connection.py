"""A client's connection: its bytes read, its limits and deadlines, one exchange at a time.

Requests that were sent ahead (pipelined) wait for their turn; meanwhile the client is not read.
"""

import asyncio
import logging
import math
import socket
import struct
from collections import deque
from typing import Final, Protocol, cast

import httptools

from gateway.downstream.pipeline import PipelinedRequest, enqueue
from gateway.http import heads, problems
from gateway.http.framing import MAX_FIELDS, MAX_HEAD_BYTES, ChunkLimits, head_for_body
from gateway.http.heads import HANDLED, FieldCollector, Head, scan_request
from gateway.http.problems import LocalReply
from gateway.http.request import Forwarded
from gateway.http.scan import SCANS
from gateway.http.turn import TurnTransport
from gateway.proxy.context import ProxyContext
from gateway.proxy.exchange import Client, Exchange, begin_exchange

HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait to be sent to a client before the instance is paused."""
LINGER: Final = 2.0
"""Seconds that a client has to read the last response before the connection is cut."""
LINGER_UPLOAD: Final = 30.0
"""Seconds for which a client may go on sending a body that nobody wants, before it reads."""
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: drop unsent bytes, and close with an RST."""
NO_PARSER: Final = httptools.HttpRequestParser(object())
"""Takes the parser's place on a lost connection: the two hold each other, and both are large."""

_log = logging.getLogger(__name__)


class ConnectionRegistry(Protocol):
    """The data port, as far as its connections use it."""

    def joined(self, connection: "ClientConnection") -> bool:
        """Count a connection; False if there are too many."""

    def left(self, connection: "ClientConnection") -> None:
        """Forget a connection."""

    def describe(self, transport: TurnTransport) -> Forwarded:
        """Return the facts about the client that instances are told."""


class ClientConnection(Client):
    """One connection of a client.

    Attributes:
        transport: of the connection.
        on_header: takes a field from the parser.
        forwarded: the facts about the client that instances are told.
        exchange: of the request under way.
        due: clock time at which the sweep calls `expire`; infinite while an exchange has its own.
    """

    __slots__ = (
        "_ahead", "_body_follows", "_body_left", "_context", "_fields", "_head", "_head_bytes",
        "_head_from", "_linger_end", "_lingering", "_packet_from", "_parser", "_reading_paused",
        "_received", "_registry", "_resuming", "_scannable", "_unsent", "_url", "_writing_paused",
        "due", "exchange", "forwarded", "on_header", "transport",
    )  # fmt: skip

    def __init__(self, context: ProxyContext, registry: ConnectionRegistry) -> None:
        self._fields = FieldCollector(HANDLED, MAX_FIELDS)
        self.on_header = self._fields.on_header
        self._context = context
        self._registry = registry
        self._parser = httptools.HttpRequestParser(self)
        self.exchange: Exchange | None = None
        self._ahead: deque[PipelinedRequest] = deque()
        self._url = b""
        self._head: Head | None = None
        self._head_bytes = self._unsent = 0
        # Bytes received in all, before the packet at hand, before the packet in which a head began.
        self._received = self._packet_from = self._head_from = 0
        # The next bytes may be scanned, for no message is under way; bytes left of a scanned body.
        self._scannable, self._body_left = SCANS, 0
        self._body_follows = self._resuming = False
        self._linger_end = 0.0
        self._lingering = self._reading_paused = self._writing_paused = False
        self.transport: TurnTransport
        self.forwarded: Forwarded
        self.due = context.clock() + context.port_limits.idle

    @property
    def idle_since(self) -> float:
        """Return when the connection was made or its last response ended; never, if it is busy."""
        if self.exchange is not None or self._fields.in_head or self._lingering:
            return math.inf
        return self.due - self._context.port_limits.idle

    # Calls of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self.transport = TurnTransport(cast("asyncio.Transport", transport), self._context.turn)
        self.forwarded = self._registry.describe(self.transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        if not self._registry.joined(self):
            self._take(problems.too_many_connections())

    def data_received(self, data: bytes) -> None:
        """Read bytes, or pass them on in a tunnel."""
        if self._lingering or (self.exchange is not None and self.exchange.tunnel(data)):
            self._received += len(data)
            return
        self._packet_from = self._received
        self._received += len(data)
        waited, rest = False, b""
        try:
            if self._scannable or self._body_left:
                data = self._scan(data)
            if data:
                waited = self._fields.in_head or self.exchange is None
                self._parse(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._ignore_upgrade()
        except Exception as error:  # noqa: BLE001 - of callbacks: reading ends, and the client is told
            self._scannable = False
            self._fail(reply_to(error))
        if rest and not (self.exchange is not None and self.exchange.tunnel(rest)):
            self.data_received(rest)
        if self._fields.in_head and not self._lingering:
            self._wait_for_head(len(data) if waited else 0)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End the exchange under way."""
        self._lingering = True
        self._parser = NO_PARSER
        self._registry.left(self)
        if self.exchange is not None:
            self.exchange.client_lost()

    def eof_received(self) -> None:
        """Close, as the client sends no more."""

    def pause_writing(self) -> None:
        """Pause the instance; between two requests, take no further one."""
        self._pause_writing(paused=True)

    def resume_writing(self) -> None:
        """Resume the instance, or begin the request that has waited."""
        self._unsent = 0  # it took what there was, and may have got as much again by the next look
        self._pause_writing(paused=False)
        self._next()

    # Bytes become requests: an ordinary head is scanned, all others are the parser's.

    def _scan(self, data: bytes) -> bytes:
        """Read bodies that bypass the parser, and ordinary heads; return what is left to parse."""
        if self._body_left:
            data = self._pass_body(data)
        while data and (scanned := scan_request(data)) is not None:
            method, target, lines, handled, head_bytes, self._body_left = scanned
            self._fields.fill(lines, handled)
            self._take_head(method, target, most_bytes=head_bytes, http10=False, keep_alive=True)
            data = self._pass_body(data[head_bytes:])
        return data

    def _pass_body(self, data: bytes) -> bytes:
        """Pass bytes of a body on without the parser; return those after its end."""
        body, rest = data[: self._body_left], data[self._body_left :]
        self._body_left -= len(body)
        if body:
            self.on_body(body)
        if not self._body_left:
            self._end_body()
        return rest

    def _parse(self, data: bytes) -> None:
        self._scannable = False
        self._parser.feed_data(data)
        if self._fields.chunk_limits is not None:
            self._fields.chunk_limits.count_packet(len(data))

    def _take_head(
        self, method: bytes, target: bytes, *, most_bytes: int, http10: bool, keep_alive: bool
    ) -> Head | LocalReply:
        """Check the head and begin the request, or let it wait for its turn."""
        head: Head | LocalReply
        try:
            head = heads.check_head(
                method, target, self._fields,
                most_bytes=most_bytes, http10=http10, keep_alive=keep_alive,
            )  # fmt: skip
            self._fields.chunk_limits = ChunkLimits() if head.length is None else None
        except LocalReply as reply:
            head = reply
        self._take(head)
        return head

    # Calls of the parser, beside `on_header`.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._scannable = False
        if not self._resuming:
            self._fields.in_head = True
            self._url = b""
            self._head_bytes = 0
            self._head_from = self._packet_from

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the target."""
        self._url += url

    def on_headers_complete(self) -> None:
        """Take the head."""
        if self._resuming:
            return
        parser, handled = self._parser, self._fields.handled
        kept = parser.should_keep_alive()
        # Only a field keeps HTTP/1.0 alive; to ask the parser for the version makes a string.
        named = b"connection" in handled or b"proxy-connection" in handled
        http10 = (named or not kept) and parser.get_http_version() == "1.0"
        head = self._take_head(
            parser.get_method(), self._url,
            most_bytes=self._received - self._head_from, http10=http10, keep_alive=kept,
        )  # fmt: skip
        if b"upgrade" in handled and isinstance(head, Head):
            self._head = head
            self._body_follows = head.length != 0 and bool(parser.should_upgrade())

    def on_body(self, data: bytes) -> None:
        """Pass bytes of a body on."""
        if self._fields.chunk_limits is not None:
            self._fields.chunk_limits.body_came = True
        if self._ahead:
            self._ahead[-1].keep(data)
        elif self.exchange is not None:
            self.exchange.take_body(data)

    def on_message_complete(self) -> None:
        """Let the next message be scanned, if there may be one, and end the body."""
        if not self._body_follows:
            self._scannable = SCANS and self._parser.should_keep_alive()
            self._end_body()

    def _end_body(self) -> None:
        self._fields.chunk_limits = None
        if self._ahead:
            self._ahead[-1].complete = True
        elif self.exchange is not None:
            self.exchange.end_body(self._context.clock())

    # Calls of the exchange.

    def pause_reading(self, *, paused: bool) -> None:
        """Stop or resume reading; a client that does not read responses, or sent ahead, waits."""
        paused = paused or bool(self._ahead) or (self._writing_paused and self.exchange is None)
        if paused is not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = paused
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def response_ended(self, now: float, *, close: bool) -> None:
        """Go on with the next request, or close, unless the connection was cut meanwhile."""
        self.exchange = None
        if self._lingering:
            return
        self.due = now + self._context.port_limits.idle
        if close:
            self._linger()
        elif self._writing_paused:
            self.pause_reading(paused=True)
        elif self._ahead:
            asyncio.get_running_loop().call_soon(self._next)

    def takes_more(self) -> bool:
        """Return whether the client took some of the bytes it has to read since the last look."""
        unsent, self._unsent = self._unsent, self.transport.get_write_buffer_size()
        return 0 < self._unsent != unsent

    def _still_sends(self) -> bool:
        """Return whether the client has sent anything since the last look."""
        before, self._packet_from = self._packet_from, self._received
        return self._received > before

    def close(self) -> None:
        """End the connection once the written bytes are sent."""
        self._lingering = True
        self.due = self._context.clock() + LINGER
        self.transport.close()

    def reset(self) -> None:
        """End the connection at once, by a reset: the client sees that its response is cut."""
        self._lingering = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            self.transport.flush()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    # Calls of the sweep.

    def expire(self, now: float) -> None:
        """Close a connection that is idle or lingers; reply to a slow head."""
        if (
            self._fields.in_head
            and self.exchange is None
            and not (self._lingering or self._writing_paused)
        ):
            self.due = now + LINGER
            self._take(problems.slow_head())
        elif self._lingering and self.takes_more():
            self.due = now + self._context.port_limits.response_idle
        elif self._lingering and self._still_sends() and now < self._linger_end:
            self.due = now + LINGER
        elif self._lingering:
            self.transport.abort()
        else:
            self.close()

    # Requests begin and fail.

    def _take(self, head: Head | LocalReply) -> None:
        """Begin a request, or let it wait for its turn."""
        if self.exchange is None and not (self._ahead or self._writing_paused or self._lingering):
            self._begin(head)
        elif not self._lingering:
            enqueue(self._ahead, head)
            self.pause_reading(paused=True)

    def _begin(self, head: Head | LocalReply) -> Exchange:
        self.due = float("inf")
        return begin_exchange(self._context, self, head)

    def _next(self) -> None:
        """Begin the request that has waited."""
        if self._ahead and self.exchange is None and not (self._lingering or self._writing_paused):
            waited = self._ahead.popleft()
            if not self._ahead:
                self.pause_reading(paused=False)
            exchange = self._begin(waited.head)
            waited.replay(exchange, self._context.clock())

    def _wait_for_head(self, received: int) -> None:
        """Bound an incomplete head in time and size."""
        if not self._head_bytes and self.exchange is None:
            self.due = self._context.clock() + self._context.port_limits.head
        self._head_bytes += received
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail(heads.head_too_large(self._url))

    def _fail(self, reply: LocalReply) -> None:
        """End the request that is arriving; one that has arrived is answered first."""
        exchange = self.exchange
        if self._fields.in_head or exchange is None or exchange.body.complete or self._ahead:
            self._fields.in_head = False
            self._take(reply)
        else:
            exchange.abort_request(reply)

    def _ignore_upgrade(self) -> None:
        """Go on after a head that offered an upgrade, which llhttp takes for the end of HTTP.

        The body, if there is one, is read by a new parser that is told its framing.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._body_follows and self._head is not None:
            self._body_follows = False
            self._resuming = True
            self._parser.feed_data(head_for_body(self._head.length))
            self._resuming = False

    def _pause_writing(self, *, paused: bool) -> None:
        self._writing_paused = paused
        if self.exchange is not None:
            self.exchange.client_paused(paused=paused)
        else:
            self.pause_reading(paused=paused)

    def _linger(self) -> None:
        """Send what is written, then an end; close when the client had time to read it."""
        self._lingering = True
        self._ahead.clear()
        self.due = self._context.clock() + LINGER
        self._linger_end = self.due + LINGER_UPLOAD
        self._still_sends()
        self.pause_reading(paused=False)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def reply_to(error: Exception) -> LocalReply:
    """Return the reply to bytes that cannot be parsed on: no HTTP, over a limit, or our own fault.

    Args:
        error: raised while no other error was handled, so that its context is the error that a
            callback raised.
    """
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    if isinstance(cause, LocalReply):
        return cause
    if isinstance(cause, httptools.HttpParserError):
        return problems.not_http()
    _log.error("request_failed", exc_info=error)
    return problems.gateway_fault()
