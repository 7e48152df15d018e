"""Where the body of a message ends: after its length, or after its last chunk (RFC 9112 section 6).

The gateway takes the chunks off and frames the body anew, so `chunked` is the one transfer coding
it can take: of any other it would remove the name and pass the coded bytes on. What comes beside a
body, before it or between and after its chunks, is bounded.
"""

from gateway.problems import Refusal

MAX_HEAD_BYTES = 32 * 1024
MAX_FIELDS = 100
CHUNKED = b"chunked"


def request_length(handled: dict[bytes, bytes], *, old: bool) -> int | None:
    """Bytes of a request's body, None when chunked.

    Args:
        handled: fields by lower-case name; two of Transfer-Encoding are joined by a NUL.
        old: it is of HTTP/1.0.

    Raises:
        Refusal: the end is unclear, or the body has another transfer coding.
    """
    coding, length = handled.get(b"transfer-encoding"), handled.get(b"content-length")
    if coding is None:
        return int(length or 0)
    if old or length is not None:
        raise Refusal(400, "http_request_error", "The length of the body is ambiguous.")
    *more, last = [one.strip(b" \t").lower() for one in coding.split(b",")]
    if last != CHUNKED or CHUNKED in more:
        raise Refusal(400, "http_request_error", "Transfer-Encoding does not end in one chunked.")
    if more:
        raise Refusal(501, "http_request_denied", "No transfer coding but chunked is served here.")
    return None


def is_chunked(handled: dict[bytes, bytes]) -> bool:
    """Whether a response has chunks.

    Raises:
        ValueError: it has another transfer coding.
    """
    coding = handled.get(b"transfer-encoding")
    if coding is not None and coding.strip(b" \t").lower() != CHUNKED:
        raise ValueError(f"a response with the transfer coding {coding!r}")
    return coding is not None


def stand_in(length: int | None) -> bytes:
    """A head that makes a fresh parser read the body of another one's."""
    chunked = b"Transfer-Encoding: chunked"
    framing = chunked if length is None else b"Content-Length: %d" % length
    return b"POST / HTTP/1.1\r\nHost: -\r\n%b\r\n\r\n" % framing


def check_size(fields: int, size: int) -> None:
    """Bound the fields of a head, or of trailers.

    Raises:
        Refusal: there are too many, or their names and values have too many bytes.
    """
    if fields > MAX_FIELDS or size > MAX_HEAD_BYTES:
        raise Refusal(431, "head_too_large", "There are over 100 fields, or 32 KiB of them.")


class Chunks:
    """Bounds what comes in a chunked body beside the body.

    llhttp keeps a trailer until it ends, and limits neither trailers nor the line of a chunk.

    Attributes:
        body_came: bytes of the body, or its head, were in the packet that is being parsed.
    """

    __slots__ = ("_beside", "_fields", "_size", "body_came")

    def __init__(self) -> None:
        self.body_came = True
        self._beside = self._fields = self._size = 0

    def received(self, size: int) -> None:
        """Count a packet; an endless line has packets without a byte of the body.

        Raises:
            Refusal: there were too many bytes in such packets one after another.
        """
        self._beside = 0 if self.body_came else self._beside + size
        self.body_came = False
        check_size(0, self._beside)

    def trailer(self, name: bytes, value: bytes) -> None:
        """Count a trailer.

        Raises:
            Refusal: the trailers are larger than a head may be.
        """
        self._fields += 1
        self._size += len(name) + len(value)
        check_size(self._fields, self._size)
