"""The answer on its way to the client: re-framed, not buffered, head and first bytes in one write.

A body without a length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
"""

from collections.abc import Sequence
from typing import Protocol

from gateway.http1 import STATUS_LINES, ResponseHead
from gateway.upload import LAST_CHUNK


class Sink(Protocol):
    """Where the answer's bytes go."""

    def write(self, data: bytes) -> None:
        """Send bytes."""


class Answer:
    """One answer.

    Attributes:
        status: 0 until the head is known.
        sent: bytes of the body.
        close: the client's connection ends with it.
        open_ended: nothing but that end says that the body is complete.
    """

    __slots__ = ("_chunked", "_old", "_pending", "_sink", "close", "open_ended", "sent", "status")

    def __init__(self, sink: Sink, *, close: bool, old: bool) -> None:
        self.status = 0
        self.sent = 0
        self.close = close
        self.open_ended = False
        self._sink = sink
        self._old = old
        self._chunked = False
        self._pending = b""

    def head(self, head: ResponseHead, ours: Sequence[bytes]) -> None:
        """Take an instance's head, to be written with the first bytes of the body.

        Args:
            head: as it came.
            ours: rendered fields that are added.
        """
        self.status = head.status
        parts = [_status_line(head.status), *head.lines, *ours]
        if head.length is not None:
            parts.append(b"Content-Length: %d\r\n" % head.length)
        elif not head.bodyless:
            if self._old:
                self.close = self.open_ended = True
            else:
                self._chunked = True
                parts.append(b"Transfer-Encoding: chunked\r\n")
        retry_after = head.handled.get(b"retry-after")
        if retry_after is not None:
            parts.append(b"Retry-After: %b\r\n" % retry_after)
        parts.append(self._connection())
        self._pending = b"".join(parts)

    def body(self, data: bytes) -> None:
        """Send bytes of the body."""
        self.sent += len(data)
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._sink.write(data)

    def flush(self) -> None:
        """Send a head whose body has not begun."""
        if self._pending:
            self._sink.write(self._pending)
            self._pending = b""

    def end(self) -> None:
        """Complete the answer."""
        if self._chunked:
            self._sink.write(self._pending + LAST_CHUNK)
            self._pending = b""
        else:
            self.flush()

    def whole(self, status: int, lines: Sequence[bytes], body: bytes, *, to_head: bool) -> None:
        """Send an answer of our own."""
        self.status = status
        self.sent = 0 if to_head else len(body)
        parts = [_status_line(status), *lines, b"Content-Length: %d\r\n" % len(body),
                 self._connection()]  # fmt: skip
        if not to_head:
            parts.append(body)
        self._sink.write(b"".join(parts))

    def switched(self, head: ResponseHead, ours: Sequence[bytes], data: bytes) -> None:
        """Send a 101 and the first bytes after it."""
        self.status = head.status
        self.close = True
        upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.handled.get(b"upgrade", b"")
        self._sink.write(b"".join([_status_line(101), *head.lines, *ours, upgrade, data]))

    def _connection(self) -> bytes:
        """The field that says what becomes of the connection, and the empty line."""
        if self.close:
            return b"Connection: close\r\n\r\n"
        return b"Connection: keep-alive\r\n\r\n" if self._old else b"\r\n"


def _status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
