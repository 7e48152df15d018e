"""The body of a request on its way to an instance: kept whole up to a size, streamed beyond it."""

LAST_CHUNK = b"0\r\n\r\n"


class Upload:
    """What has arrived of a body, and how it is framed.

    A body of unknown length that ends within the replay size is sent with a `Content-Length`.

    Attributes:
        length: as the client stated it, None when chunked.
        size: bytes that have arrived.
        complete: no more will come.
        streaming: it is sent while it arrives, so it cannot be sent twice.
    """

    __slots__ = ("_first", "_more", "_stated", "complete", "length", "size", "streaming")

    def __init__(self, length: int | None, *, stated: bool) -> None:
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

    def opening(self) -> list[bytes]:
        """The framing fields, the empty line, and what there is of the body."""
        kept = self._first if self._more is None else self._first + self._more
        if self.complete and not self.streaming and (kept or self.length is None):
            return [b"Content-Length: %d\r\n\r\n" % self.size, kept]
        if self.length is None:
            parts = [b"Transfer-Encoding: chunked\r\n\r\n"]
            if kept:
                parts.append(self.framed(kept))
            if self.complete:
                parts.append(LAST_CHUNK)
            return parts
        if self._stated:
            return [b"Content-Length: %d\r\n\r\n" % self.length, kept]
        return [b"\r\n"]

    def framed(self, data: bytes) -> bytes:
        """Bytes of the body as the instance expects them."""
        return data if self.length is not None else b"%x\r\n%b\r\n" % (len(data), data)

    def forget(self) -> None:
        """Let go of what was kept."""
        self._first, self._more = b"", None
