"""A connection to an instance: sends a request, reads the response or says what its loss proves.

A connection carries one request at a time and knows nothing of retries.
"""

import asyncio
import contextlib
import logging
import os
import select
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

import httptools
from failover import Outcome, judge_loss

from gateway.http.heads import (
    RESPONSE_HANDLED,
    FieldCollector,
    MisframedError,
    ResponseHead,
    check_response,
    scan_response,
)
from gateway.http.scan import SCANS
from gateway.http.turn import Turn, TurnTransport

MAX_RESPONSE_HEAD: Final = 64 * 1024
BYPASS_FROM: Final = 64 * 1024
"""A body with at least so many bytes left bypasses the parser."""
READ_BYTES: Final = 64 * 1024
ENDLESS: Final = 1 << 62
"""The bytes left of a tunnel."""
TUNNEL_SECONDS: Final = 10.0
"""Seconds in which an instance has to read the last bytes of a tunnel whose client is gone."""
NO_PARSER: Final = httptools.HttpResponseParser(object())
"""Takes the parser's place on a lost connection: parser and connection would hold each other."""

_log = logging.getLogger(__name__)


class ResponseConsumer(Protocol):
    """The sender of a request, who takes its response."""

    __slots__ = ()

    def response_head(self, head: ResponseHead) -> None:
        """Take a final response head; the consumer may drop the connection from here on."""

    def response_body(self, data: bytes) -> None:
        """Take bytes of the body."""

    def flush(self) -> None:
        """Pass on what came so far: all bytes at hand were given, and more will come."""

    def response_end(self) -> None:
        """Take the end of the response; the connection is no longer the consumer's."""

    def response_lost(self, outcome: Outcome, fault: str = "") -> None:
        """Learn that no (further) response comes; the connection is no longer the consumer's.

        `fault` says in words what is wrong with the bytes that came.
        """

    def interim_response(self, status: int, lines: Sequence[bytes]) -> None:
        """Take an interim response, such as 103 Early Hints."""

    def instance_paused(self, *, paused: bool) -> None:
        """Stop or resume sending: the instance does not read as fast."""

    def upgraded(self, head: ResponseHead, data: bytes) -> None:
        """Take a 101 and the first bytes after it."""


class ConnectionHome(Protocol):
    """The pool to which a connection belongs between two requests."""

    address: str
    host_line: bytes
    open: int
    turn: Turn

    def put(self, connection: "InstanceConnection") -> None:
        """Keep the connection for the next request."""

    def forget(self, connection: "InstanceConnection") -> None:
        """Drop a connection that was closed while idle."""


