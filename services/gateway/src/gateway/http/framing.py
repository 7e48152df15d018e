"""Framing of bodies as chunks (RFC 9112 section 7), and the bounds of what comes beside a body.

The gateway takes the chunks off a body and frames the body anew. The bytes that come beside a
body, in the head or between and after chunks, are bounded.
"""

from typing import Final

from gateway.http.problems import LocalReply

MAX_HEAD_BYTES: Final = 32 * 1024
MAX_FIELDS: Final = 100
LAST_CHUNK: Final = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Frame bytes of a body as one chunk; `data` is not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head_for_body(length: int | None) -> bytes:
    """Make a head that lets a fresh parser read a body whose own head another parser read."""
    chunked = b"Transfer-Encoding: chunked"
    framing = chunked if length is None else b"Content-Length: %d" % length
    return b"POST / HTTP/1.1\r\nHost: -\r\n%b\r\n\r\n" % framing


def check_size(field_count: int, field_bytes: int) -> None:
    """Bound the fields of a head, or of trailers.

    Raises:
        LocalReply: there are too many fields, or their names and values have too many bytes.
    """
    if field_count > MAX_FIELDS or field_bytes > MAX_HEAD_BYTES:
        raise LocalReply(431, "head_too_large", "There are over 100 fields, or 32 KiB of them.")


class ChunkLimits:
    """The bounds of the bytes that come in a chunked body beside the body itself.

    llhttp keeps a trailer until it ends, and limits neither trailers nor the line of a chunk.

    Attributes:
        body_came: bytes of the body, or its head, were in the packet that is being parsed.
    """

    __slots__ = ("_bytes_beside", "_field_bytes", "_field_count", "body_came")

    def __init__(self) -> None:
        self.body_came = True
        self._bytes_beside = self._field_count = self._field_bytes = 0

    def count_packet(self, size: int) -> None:
        """Count a packet of `size` bytes; the packets of an endless line have no byte of the body.

        Raises:
            LocalReply: there were too many bytes in such packets one after another.
        """
        self._bytes_beside = 0 if self.body_came else self._bytes_beside + size
        self.body_came = False
        check_size(0, self._bytes_beside)

    def count_trailer(self, name: bytes, value: bytes) -> None:
        """Count a trailer.

        Raises:
            LocalReply: the trailers are larger than a head may be.
        """
        self._field_count += 1
        self._field_bytes += len(name) + len(value)
        check_size(self._field_count, self._field_bytes)
