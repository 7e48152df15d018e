"""Content codings: bodies that come compressed are unpacked, large answers are packed for who asks.

A body is unpacked as it arrives, and never further than the limit of a plain body: what a small
body unpacks to takes no more memory than that. Source: RFC 9110, 8.4.1 and 12.5.3; RFC 1952, 2.2.
"""

import asyncio
import zlib
from collections.abc import Iterable, Mapping

from starlette.types import Message, Scope, Send

from service_kit.problem import Problem

CODINGS: Mapping[bytes, int] = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""The codings that are unpacked, with zlib's name for the format of each."""
PLAIN = frozenset({b"", b"identity"})
MOST_MEMBERS = 100
"""Members of one gzip file; each costs time, however little is in it."""
WORTH_PACKING_BYTES = 14_600
"""Bytes of the smallest answer that is packed. A smaller one is a client's in one flight of ten
packets (RFC 6928), packed or not, and would only cost both sides time."""
PIECE_BYTES = 64 * 1024
"""Bytes that are packed in one turn of the event loop, so that others wait for no more."""
_TEXTS = (b"application/json", b"application/problem+json", b"text/", b"image/svg+xml")
Fields = Iterable[tuple[bytes, bytes]]


class Unpacker:
    """One body, unpacked part by part."""

    def __init__(self, coding: bytes, limit: int) -> None:
        """Take a body of one of `CODINGS`, of at most `limit` bytes when it is unpacked."""
        self._coding = coding
        self._limit = self._room = limit
        self._members = 1
        self._stream = zlib.decompressobj(CODINGS[coding])

    def feed(self, packed: bytes) -> bytes:
        """Return what the next part of the body unpacks to.

        Raises:
            Problem: 413 for more than the limit, 400 for bytes that are not of the coding.
        """
        plain = []
        while packed:
            if self._stream.eof:
                self._begin_member()
            try:
                plain.append(self._stream.decompress(packed, self._room + 1))
            except zlib.error as error:
                raise self._broken(str(error)) from error
            self._room -= len(plain[-1])
            if self._room < 0:
                detail = f"The body, unpacked, is larger than {self._limit} bytes."
                raise Problem(413, detail, type="body-too-large", limit_bytes=self._limit)
            packed = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
        return b"".join(plain)

    def end(self) -> None:
        """Check that the body ended where its coding says.

        Raises:
            Problem: 400.
        """
        if not self._stream.eof:
            raise self._broken("it is cut short")

    def _begin_member(self) -> None:
        self._members += 1
        if CODINGS[self._coding] == CODINGS[b"deflate"] or self._members > MOST_MEMBERS:
            raise self._broken(f"bytes follow {self._members - 1} whole files")
        self._stream = zlib.decompressobj(CODINGS[self._coding])

    def _broken(self, reason: str) -> Problem:
        detail = f"The body is not {self._coding.decode()}, as Content-Encoding says: {reason}."
        return Problem(400, detail, type="encoded-body")


def coding_of(fields: Mapping[bytes, bytes]) -> bytes | None:
    """Return the coding of a body by its header fields; None for a plain one.

    Raises:
        Problem: 415 for a coding that is not known here.
    """
    coding = fields.get(b"content-encoding", b"").strip().lower()
    if coding in PLAIN:
        return None
    if coding not in CODINGS:
        known = ", ".join(name.decode() for name in CODINGS)
        detail = f"Bodies are unpacked that are {known}, one coding each; send it so, or plain."
        asked = {"Accept-Encoding": known}  # RFC 9110, 12.5.3
        raise Problem(415, detail, type="encoded-body", headers=asked)
    return coding


def accepts_gzip(scope: Scope) -> bool:
    """Return whether the request asks for gzip, and for a body at all."""
    asked: bytes = scope["fields"].get(b"accept-encoding", b"")
    if b"gzip" not in asked or scope["method"] == "HEAD":
        return False
    for each in asked.split(b","):
        coding, _, weight = each.partition(b";")
        if coding.strip().lower() == b"gzip":
            return not weight or weight.partition(b"=")[2].strip(b" \t0.") != b""
    return False


def packing(scope: Scope, send: Send) -> Send:
    """Return the `send` of a request's answer, which packs if the client asks."""
    return _Packing(send) if accepts_gzip(scope) else send


class _Packing:
    """A `send` that sends a large text, which is given whole, as gzip."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begin: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send a message; the begin of an answer that is to be packed waits for its body."""
        if message["type"] == "http.response.start" and _is_worth_packing(message["headers"]):
            self._begin = message
            return
        if self._begin is not None:
            begin, self._begin = self._begin, None
            if not message.get("more_body", False):
                message["body"] = await _packed(message["body"])
                begin["headers"] = _as_packed(begin["headers"], message["body"])
            await self._send(begin)
        await self._send(message)


def packed_at_once(plain: bytes) -> bytes:
    """Return a small answer as gzip."""
    packer = zlib.compressobj(1, wbits=CODINGS[b"gzip"])
    return packer.compress(plain) + packer.flush()


async def _packed(plain: bytes) -> bytes:
    """Return an answer as gzip; the event loop turns after each piece."""
    packer = zlib.compressobj(1, wbits=CODINGS[b"gzip"])
    parts = []
    for start in range(0, len(plain), PIECE_BYTES):
        parts.append(packer.compress(plain[start : start + PIECE_BYTES]))
        await asyncio.sleep(0)
    return b"".join((*parts, packer.flush()))


def _is_worth_packing(fields: Fields) -> bool:
    """Return whether an answer with these header fields is text, large, and not packed yet."""
    size, kind = 0, b""
    for name, value in fields:
        if name == b"content-length":
            size = int(value)
        elif name == b"content-type":
            kind = value
        elif name == b"content-encoding":
            return False
    return size >= WORTH_PACKING_BYTES and kind.startswith(_TEXTS)


def _as_packed(fields: Fields, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return an answer's header fields when its body is packed."""
    return [
        *(field for field in fields if field[0] != b"content-length"),
        (b"content-length", b"%d" % len(body)),
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
    ]