class InstanceConnection:
    """One connection to an instance; carries one request at a time.

    An asyncio protocol without asyncio's base class: compiled, a class of ours calls its methods
    directly only if all of its bases are compiled. The same holds for `ClientConnection`.

    Attributes:
        pool: where the connection belongs between two requests.
        transport: of the connection.
        on_header: takes a field from the parser.
        consumer: the sender of the request under way.
        idle_since: clock time at which the last response ended.
        reused: the connection has served an earlier request.
        ended: it carries no further request.
        response_begun: at least one byte of the response has arrived.
        request_sent: all of the request has been written.
    """

    __slots__ = (
        "_bypass_left", "_ended", "_excess", "_fields", "_head", "_head_bytes", "_parser",
        "_parser_waits", "_reading_paused", "_to_head", "consumer", "ended", "idle_since",
        "on_header", "pool", "request_sent", "response_begun", "reused", "transport",
    )  # fmt: skip

    def __init__(self, pool: ConnectionHome) -> None:
        self._fields = FieldCollector(RESPONSE_HANDLED, sys.maxsize, b",")
        self.on_header = self._fields.on_header
        self.pool = pool
        self.transport: TurnTransport
        self.consumer: ResponseConsumer | None = None
        self.idle_since = 0.0
        self.reused = False
        self.ended = False
        self.request_sent = True
        self._reading_paused = False
        self._parser = httptools.HttpResponseParser(self)
        self._expect_response(to_head=False)

    def _expect_response(self, *, to_head: bool) -> None:
        self._fields.in_head = True
        self.response_begun = False
        self._head: ResponseHead | None = None
        self._ended = self._excess = False
        self._bypass_left = 0
        self._head_bytes = 0
        self._to_head = to_head
        # The parser has read the head and will not see the body that the head promises.
        self._parser_waits = to_head

    def send(self, consumer: ResponseConsumer, data: bytes, *, to_head: bool, whole: bool) -> None:
        """Send a request (or, not `whole`, its first part); the consumer gets the response."""
        self._expect_response(to_head=to_head)
        self.consumer = consumer
        self.request_sent = whole
        self.transport.write(data)

    def pause_reading(self, *, paused: bool) -> None:
        """Stop or resume reading."""
        self._reading_paused = paused
        if not self.transport.is_closing():
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def nothing_to_read(self) -> bool:
        """Return whether nothing has arrived that the loop has not seen yet, such as the end."""
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    def drop(self) -> None:
        """Close; the consumer hears nothing more. The last bytes of a tunnel still go out."""
        self.consumer = None
        if self._bypass_left > ENDLESS // 2 and not self.transport.is_closing():
            self.transport.close()
            asyncio.get_running_loop().call_later(TUNNEL_SECONDS, self.transport.abort)
        else:
            self.transport.abort()

    # Calls of the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = TurnTransport(cast("asyncio.Transport", transport), self.pool.turn)
        self.pool.open += 1

    def data_received(self, data: bytes) -> None:
        """Read bytes of a response: bodies of ordinary heads, and large ones, bypass the parser."""
        consumer = self.consumer
        if consumer is None:
            self.transport.abort()
            return
        scannable = SCANS and not (self.response_begun or self._to_head)
        self.response_begun = True
        if self._bypass_left:
            self._pass_by(consumer, data)
            return
        try:
            if scannable and self._scan(consumer, data):
                return
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return
        except Exception as error:  # noqa: BLE001 - of callbacks: the response is lost, no other
            self._unreadable(error)
            return
        if self._ended:
            self._finish()
        elif self._head is not None:
            if self.consumer is not None:  # perhaps another one since the head
                self.consumer.flush()
        else:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_RESPONSE_HEAD:
                self._lose(Outcome.GARBLED)

    def eof_received(self) -> None:
        """Close, as the instance sends no more."""
        self.ended = True

    def pause_writing(self) -> None:
        """Tell the consumer that the instance does not read as fast."""
        if self.consumer is not None:
            self.consumer.instance_paused(paused=True)

    def resume_writing(self) -> None:
        """Tell the consumer that the instance reads again."""
        if self.consumer is not None:
            self.consumer.instance_paused(paused=False)

    def connection_lost(self, error: Exception | None) -> None:
        """End the response if the end of the connection is its end; else report the loss."""
        self.ended = True
        self.pool.open -= 1
        if error is not None and self.consumer is not None and self._head is None:
            error = self._read_rest(error)
        self._parser = NO_PARSER
        consumer, self.consumer = self.consumer, None
        if consumer is None:
            self.pool.forget(self)
        elif self._head is None:
            loss = judge_loss(response_begun=self.response_begun, reused=self.reused)
            consumer.response_lost(loss)
        elif error is None and self._head.length is None and not self._head.chunked:
            consumer.response_end()
        else:
            consumer.response_lost(Outcome.CUT)

    def _scan(self, consumer: ResponseConsumer, data: bytes) -> bool:
        """Read an ordinary head and what came of its body; False: all bytes are the parser's."""
        scanned = scan_response(data)
        if scanned is None:
            return False
        status, lines, handled, head_bytes, self._bypass_left = scanned
        self._fields.fill(lines, handled)
        head = self._head = check_response(status, self._fields, keep_alive=True, to_head=False)
        consumer.response_head(head)
        if self.consumer is not None:  # perhaps another one since the head
            self._pass_by(self.consumer, data[head_bytes:])
        return True

    # Calls of the parser, beside `on_header`.

    def on_message_begin(self) -> None:
        """Notice bytes after the end of the response."""
        self._excess = self._ended

    def on_headers_complete(self) -> None:
        """Give the consumer the head."""
        status = self._parser.get_status_code()
        if self._ended or self.consumer is None:
            return
        if status < 200 and status != 101:  # noqa: PLR2004 - 1xx is interim
            lines = self._fields.lines
            self._fields.end_head()
            self._fields.in_head = True
            if status != 100:  # noqa: PLR2004 - its client has had it, or has not asked for it
                self.consumer.interim_response(status, lines)
            return
        if status == 101 and not self._parser.should_upgrade():  # noqa: PLR2004
            raise MisframedError("status 101 without the protocol to switch to")
        head = self._head = check_response(
            status, self._fields, keep_alive=self._parser.should_keep_alive(), to_head=self._to_head
        )
        if status == 101:  # noqa: PLR2004 - continues after the parser stopped
            return
        if head.bodyless:
            self._ended = True
        elif head.length is not None and head.length >= BYPASS_FROM:
            self._bypass_left = head.length
            self._parser_waits = True
        self.consumer.response_head(head)

    def on_body(self, data: bytes) -> None:
        """Pass bytes of the body on; where there can be no body, they are not of this response."""
        if self._ended:
            self._excess = True
            return
        if self._bypass_left:
            self._bypass_left -= len(data)
        if self.consumer is not None:
            self.consumer.response_body(data)

    def on_message_complete(self) -> None:
        """Note the end; the consumer hears of it when all bytes at hand were looked at."""
        if self._head is not None:
            self._ended = True

    # Ends.

    def _pass_by(self, consumer: ResponseConsumer, data: bytes) -> None:
        """Pass bytes of a body on without the parser."""
        if len(data) > self._bypass_left:
            data, self._excess = data[: self._bypass_left], True
        self._bypass_left -= len(data)
        if data:
            consumer.response_body(data)
        if not self._bypass_left:
            self._finish()
        else:
            consumer.flush()

    def _upgrade(self, rest: bytes) -> None:
        consumer, head = self.consumer, self._head
        if consumer is None or head is None:
            self._lose(Outcome.GARBLED)
        else:
            self._bypass_left = ENDLESS
            consumer.upgraded(head, rest)

    def _finish(self) -> None:
        """End the response, and keep or close the connection."""
        consumer, self.consumer = self.consumer, None
        if consumer is None:
            return
        if self._reading_paused:  # by a client that read slowly, and whose buffer took the rest
            self.pause_reading(paused=False)
        if self._parser_waits:
            self._parser = httptools.HttpResponseParser(self)
        if self._may_serve_another():
            self.pool.put(self)
        else:  # to close would wait for an instance to read the rest of its request
            self.transport.abort()
        consumer.response_end()

    def _may_serve_another(self) -> bool:
        """Return whether nothing of this request or its response is left on the connection."""
        head = self._head
        return (
            head is not None
            and head.reusable
            and self.request_sent
            and not self._excess
            and not (self.transport.held or self.transport.raw.get_write_buffer_size())
        )

    def _unreadable(self, error: Exception) -> None:
        """Lose the response, unless it has ended: bytes after its end take nothing from it."""
        if self._ended:
            self._excess = True
            self._finish()
            return
        cause: BaseException | None = error
        if isinstance(error, httptools.HttpParserCallbackError):
            cause = error.__context__
        if not isinstance(cause, (MisframedError, httptools.HttpParserError)):
            _log.error("response_failed", exc_info=error)
            self._lose(Outcome.GARBLED)
            return
        misframed = any(field in str(cause) for field in ("Content-Length", "Transfer-Encoding"))
        self._lose(Outcome.MISFRAMED if misframed else Outcome.GARBLED, str(cause))

    def _lose(self, outcome: Outcome, fault: str = "") -> None:
        consumer, self.consumer = self.consumer, None
        self.transport.abort()
        if consumer is not None:
            consumer.response_lost(Outcome.CUT if self._head is not None else outcome, fault)

    def _read_rest(self, error: Exception) -> Exception | None:
        """Read what came before the connection failed; return the error, None if it ended well.

        An instance may answer (401, 413) and close before it has read a request. Then the write of
        the rest fails, perhaps before the loop sees that there is an answer to read.
        """
        if self.transport.get_extra_info("sslcontext") is not None:
            return error
        self.request_sent = False  # the connection carries no further request
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            while self.consumer is not None:
                data = os.read(sock.fileno(), READ_BYTES)
                if not data:
                    return None
                self.data_received(data)
        return error
