"""Heads of requests and responses: fields are collected, checked, and sorted for a proxy.

llhttp has already refused bytes that are not HTTP: two framings, folded lines, bare line ends,
spaces before colons, unknown versions. This module refuses what llhttp lets through and a proxy
must not. All of its functions are pure: bytes in, values or a `LocalReply` out (RFC 9110 section
7.6, RFC 9112 sections 3 and 6).
"""

import re
from collections.abc import Container
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from failover import Judgement, judge_response

from gateway.http.framing import MAX_FIELDS, MAX_HEAD_BYTES, ChunkLimits, check_size
from gateway.http.problems import LocalReply
from gateway.http.scan import HeadScan

MAX_TARGET_BYTES: Final = 8 * 1024
CACHE_SIZE: Final = 256
"""Results that each cache of this package remembers, for the next request like an earlier one."""

HOP_BY_HOP: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
        b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""Fields for the next hop only; never passed on."""

FORWARDING: Final = frozenset(
    {
        b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
        b"x-forwarded-port", b"x-forwarded-prefix",
    }
)  # fmt: skip
"""Fields in which earlier proxies tell about the client, and which the gateway writes anew."""

CLAIMS: Final[tuple[bytes, ...]] = (
    b"cf-connecting-ip", b"fastly-client-ip", b"forwarded-for", b"front-end-https",
    b"true-client-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-envoy-external-address",
    b"x-forwarded", b"x-forwarded-by", b"x-forwarded-protocol", b"x-forwarded-scheme",
    b"x-forwarded-server", b"x-forwarded-ssl", b"x-original-forwarded-for", b"x-original-host",
    b"x-original-url", b"x-real-ip", b"x-rewrite-url", b"x-scheme", b"x-url-scheme",
)  # fmt: skip
"""Fields that services read before the standard ones: client, scheme, host and path of a request as
some proxy says. They pass from trusted proxies only."""

HANDLED: Final = (
    HOP_BY_HOP
    | FORWARDING
    | frozenset(CLAIMS)
    | {
        b"host", b"content-length", b"expect", b"via", b"x-request-id", b"traceparent",
        b"x-request-timeout-ms", b"x-gateway-attempt", b"x-gateway-shadow",
    }
)  # fmt: skip
"""Request fields that the gateway reads or replaces; all others pass as they are."""

RESPONSE_HANDLED: Final = HOP_BY_HOP | {
    b"content-length",
    b"content-location",
    b"location",
    b"x-request-id",
    b"retry-after",
    b"x-gateway-draining",
    b"x-gateway-not-processed",
    b"x-gateway-retry",
}
"""Response fields that the gateway reads or replaces; all others pass as they are."""
PROTECTED: Final = frozenset({b"authorization", b"cookie", b"content-type", b"content-encoding"})
"""Fields that a `Connection` header cannot have removed, beside those that are handled."""
CONSOLE_COOKIE: Final = b"gateway_console"
"""The cookie of a reader of the console. To browsers all ports of a host are one site, so it comes
to the data port too, and is no business of the services."""
CHUNKED: Final = b"chunked"
ORDINARY: Final = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""Values of `Connection` that name no field."""
SINGLE: Final = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""Fields that a message has once; two are joined by a NUL, which no valid value has."""

PARSED: Final = frozenset({b"transfer-encoding", b"upgrade", b"proxy-connection"})
"""Fields with which a head, and the body behind it, are left to llhttp."""
scan_request: Final = HeadScan(
    HANDLED, PARSED, most_fields=MAX_FIELDS, most_bytes=MAX_HEAD_BYTES
).request
"""Read the head of a request at once; None: llhttp is to read it."""
scan_response: Final = HeadScan(
    RESPONSE_HANDLED, PARSED, most_fields=MAX_FIELDS, most_bytes=MAX_HEAD_BYTES
).response
"""Read the head of a response at once; None: llhttp is to read it."""

LINE_EXTRA: Final = len(b": \r\n")
"""Bytes of a rendered field beside its name and value."""
NO_CONTENT: Final = 204
NOT_MODIFIED: Final = 304
UPGRADE_REQUIRED: Final = 426

STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class MisframedError(ValueError):
    """A response whose head contradicts itself about what follows it; the text says how."""


class FieldCollector:
    """The fields of the head that a parser is reading; the parser calls `on_header` for each field.

    A connection hands `on_header` on to its parser. The collector is no base class of the
    connections: in code that serves two classes, CPython's caches of attributes miss, which cost a
    request 4 % of its CPU.

    Attributes:
        lines: rendered fields that pass unchanged, in their order.
        handled: the other fields by lower-case name; repeated ones joined by a comma.
        in_head: a head is being read; later fields are trailers.
        chunk_limits: counts trailers; None where no body is chunked.
    """

    __slots__ = (
        "_comma", "_handled_names", "_max_fields", "_repeated", "_repeated_bytes", "chunk_limits",
        "handled", "in_head", "lines",
    )  # fmt: skip

    def __init__(
        self, handled_names: frozenset[bytes], max_fields: int, comma: bytes = b", "
    ) -> None:
        """Begin outside a head.

        Args:
            handled_names: lower-case names of the fields that do not simply pass.
            max_fields: repeated fields beyond so many fields are not joined; the head is refused.
            comma: stands between the values of a repeated field.
        """
        self._handled_names = handled_names
        self._max_fields = max_fields
        self._comma = comma
        self.in_head = False
        self.chunk_limits: ChunkLimits | None = None
        self.lines: list[bytes] = []
        self.handled: dict[bytes, bytes] = {}
        self._repeated = self._repeated_bytes = 0

    @property
    def field_count(self) -> int:
        """Return how many fields there were."""
        return len(self.lines) + len(self.handled) + self._repeated

    @property
    def field_bytes(self) -> int:
        """Return the bytes of the fields' names and values."""
        passed = sum(map(len, self.lines)) - LINE_EXTRA * len(self.lines)
        handled = sum(map(len, self.handled)) + sum(map(len, self.handled.values()))
        return passed + handled + self._repeated_bytes

    def end_head(self) -> bytes:
        """Return the lines as one block, and be empty for the next head."""
        lines = b"".join(self.lines)
        self.in_head = False
        self.lines = []
        self.handled = {}
        self._repeated = self._repeated_bytes = 0
        return lines

    def fill(self, lines: bytes, handled: dict[bytes, bytes]) -> None:
        """Take the fields of a head that was scanned, whose bounds the scan has kept."""
        self.lines.append(lines)
        self.handled = handled

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a field of the head, rendered if it passes unchanged; trailers are dropped."""
        if not self.in_head:
            if self.chunk_limits is not None:
                self.chunk_limits.count_trailer(name, value)
            return
        key = name.lower()
        if key not in self._handled_names:
            self.lines.append(name + b": " + value + b"\r\n")
        elif key not in self.handled:
            self.handled[key] = value
        else:
            self._repeat(key, value)

    def _repeat(self, key: bytes, value: bytes) -> None:
        """Join a repeated field to the earlier one."""
        self._repeated_bytes += len(key)
        if self.field_count < self._max_fields:
            separator = b"\0" if key in SINGLE else self._comma
            self.handled[key] += separator + value
            self._repeated_bytes -= len(separator)
        else:
            self._repeated_bytes += len(value)
        self._repeated += 1


class Head:
    """The head of a request that may be forwarded.

    Written out, for mypyc does not compile what `dataclass` generates; so are `ResponseHead`,
    `Admitted` and `RetryState`, of which each request makes one too.

    Attributes:
        method: as sent.
        target: path and query exactly as sent.
        path: the path, percent-decoded, to match routes against.
        lines: rendered fields that pass unchanged, in their order, as one block.
        handled: the other fields by lower-case name; repeated ones joined by a comma.
        length: bytes of the body, None when chunked.
        close: the connection ends after the answer.
        http10: the client speaks HTTP/1.0.
        expects_continue: the client waits for `100 Continue` before it sends the body.
    """

    __slots__ = (
        "close", "expects_continue", "handled", "http10", "length", "lines", "method", "path",
        "target",
    )  # fmt: skip

    def __init__(
        self, method: bytes, target: bytes, path: bytes, *, lines: bytes,
        handled: dict[bytes, bytes], length: int | None, close: bool, http10: bool,
    ) -> None:  # fmt: skip
        self.method = method
        self.target = target
        self.path = path
        self.lines = lines
        self.handled = handled
        self.length = length
        self.close = close
        self.http10 = http10
        expect = handled.get(b"expect")
        self.expects_continue = (
            expect is not None and expect.lower() == b"100-continue" and not http10
        )

    def values(self, name: bytes) -> list[bytes]:
        """Return the values of a field that passes unchanged, by its lower-case name."""
        found = []
        for line in split_lines(self.lines):
            given, _, value = line.partition(b":")
            if given.lower() == name:
                found.append(value.strip())
        return found

    @classmethod
    def unreadable(cls) -> Self:
        """Make a head that stands for one that could not be read."""
        return cls(b"-", b"-", b"-", lines=b"", handled={}, length=0, close=True, http10=False)


def check_head(
    method: bytes,
    target: bytes,
    fields: FieldCollector,
    *,
    most_bytes: int,
    http10: bool,
    keep_alive: bool,
) -> Head:
    """Check a parsed request head.

    Args:
        method: as sent.
        target: as sent.
        fields: of the head.
        most_bytes: the head has no more bytes than this; its fields are summed up only if this is
            over the limit.
        http10: the request is of HTTP/1.0.
        keep_alive: the parser's judgement of version and `Connection`.

    Raises:
        LocalReply: the request is malformed, ambiguous or too large.
    """
    handled, field_count = fields.handled, fields.field_count
    field_bytes = fields.field_bytes if most_bytes > MAX_HEAD_BYTES else 0
    lines = fields.end_head()
    if len(target) > MAX_TARGET_BYTES:
        raise LocalReply(414, "uri_too_long", "The request target is longer than 8 KiB.")
    if field_count > MAX_FIELDS or field_bytes > MAX_HEAD_BYTES:
        check_size(field_count, field_bytes)
    if method in (b"CONNECT", b"TRACE"):
        raise LocalReply(501 if method == b"CONNECT" else 405, "http_request_denied",
                      f"{method.decode()} is not served here.")  # fmt: skip
    host = handled.get(b"host")
    if host is None and not http10:
        raise LocalReply(400, "http_request_error", "Host is missing.")
    if host is not None and not _is_host(host):
        raise LocalReply(400, "http_request_error", "Host is not one host name.")
    length = _request_length(handled, http10=http10)
    if b"connection" in handled:
        lines = _without_listed(lines, handled[b"connection"])
    if CONSOLE_COOKIE in lines:
        lines = _without_console_cookie(lines)
    if not target.startswith(b"/"):
        target, handled[b"host"] = _origin_form(target)
    return Head(
        method, target, _decoded_path(target), lines=lines, handled=handled,
        length=length, close=not keep_alive, http10=http10,
    )  # fmt: skip


def _request_length(handled: dict[bytes, bytes], *, http10: bool) -> int | None:
    """Return the bytes of a request's body, None when the body is chunked (RFC 9112 section 6).

    `chunked` is the one transfer coding that the gateway can take: it frames the body anew, and
    would remove the name of any other coding and pass the coded bytes on.

    Args:
        handled: fields by lower-case name; two of Transfer-Encoding are joined by a NUL.
        http10: the request is of HTTP/1.0.

    Raises:
        LocalReply: the end is unclear, or the body has another transfer coding.
    """
    coding, length = handled.get(b"transfer-encoding"), handled.get(b"content-length")
    if coding is None:
        return int(length or 0)
    if http10 or length is not None:
        raise LocalReply(400, "http_request_error", "The length of the body is ambiguous.")
    *more, last = [one.strip(b" \t").lower() for one in coding.split(b",")]
    if last != CHUNKED or CHUNKED in more:
        raise LocalReply(
            400, "http_request_error", "Transfer-Encoding does not end in one chunked."
        )
    if more:
        raise LocalReply(
            501, "http_request_denied", "No transfer coding but chunked is served here."
        )
    return None


def _is_chunked(handled: dict[bytes, bytes]) -> bool:
    """Return whether a response has chunks.

    Raises:
        MisframedError: the response has another transfer coding, or has one twice.
    """
    coding = handled.get(b"transfer-encoding")
    if coding is not None and coding.strip(b" \t").lower() != CHUNKED:
        names = coding.replace(b"\0", b", ").decode("latin-1")
        raise MisframedError(f"Transfer-Encoding is {names}; only one chunked can be read")
    return coding is not None


@lru_cache(CACHE_SIZE)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def head_too_large(target: bytes) -> LocalReply:
    """Say which part of an endless head is too large."""
    if len(target) > MAX_TARGET_BYTES:
        return LocalReply(414, "uri_too_long", "The request target is longer than 8 KiB.")
    return LocalReply(431, "head_too_large", "The head is larger than 32 KiB.")


def _origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Return an absolute target's path and query, and its host, which counts instead of `Host`.

    RFC 9112, 3.2.2.
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _is_host(absolute[1]) or not absolute[1]:
        raise LocalReply(400, "http_request_error", "The target is neither a path nor a URL.")
    rest = absolute[2]
    return (rest if rest.startswith(b"/") else b"/" + rest), absolute[1]


@lru_cache(CACHE_SIZE)
def _decoded_path(target: bytes) -> bytes:
    """Decode the path as a service will read it; routes must not be fooled by its spelling."""
    if b"#" in target or not target.isascii():
        raise LocalReply(400, "http_request_error", "The target has a fragment or non-ASCII bytes.")
    path = target.partition(b"?")[0] if b"?" in target else target
    if b"%" in path:
        path = unquote_to_bytes(path)
    if b"/." in path and (b"/../" in path + b"/" or b"/./" in path + b"/"):
        raise LocalReply(400, "http_request_error", "The path has dot segments.")
    if b"\0" in path or b"\\" in path:
        raise LocalReply(400, "http_request_error", "The path has a NUL or a backslash.")
    return path


def _without_listed(lines: bytes, connection: bytes) -> bytes:
    """Drop the fields that `Connection` names, except those it must not take away."""
    if connection in ORDINARY:
        return lines
    tokens = {token.strip().lower() for token in connection.split(b",")}
    tokens -= {b"close", b"keep-alive", b"upgrade", b""} | HANDLED | PROTECTED
    if not tokens:
        return lines
    return without_fields(lines, tokens)


def _without_console_cookie(lines: bytes) -> bytes:
    """Drop the console's cookie, and a `Cookie` field that has no other."""
    kept: list[bytes] = []
    for line in split_lines(lines):
        name, _, value = line.partition(b":")
        if name.lower() == b"cookie":
            pairs = [pair.strip(b" \t\r\n") for pair in value.split(b";")]
            others = [pair for pair in pairs if pair.partition(b"=")[0] != CONSOLE_COOKIE]
            if len(others) < len(pairs):
                if others:
                    kept.append(b"%b: %b\r\n" % (name, b"; ".join(others)))
                continue
        kept.append(line)
    return b"".join(kept)


