"""The body of a request on its way to an instance: kept whole up to a size, streamed beyond it."""

from gateway.http.framing import LAST_CHUNK, chunk


class RequestBody:
    """The part of a request's body that has arrived, and how the body is framed.

    A body of unknown length that ends within the replay size is sent with a `Content-Length`.

    Attributes:
        length: bytes as the client stated them, None when chunked.
        size: bytes that have arrived.
        complete: no more bytes will come.
        streaming: the body is sent while it arrives, so it cannot be sent twice.
    """

    __slots__ = ("_first", "_more", "_stated", "complete", "length", "size", "streaming")

    def __init__(self, length: int | None, *, stated: bool) -> None:
        """Begin without a byte; `stated`: the client sent a `Content-Length`."""
        self.length = length
        self.size = 0
        self.complete = False
        self.streaming = False
        self._stated = stated
        self._first = b""
        # All but the first piece, in one: as objects, chunks of two bytes are 21 times as large.
        self._more: bytearray | None = None

    def keep(self, data: bytes) -> None:
        """Keep bytes until they can be sent."""
        if not self._first:
            self._first = data
        elif self._more is None:
            self._more = bytearray(data)
        else:
            self._more += data

    def render(self) -> list[bytes]:
        """Return the framing fields, the empty line, and the kept bytes of the body."""
        kept = self._first if self._more is None else self._first + self._more
        if self.complete and not self.streaming and (kept or self.length is None):
            return [b"Content-Length: %d\r\n\r\n" % self.size, kept]
        if self.length is None:
            parts = [b"Transfer-Encoding: chunked\r\n\r\n"]
            if kept:
                parts.append(chunk(kept))
            if self.complete:
                parts.append(LAST_CHUNK)
            return parts
        if self._stated:
            return [b"Content-Length: %d\r\n\r\n" % self.length, kept]
        return [b"\r\n"]

    def frame(self, data: bytes) -> bytes:
        """Frame bytes of the body as the instance expects them."""
        return data if self.length is not None else chunk(data)

    def forget(self) -> None:
        """Let go of the kept bytes."""
        self._first, self._more = b"", None
