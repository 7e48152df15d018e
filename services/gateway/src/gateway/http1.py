"""The rules of HTTP/1.1 for somebody in the middle: what is refused, dropped, added, re-framed.

llhttp has already refused what is not HTTP: two framings, folded lines, bare line ends, spaces
before colons, unknown versions. What it lets through and a proxy must not is refused here. All of
it is pure: bytes in, values or a `Refusal` out (RFC 9110 section 7.6, RFC 9112 sections 3 and 6).
"""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Self
from urllib.parse import unquote_to_bytes

from failover import Judgement, judge_response

from gateway.framing import check_size, is_chunked, request_length
from gateway.problems import Refusal

MAX_TARGET_BYTES = 8 * 1024
KEPT = 256
"""What was worked out of that many different inputs is kept, for the next request like it."""

HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate",
        b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
"""Fields for the next hop only; never passed on."""

FORWARDING = frozenset(
    {
        b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
        b"x-forwarded-port", b"x-forwarded-prefix",
    }
)  # fmt: skip
"""What earlier proxies said; believed from trusted ones only."""

HANDLED = (
    HOP_BY_HOP
    | FORWARDING
    | {
        b"host", b"content-length", b"expect", b"via", b"x-request-id", b"traceparent",
        b"x-request-timeout-ms", b"x-gateway-attempt", b"x-gateway-shadow",
    }
)  # fmt: skip
"""Request fields that do not simply pass."""

RESPONSE_HANDLED = HOP_BY_HOP | {
    b"content-length",
    b"x-request-id",
    b"retry-after",
    b"x-gateway-not-processed",
    b"x-gateway-retry",
}
PROTECTED = frozenset({b"authorization", b"cookie", b"content-type", b"content-encoding"})
"""Fields that a `Connection` header cannot have removed, beside those that are handled."""
ORDINARY = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
"""Values of `Connection` that name no field."""
SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding"})

NO_CONTENT, NOT_MODIFIED, UPGRADE_REQUIRED = 204, 304, 426

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Head:
    """A request head that may be forwarded.

    Written out, for mypyc does not compile what `dataclass` generates; so are `ResponseHead`,
    `Terms` and `Tries`, of which each request makes one too.

    Attributes:
        method: as sent.
        target: path and query exactly as sent.
        path: the path, percent-decoded, to match routes against.
        lines: rendered fields that pass unchanged, in their order.
        handled: the other fields by lower-case name; repeated ones joined by a comma.
        length: bytes of the body, None when chunked.
        close: the connection ends after the answer.
        old: the client speaks HTTP/1.0.
    """

    __slots__ = ("close", "handled", "length", "lines", "method", "old", "path", "target")

    def __init__(
        self, method: bytes, target: bytes, path: bytes, *, lines: list[bytes],
        handled: dict[bytes, bytes], length: int | None, close: bool, old: bool,
    ) -> None:  # fmt: skip
        self.method = method
        self.target = target
        self.path = path
        self.lines = lines
        self.handled = handled
        self.length = length
        self.close = close
        self.old = old

    @classmethod
    def unreadable(cls) -> Self:
        """The place of a head that could not be read."""
        return cls(b"-", b"-", b"-", lines=[], handled={}, length=0, close=True, old=False)

    @property
    def expects_continue(self) -> bool:
        """The client waits for `100 Continue` before it sends the body."""
        return self.handled.get(b"expect", b"").lower() == b"100-continue" and not self.old


def check_head(
    method: bytes,
    target: bytes,
    lines: list[bytes],
    handled: dict[bytes, bytes],
    *,
    fields: int,
    size: int,
    old: bool,
    keep_alive: bool,
) -> Head:
    """Check a parsed request head.

    Args:
        method: as sent.
        target: as sent.
        lines: rendered fields that pass.
        handled: those that do not.
        fields: how many there were.
        size: bytes of their names and values.
        old: it is of HTTP/1.0.
        keep_alive: the parser's judgement of version and `Connection`.

    Raises:
        Refusal: the request is malformed, ambiguous or too large.
    """
    if len(target) > MAX_TARGET_BYTES:
        raise Refusal(414, "uri_too_long", "The request target is longer than 8 KiB.")
    check_size(fields, size)
    if method in (b"CONNECT", b"TRACE"):
        raise Refusal(501 if method == b"CONNECT" else 405, "http_request_denied",
                      f"{method.decode()} is not served here.")  # fmt: skip
    host = handled.get(b"host")
    if host is None and not old:
        raise Refusal(400, "http_request_error", "Host is missing.")
    if host is not None and not _is_host(host):
        raise Refusal(400, "http_request_error", "Host is not one host name.")
    length = request_length(handled, old=old)
    if b"connection" in handled:
        lines = _without_listed(lines, handled[b"connection"])
    if not target.startswith(b"/"):
        target = _origin_form(target, host)
    return Head(
        method, target, _decoded_path(target), lines=lines, handled=handled,
        length=length, close=not keep_alive, old=old,
    )  # fmt: skip