def split_lines(lines: bytes) -> list[bytes]:
    """Return each rendered field of a block; no value has a line end."""
    return lines.splitlines(keepends=True)


def without_fields(lines: bytes, names: Container[bytes]) -> bytes:
    """Return the rendered fields whose lower-case names are not among these."""
    return b"".join(
        [line for line in split_lines(lines) if line.partition(b":")[0].lower() not in names]
    )


class ResponseHead:
    """The head of an instance's response.

    Attributes:
        status: HTTP status.
        lines: rendered fields that pass unchanged, as one block.
        handled: the other fields by lower-case name.
        length: bytes of the body; None when chunked or ended by the connection's end.
        chunked: the body is chunked.
        bodyless: there is no body whatever the fields say (HEAD, 204, 304).
        reusable: the connection may serve another request afterwards.
    """

    __slots__ = ("bodyless", "chunked", "handled", "length", "lines", "reusable", "status")

    def __init__(
        self, status: int, lines: bytes, handled: dict[bytes, bytes], length: int | None, *,
        chunked: bool, bodyless: bool, reusable: bool,
    ) -> None:  # fmt: skip
        self.status = status
        self.lines = lines
        self.handled = handled
        self.length = length
        self.chunked = chunked
        self.bodyless = bodyless
        self.reusable = reusable

    def judge(self, wall: float) -> Judgement:
        """Judge the attempt by this head; `wall` is Unix time now."""
        return judge_response(
            self.status,
            retry_after=self._text(b"retry-after"),
            not_processed=self._text(b"x-gateway-not-processed"),
            retry=self._text(b"x-gateway-retry"),
            wall=wall,
        )

    @property
    def is_last(self) -> bool:
        """Return whether the instance says that it drains: its process ends soon."""
        return not self.reusable and b"x-gateway-draining" in self.handled

    @property
    def is_event_stream(self) -> bool:
        """Return whether the body is a stream of server-sent events."""
        return any(
            line[:13].lower() == b"content-type:" and b"text/event-stream" in line.lower()
            for line in split_lines(self.lines)
        )

    def _text(self, name: bytes) -> str | None:
        value = self.handled.get(name)
        return None if value is None else value.decode("latin-1")


