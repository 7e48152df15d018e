"""A connection to an instance: sends a request, reads the response or says what its loss proves.

It carries one request at a time and knows nothing of retries.
"""

import asyncio
import logging
import select
from typing import Protocol, cast

import httptools
from failover import Outcome, judge_loss

from gateway.http1 import RESPONSE_HANDLED, SINGLE, ResponseHead, check_response

MAX_RESPONSE_HEAD = 64 * 1024
RAW_FROM = 64 * 1024
"""A body with at least this many bytes left skips the parser."""
ENDLESS = 1 << 62
TUNNEL_SECONDS = 10.0
"""How long an instance may take to read what is left of a tunnel whose client is gone."""
DEAF = httptools.HttpResponseParser(object())
"""Takes the parser's place on a lost connection: the two would hold each other."""

_log = logging.getLogger(__name__)


class Consumer(Protocol):
    """Who sent a request on a connection and takes the response."""

    def response_head(self, head: ResponseHead) -> None:
        """Take a final response head; the connection may be dropped from here."""

    def response_body(self, data: bytes) -> None:
        """Take bytes of the body."""

    def flush(self) -> None:
        """Take notice that all bytes at hand were given, and more will come."""

    def response_end(self) -> None:
        """Take notice that the response is complete; the connection is no longer yours."""

    def response_lost(self, outcome: Outcome) -> None:
        """Take notice that no (further) response comes; the connection is no longer yours."""

    def upstream_paused(self, *, paused: bool) -> None:
        """Stop or resume sending: the instance does not read as fast."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Take a 101 and the first bytes after it."""


class Home(Protocol):
    """Where a connection belongs between two requests."""

    host_line: bytes
    open: int

    def put(self, connection: "Connection") -> None:
        """Keep it for the next request."""

    def forget(self, connection: "Connection") -> None:
        """It was closed while idle."""


