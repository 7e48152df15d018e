"""A client's connection: llhttp, the limits and deadlines of the edge, one exchange at a time.

Requests that were sent ahead (pipelined) wait for their turn, and their client is held meanwhile.
"""

import asyncio
from collections import deque
from typing import cast

import httptools

from gateway import farewell, http1, problems
from gateway.core import Core, Port
from gateway.exchange import Exchange
from gateway.framing import MAX_FIELDS, MAX_HEAD_BYTES, Chunks, stand_in
from gateway.http1 import HANDLED, SINGLE, Head
from gateway.problems import Refusal
from gateway.refused import Refused, unparsed
from gateway.request import Forwarded
from gateway.turn import Turn, queue, take_up

HIGH_WATER = 64 * 1024


class ClientConnection(asyncio.Protocol):
    """One connection of a client.

    Attributes:
        forwarded: who the client is.
        due: clock time at which the sweep calls `expire`; infinite while an exchange has its own.
    """

    __slots__ = (
        "_body_follows", "_choked", "_chunks", "_core", "_current", "_fields", "_handled", "_head",
        "_head_bytes", "_held", "_in_head", "_lines", "_lingering", "_parser", "_port",
        "_resuming", "_size", "_transport", "_turns", "_unsent", "_url", "due", "forwarded",
    )  # fmt: skip

    def __init__(self, core: Core, port: Port) -> None:
        self._core = core
        self._port = port
        self._parser = httptools.HttpRequestParser(self)
        self._current: Exchange | Refused | None = None
        self._turns: deque[Turn] = deque()
        self._url = b""
        self._lines: list[bytes] = []
        self._handled: dict[bytes, bytes] = {}
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._head_bytes = self._fields = self._size = self._unsent = 0
        self._in_head = self._body_follows = self._resuming = False
        self._lingering = self._held = self._choked = False
        self._transport: asyncio.Transport
        self.forwarded: Forwarded
        self.due = core.clock() + core.edge.idle

    @property
    def idle(self) -> bool:
        """Between two requests."""
        return self._current is None and not (self._in_head or self._lingering)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        self.forwarded = self._port.describe(self._transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        if not self._port.joined(self):
            self._take(problems.crowded())

    def data_received(self, data: bytes) -> None:
        """Parse, or pass on in a tunnel."""
        if self._lingering or (self._current is not None and self._current.tunnel(data)):
            return
        waited, rest = self._in_head or self._current is None, b""
        try:
            self._parser.feed_data(data)
            if self._chunks is not None:
                self._chunks.received(len(data))
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self._ignore_upgrade()
        except (httptools.HttpParserError, Refusal) as error:
            self._refuse(unparsed(error))
        if rest and not (self._current is not None and self._current.tunnel(rest)):
            self.data_received(rest)
        if self._in_head and not self._lingering:
            self._wait_for_head(len(data) if waited else 0)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End what is under way."""
        self._lingering = True
        self._parser = farewell.DEAF
        self._port.left(self)
        if self._current is not None:
            self._current.client_lost()

    def pause_writing(self) -> None:
        """Pass the pressure on; between two requests, take no further one."""
        self._choke(choked=True)

    def resume_writing(self) -> None:
        """Take the pressure off."""
        self._choke(choked=False)
        self._next()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Start a head."""
        if not self._resuming:
            self._url, self._lines, self._handled = b"", [], {}
            self._head_bytes = self._fields = self._size = 0
            self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Take (a part of) the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Render a field that passes, keep the others; trailers are counted and dropped."""
        if not self._in_head:
            if self._chunks is not None:
                self._chunks.trailer(name, value)
            return
        self._fields += 1
        self._size += len(name) + len(value)
        key = name.lower()
        if key not in HANDLED:
            self._lines.append(name + b": " + value + b"\r\n")
        elif key not in self._handled:
            self._handled[key] = value
        elif self._fields <= MAX_FIELDS:
            self._handled[key] += (b"\0" if key in SINGLE else b", ") + value

    def on_headers_complete(self) -> None:
        """Check the head and begin, or let it wait for its turn."""
        if self._resuming:
            return
        self._in_head = False
        parser, handled = self._parser, self._handled
        kept = parser.should_keep_alive()
        # Nothing but a field keeps HTTP/1.0 alive; to ask for the version makes a string.
        asked = b"connection" in handled or b"proxy-connection" in handled
        old = (asked or not kept) and parser.get_http_version() == "1.0"
        head: Head | Refusal
        try:
            head = self._head = http1.check_head(
                parser.get_method(), self._url, self._lines, handled,
                fields=self._fields, size=self._size, old=old, keep_alive=kept,
            )  # fmt: skip
            self._chunks = Chunks() if head.length is None else None
            if b"upgrade" in handled:
                self._body_follows = head.length != 0 and bool(parser.should_upgrade())
        except Refusal as refusal:
            head = refusal
        self._take(head)

    def on_body(self, data: bytes) -> None:
        """Pass bytes of a body on."""
        if self._chunks is not None:
            self._chunks.body_came = True
        if self._turns:
            self._turns[-1].take(data)
        elif self._current is not None:
            self._current.body(data)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        if self._body_follows:
            return
        self._chunks = None
        if self._turns:
            self._turns[-1].complete = True
        elif self._current is not None:
            self._current.body_end(self._core.clock())

    # What the exchange calls.

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    def hold(self, *, held: bool) -> None:
        """Stop or resume reading; who does not read answers, or sent ahead, is not read."""
        held = held or bool(self._turns) or (self._choked and self._current is None)
        if held is not self._held and not self._transport.is_closing():
            self._held = held
            if held:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def answered(self, now: float, *, close: bool) -> None:
        """Go on with the next request, or close, unless it was cut meanwhile."""
        self._current = None
        if self._lingering:
            return
        self.due = now + self._core.edge.idle
        if close:
            self._linger()
        elif self._choked:
            self.hold(held=True)
        elif self._turns:
            asyncio.get_running_loop().call_soon(self._next)

    def abort(self) -> None:
        """Cut the connection once what was written is sent."""
        self._lingering = True
        self.due = self._core.clock() + farewell.LINGER
        self._transport.close()

    def cut(self) -> None:
        """Close at once, by a reset: an answer that ends with its connection has not ended."""
        self._lingering = True
        farewell.reset(self._transport)

    def expire(self, now: float) -> None:
        """Close what is idle or lingers; answer a slow head."""
        if self._in_head and self._current is None and not (self._lingering or self._choked):
            self.due = now + farewell.LINGER
            self._take(problems.slow_head())
        elif self._lingering and self.takes_more():
            self.due = now + self._core.edge.response_idle
        elif self._lingering:
            self._transport.abort()
        else:
            self.abort()

    def takes_more(self) -> bool:
        """Whether there is something to send, and the client took some since the last look."""
        unsent, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return 0 < self._unsent != unsent

    # Inside.

    def _choke(self, *, choked: bool) -> None:
        self._choked = choked
        if self._current is not None:
            self._current.client_paused(paused=choked)
        else:
            self.hold(held=choked)

    def _take(self, head: Head | Refusal) -> None:
        if self._current is None and not (self._turns or self._choked or self._lingering):
            self._begin(head)
        elif not self._lingering:
            queue(self._turns, head)
            self.hold(held=True)

    def _begin(self, head: Head | Refusal) -> Exchange | Refused:
        self.due = float("inf")
        self._current = current = take_up(self._core, self, head)
        current.begin()
        return current

    def _next(self) -> None:
        """Begin the request that has waited."""
        if self._turns and self._current is None and not (self._lingering or self._choked):
            turn = self._turns.popleft()
            if not self._turns:
                self.hold(held=False)
            turn.feed(self._begin(turn.head), self._core.clock)

    def _wait_for_head(self, received: int) -> None:
        """Bound an incomplete head in time and size."""
        if not self._head_bytes and self._current is None:
            self.due = self._core.clock() + self._core.edge.head
        self._head_bytes += received
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(http1.oversized(self._url))

    def _refuse(self, refusal: Refusal) -> None:
        """Refuse the request that is arriving."""
        if self._in_head or self._current is None or self._turns:
            self._in_head = False
            self._take(refusal)
        else:
            self._current.reject(refusal)

    def _ignore_upgrade(self) -> None:
        """Go on after a head that offered an upgrade, which llhttp takes for the end of HTTP.

        The body, if any, is read by a parser that was told its framing.
        """
        self._parser = httptools.HttpRequestParser(self)
        if self._body_follows and self._head is not None:
            self._body_follows = False
            self._resuming = True
            self._parser.feed_data(stand_in(self._head.length))
            self._resuming = False

    def _linger(self) -> None:
        """Stop listening to the client, and close when it had time to read the answer."""
        self._lingering = True
        self._turns.clear()
        self.due = self._core.clock() + farewell.LINGER
        self.hold(held=False)
        farewell.finish(self._transport)