def check_response(
    status: int,
    fields: FieldCollector,
    *,
    keep_alive: bool,
    to_head: bool,
) -> ResponseHead:
    """Read the framing of a response from its fields.

    Args:
        status: HTTP status.
        fields: of the head.
        keep_alive: the parser's judgement of version and `Connection`.
        to_head: the request was a HEAD.

    Raises:
        MisframedError: the body has a transfer coding that the gateway does not know.
    """
    handled, lines = fields.handled, fields.end_head()
    if b"connection" in handled:
        lines = _without_listed(lines, handled[b"connection"])
        if status == UPGRADE_REQUIRED and b"upgrade" in handled:
            # To which protocol: the one thing such an answer must say (RFC 9110, 15.5.22).
            offer = b"Upgrade: %b\r\nConnection: upgrade\r\n" % handled[b"upgrade"]
            lines += offer
    chunked = _is_chunked(handled)
    stated = handled.get(b"content-length")
    bodyless = to_head or status in (NO_CONTENT, NOT_MODIFIED)
    # A 204 has no length either, whatever it says (RFC 9110, 8.6).
    length = None if chunked or stated is None or status == NO_CONTENT else int(stated)
    framed = bodyless or chunked or length is not None
    return ResponseHead(
        status, lines, handled, length,
        chunked=chunked, bodyless=bodyless, reusable=keep_alive and framed,
    )  # fmt: skip