class Connection(asyncio.Protocol):
    """One connection to an instance; carries one request at a time."""

    __slots__ = (
        "_dirty", "_ended", "_handled", "_head", "_held", "_lines", "_parser", "_raw_left", "_size",
        "_to_head", "consumer", "idle_since", "pool", "reused", "seen", "transport", "whole",
    )  # fmt: skip

    def __init__(self, pool: Home) -> None:
        self.pool = pool
        self.transport: asyncio.Transport
        self.consumer: Consumer | None = None
        self.idle_since = 0.0
        self.reused = False
        self.whole = True
        self._held = False
        self._parser = httptools.HttpResponseParser(self)
        self._reset(to_head=False)

    def _reset(self, *, to_head: bool) -> None:
        self.seen = False
        self._lines: list[bytes] = []
        self._handled: dict[bytes, bytes] = {}
        self._head: ResponseHead | None = None
        self._ended = self._dirty = False
        self._raw_left = 0
        self._size = 0
        self._to_head = to_head

    def send(self, consumer: Consumer, data: bytes, *, to_head: bool, whole: bool) -> None:
        """Send a request (or, not `whole`, its first part); the consumer gets what comes back."""
        self._reset(to_head=to_head)
        self.consumer = consumer
        self.whole = whole
        self.transport.write(data)

    def hold(self, *, held: bool) -> None:
        """Stop or resume reading."""
        self._held = held
        if not self.transport.is_closing():
            if held:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def silent(self) -> bool:
        """Whether nothing has arrived that the loop has not seen yet, such as the end."""
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    def drop(self) -> None:
        """Close; the consumer hears nothing more. The last bytes of a tunnel still go out."""
        self.consumer = None
        if self._raw_left > ENDLESS // 2 and not self.transport.is_closing():
            self.transport.close()
            asyncio.get_running_loop().call_later(TUNNEL_SECONDS, self.transport.abort)
        else:
            self.transport.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.pool.open += 1

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a response; large bodies pass by the parser."""
        consumer = self.consumer
        if consumer is None:
            self.transport.abort()
            return
        self.seen = True
        if self._raw_left:
            self._pass_raw(consumer, data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                _log.error("response_failed", exc_info=error)
            self._garbled()
            return
        if self._ended:
            self._finish()
        elif self._head is not None:
            consumer.flush()
        else:
            self._size += len(data)
            if self._size > MAX_RESPONSE_HEAD:
                self._lose(Outcome.GARBLED)

    def pause_writing(self) -> None:
        """Pass the pressure on."""
        if self.consumer is not None:
            self.consumer.upstream_paused(paused=True)

    def resume_writing(self) -> None:
        """Take the pressure off."""
        if self.consumer is not None:
            self.consumer.upstream_paused(paused=False)

    def connection_lost(self, error: Exception | None) -> None:
        """End the response if the end of the connection is its end; else report the loss."""
        self.pool.open -= 1
        self._parser = DEAF
        consumer, self.consumer = self.consumer, None
        if consumer is None:
            self.pool.forget(self)
        elif self._head is None:
            loss = judge_loss(response_begun=self.seen, reused=self.reused)
            consumer.response_lost(loss)
        elif error is None and self._head.length is None and not self._head.chunked:
            consumer.response_end()
        else:
            consumer.response_lost(Outcome.CUT)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notice bytes after the end of the response."""
        self._dirty = self._ended

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field; trailers are dropped."""
        if self._head is not None:
            return
        key = name.lower()
        if key not in RESPONSE_HANDLED:
            self._lines.append(name + b": " + value + b"\r\n")
        elif key not in self._handled:
            self._handled[key] = value
        else:
            self._handled[key] += (b"\0" if key in SINGLE else b",") + value

    def on_headers_complete(self) -> None:
        """Give the consumer the head; interim responses are not passed on."""
        status = self._parser.get_status_code()
        if self._ended or self.consumer is None:
            return
        if status < 200 and status != 101:  # noqa: PLR2004 - 1xx is interim
            self._lines, self._handled = [], {}
            return
        head = self._head = check_response(
            status, self._lines, self._handled,
            keep_alive=self._parser.should_keep_alive(), to_head=self._to_head,
        )  # fmt: skip
        if status == 101:  # noqa: PLR2004 - continues after the parser stopped
            return
        if head.bodyless:
            self._ended = True
        elif head.length is not None and head.length >= RAW_FROM:
            self._raw_left = head.length
        self.consumer.response_head(head)

    def on_body(self, data: bytes) -> None:
        """Pass bytes of the body on; where there can be none, they are not of this answer."""
        if self._ended:
            self._dirty = True
            return
        if self._raw_left:
            self._raw_left -= len(data)
        if self.consumer is not None:
            self.consumer.response_body(data)

    def on_message_complete(self) -> None:
        """Note the end; the consumer hears of it when all bytes at hand were looked at."""
        if self._head is not None:
            self._ended = True

    def _pass_raw(self, consumer: Consumer, data: bytes) -> None:
        if len(data) > self._raw_left:
            data, self._dirty = data[: self._raw_left], True
        self._raw_left -= len(data)
        consumer.response_body(data)
        if not self._raw_left:
            self._parser = httptools.HttpResponseParser(self)
            self._finish()
        else:
            consumer.flush()

    def _upgrade(self, rest: bytes) -> None:
        consumer, head = self.consumer, self._head
        if consumer is None or head is None:
            self._lose(Outcome.GARBLED)
        else:
            self._raw_left = ENDLESS
            consumer.upgraded(head, rest)

    def _finish(self) -> None:
        consumer, self.consumer = self.consumer, None
        if consumer is None:
            return
        if self._held:  # by a client that read slowly, and whose buffer took the rest
            self.hold(held=False)
        if self._to_head:
            self._parser = httptools.HttpResponseParser(self)
        if self._head is not None and self._head.reusable and self.whole and not self._dirty:
            self.pool.put(self)
        else:
            self.transport.close()
        consumer.response_end()

    def _garbled(self) -> None:
        """What cannot be read after the end of an answer takes nothing from the answer."""
        if self._ended:
            self._dirty = True
            self._finish()
        else:
            self._lose(Outcome.GARBLED)

    def _lose(self, outcome: Outcome) -> None:
        consumer, self.consumer = self.consumer, None
        self.transport.abort()
        if consumer is not None:
            consumer.response_lost(Outcome.CUT if self._head is not None else outcome)
