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

    __slots__ = ("_kept", "_stated", "complete", "length", "size", "streaming")

    def __init__(self, length: int | None, *, stated: bool) -> None:
        self.length = length
        self.size = 0
        self.complete = False
        self.streaming = False
        self._stated = stated
        self._kept: list[bytes] = []

    def keep(self, data: bytes) -> None:
        """Keep bytes until they can be sent."""
        self._kept.append(data)

    def opening(self) -> list[bytes]:
        """The framing fields, the empty line, and what there is of the body."""
        if self.complete and not self.streaming and (self._kept or self.length is None):
            return [b"Content-Length: %d\r\n\r\n" % self.size, *self._kept]
        if self.length is None:
            last = (LAST_CHUNK,) if self.complete else ()
            return [b"Transfer-Encoding: chunked\r\n\r\n", *map(self.framed, self._kept), *last]
        if self._stated:
            return [b"Content-Length: %d\r\n\r\n" % self.length, *self._kept]
        return [b"\r\n"]

    def framed(self, data: bytes) -> bytes:
        """Bytes of the body as the instance expects them."""
        return data if self.length is not None else b"%x\r\n%b\r\n" % (len(data), data)

    def forget(self) -> None:
        """Let go of what was kept."""
        self._kept = []