@lru_cache(KEPT)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def oversized(target: bytes) -> Refusal:
    """Say which part of an endless head is too large."""
    if len(target) > MAX_TARGET_BYTES:
        return Refusal(414, "uri_too_long", "The request target is longer than 8 KiB.")
    return Refusal(431, "head_too_large", "The head is larger than 32 KiB.")


def _origin_form(target: bytes, host: bytes | None) -> bytes:
    """Path and query of an absolute target that names the Host."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Refusal(400, "http_request_error", "The target is neither a path nor a URL.")
    if host is None or absolute[1].lower() != host.lower():
        raise Refusal(400, "http_request_error", "The target and Host name different hosts.")
    rest = absolute[2]
    return rest if rest.startswith(b"/") else b"/" + rest


@lru_cache(KEPT)
def _decoded_path(target: bytes) -> bytes:
    """The path as a service will read it; routes must not be fooled by its spelling."""
    if b"#" in target or not target.isascii():
        raise Refusal(400, "http_request_error", "The target has a fragment or non-ASCII bytes.")
    path = target.partition(b"?")[0] if b"?" in target else target
    if b"%" in path:
        path = unquote_to_bytes(path)
    if b"/." in path and (b"/../" in path + b"/" or b"/./" in path + b"/"):
        raise Refusal(400, "http_request_error", "The path has dot segments.")
    if b"\0" in path or b"\\" in path:
        raise Refusal(400, "http_request_error", "The path has a NUL or a backslash.")
    return path


def _without_listed(lines: list[bytes], connection: bytes) -> list[bytes]:
    """Drop the fields that `Connection` names, except those it must not take away."""
    if connection in ORDINARY:
        return lines
    tokens = {token.strip().lower() for token in connection.split(b",")}
    tokens -= {b"close", b"keep-alive", b"upgrade", b""} | HANDLED | PROTECTED
    if not tokens:
        return lines
    return [line for line in lines if line.partition(b":")[0].lower() not in tokens]


class ResponseHead:
    """A response head of an instance.

    Attributes:
        status: HTTP status.
        lines: rendered fields that pass unchanged.
        handled: the other fields by lower-case name.
        length: bytes of the body; None when chunked or ended by the connection's end.
        chunked: the body is chunked.
        bodyless: there is no body whatever the fields say (HEAD, 204, 304).
        reusable: the connection may serve another request afterwards.
    """

    __slots__ = ("bodyless", "chunked", "handled", "length", "lines", "reusable", "status")

    def __init__(
        self, status: int, lines: list[bytes], handled: dict[bytes, bytes], length: int | None, *,
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
        """Judge the attempt by this head; `wall` is Unix time."""
        return judge_response(
            self.status,
            retry_after=self._text(b"retry-after"),
            not_processed=self._text(b"x-gateway-not-processed"),
            retry=self._text(b"x-gateway-retry"),
            wall=wall,
        )

    def _text(self, name: bytes) -> str | None:
        value = self.handled.get(name)
        return None if value is None else value.decode("latin-1")


def check_response(
    status: int,
    lines: list[bytes],
    handled: dict[bytes, bytes],
    *,
    keep_alive: bool,
    to_head: bool,
) -> ResponseHead:
    """Read the framing of a response.

    Args:
        status: HTTP status.
        lines: rendered fields that pass.
        handled: those that do not.
        keep_alive: the parser's judgement of version and `Connection`.
        to_head: the request was a HEAD.

    Raises:
        ValueError: the body has a transfer coding that the gateway does not know.
    """
    if b"connection" in handled:
        lines = _without_listed(lines, handled[b"connection"])
        if status == UPGRADE_REQUIRED and b"upgrade" in handled:
            # To which protocol: the one thing such an answer must say (RFC 9110, 15.5.22).
            offer = b"Upgrade: %b\r\nConnection: upgrade\r\n" % handled[b"upgrade"]
            lines = [*lines, offer]
    chunked = is_chunked(handled)
    stated = handled.get(b"content-length")
    bodyless = to_head or status in (NO_CONTENT, NOT_MODIFIED)
    # A 204 has no length either, whatever it says (RFC 9110, 8.6).
    length = None if chunked or stated is None or status == NO_CONTENT else int(stated)
    framed = bodyless or chunked or length is not None
    return ResponseHead(
        status, lines, handled, length,
        chunked=chunked, bodyless=bodyless, reusable=keep_alive and framed,
    )  # fmt: skip
