"""The response on its way to the client: framed anew, not buffered, head and first bytes together.

A body without a length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0.
"""

from collections.abc import Sequence

from gateway.http.framing import LAST_CHUNK, chunk
from gateway.http.heads import NO_CONTENT, STATUS_LINES, ResponseHead
from gateway.http.turn import TurnTransport


class ClientResponse:
    """The response to one request of a client.

    Attributes:
        status: 0 until the head is known.
        sent: bytes of the body.
        close: the client's connection ends with the response.
        open_ended: only the end of the connection says that the body is complete.
    """

    __slots__ = (
        "_chunked",
        "_http10",
        "_pending",
        "_transport",
        "close",
        "open_ended",
        "sent",
        "status",
    )

    def __init__(self, transport: TurnTransport, *, close: bool, http10: bool) -> None:
        self.status = 0
        self.sent = 0
        self.close = close
        self.open_ended = False
        self._transport = transport
        self._http10 = http10
        self._chunked = False
        self._pending = b""

    def begin(self, head: ResponseHead, added: Sequence[bytes]) -> None:
        """Render the head, to be written with the first bytes of the body.

        Args:
            head: of the instance's response.
            added: rendered fields of the gateway's own.
        """
        self.status = head.status
        parts = [_status_line(head.status), head.lines, *added]
        if head.length is not None:
            parts.append(b"Content-Length: %d\r\n" % head.length)
        elif not head.bodyless:
            if self._http10:
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
            data = chunk(data)
        if self._pending:
            data = self._pending + data
            self._pending = b""
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head whose body has not begun."""
        if self._pending:
            self._transport.write(self._pending)
            self._pending = b""

    def end(self) -> None:
        """Complete the response."""
        if self._chunked:
            self._transport.write(self._pending + LAST_CHUNK)
            self._pending = b""
        else:
            self.flush()

    def send_whole(
        self, status: int, lines: Sequence[bytes], body: bytes, *, to_head: bool
    ) -> None:
        """Send a whole response of the gateway's own."""
        self.status = status
        self.sent = 0 if to_head else len(body)
        parts = [_status_line(status), *lines]
        if status != NO_CONTENT:  # which has no length either (RFC 9110, 8.6)
            parts.append(b"Content-Length: %d\r\n" % len(body))
        parts.append(self._connection())
        if not to_head:
            parts.append(body)
        self._transport.write(b"".join(parts))

    def switch_protocols(self, head: ResponseHead, added: Sequence[bytes], data: bytes) -> None:
        """Send a 101 and the first bytes after it."""
        self.status = head.status
        self.close = True
        upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n\r\n" % head.handled.get(b"upgrade", b"")
        self._transport.write(b"".join([_status_line(101), head.lines, *added, upgrade, data]))

    def _connection(self) -> bytes:
        """Render the field that says what becomes of the connection, and the empty line."""
        if self.close:
            return b"Connection: close\r\n\r\n"
        return b"Connection: keep-alive\r\n\r\n" if self._http10 else b"\r\n"


def interim(status: int, lines: Sequence[bytes]) -> bytes:
    """Render an interim response, such as 103 Early Hints."""
    return b"".join([_status_line(status), *lines, b"\r\n"])


def _status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
