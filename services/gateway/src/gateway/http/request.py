"""The request as an instance gets it, rendered in bytes."""

from dataclasses import dataclass
from functools import lru_cache

from service_kit import TRACEPARENT

from gateway.http.field_changes import FieldChanges
from gateway.http.heads import CACHE_SIZE, CLAIMS, Head
from gateway.http.problems import LocalReply


@dataclass(frozen=True, slots=True)
class Forwarded:
    """The facts about a client that instances are told.

    Attributes:
        address: of the peer.
        scheme: http or https.
        port: of the data port, in digits.
        trusted: the peer is a proxy whose own `X-Forwarded-*` are believed.
    """

    address: bytes
    scheme: bytes
    port: bytes
    trusted: bool = False

    def lines(self, head: Head) -> bytes:
        """Return the fields about the client: a trusted peer's continued, any other's replaced."""
        handled = head.handled
        peer, scheme, host = self.address, self.scheme, handled.get(b"host", b"")
        port = self.port
        if self.trusted:
            earlier = handled.get(b"x-forwarded-for")
            peer = earlier + b", " + peer if earlier else peer
            scheme = handled.get(b"x-forwarded-proto", scheme)
            host = handled.get(b"x-forwarded-host", host)
            port = handled.get(b"x-forwarded-port", port)
            claims = [b"%b: %b\r\n" % (name, handled[name]) for name in CLAIMS if name in handled]
            return _forwarded(peer, scheme, host, port) + b"".join(claims)
        return _forwarded(peer, scheme, host, port)

    def origin(self, head: Head) -> tuple[bytes, bytes]:
        """Return the scheme and the host that the client called, as far as they are known."""
        handled = head.handled
        scheme, host = self.scheme, handled.get(b"host", b"")
        if self.trusted:
            scheme = handled.get(b"x-forwarded-proto", scheme)
            host = handled.get(b"x-forwarded-host", host)
        return scheme.partition(b",")[0].strip(), host.partition(b",")[0].strip()

    def outer_prefix(self, head: Head) -> bytes:
        """Return the part of the path that trusted proxies have taken off already, b"" for none."""
        said = head.handled.get(b"x-forwarded-prefix", b"") if self.trusted else b""
        return b"".join(part.strip().rstrip(b"/") for part in said.split(b","))


@lru_cache(CACHE_SIZE)
def _forwarded(peer: bytes, scheme: bytes, host: bytes, port: bytes) -> bytes:
    return (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b\r\n"
        b"X-Forwarded-Port: %b\r\n" % (peer, scheme, host, port)
    )


def check_loop(via: bytes, pseudonym: bytes) -> None:
    """Refuse a request that this gateway has forwarded before.

    Raises:
        LocalReply: 508.
    """
    if any(part.split()[1:2] == [pseudonym] for part in via.split(b",")):
        raise LocalReply(
            508, "proxy_loop_detected", "The request came through this gateway already."
        )


def upgrade_of(head: Head, *, allowed: bool) -> bytes:
    """Return the protocol that a client wants to switch to, b"" if none.

    An upgrade that a server may ignore is ignored (HTTP/2, as Java's client offers with every
    request).

    Raises:
        LocalReply: 501, a WebSocket on a route that does not allow it.
    """
    wanted = head.handled.get(b"upgrade", b"")
    if not wanted or b"upgrade" not in head.handled.get(b"connection", b"").lower():
        return b""
    if allowed:
        return wanted
    if wanted.lower() == b"websocket":
        raise LocalReply(501, "http_request_denied", "This route does not allow upgrades.")
    return b""


def common_lines(
    head: Head, forwarded: Forwarded, *, id_line: bytes, via: bytes, upgrade: bytes, prefix: bytes,
    changes: FieldChanges | None = None, trace_line: bytes | None = None,
) -> bytes:  # fmt: skip
    """Render the fields that every attempt of a request has alike.

    Args:
        head: the client's.
        forwarded: who the client is.
        id_line: the rendered `X-Request-Id`.
        via: our pseudonym.
        upgrade: the protocol to switch to, b"" for none.
        prefix: leading part of the path that the instance does not see.
        changes: of the route.
        trace_line: the rendered `traceparent`; None: the client's, if it is well-formed.
    """
    parts = [head.lines, forwarded.lines(head), id_line]
    if changes is not None:
        parts = [changes.without_dropped(head.lines), changes.added, *parts[-2:]]
    if forwarded.trusted:
        prefix = forwarded.outer_prefix(head) + prefix
    if prefix:
        parts.append(b"X-Forwarded-Prefix: %b\r\n" % prefix)
    earlier = head.handled.get(b"via")
    parts.append(b"Via: %b, 1.1 %b\r\n" % (earlier, via) if earlier else b"Via: 1.1 %b\r\n" % via)
    if trace_line is not None:
        parts.append(trace_line)
    elif b"traceparent" in head.handled and TRACEPARENT.fullmatch(head.handled[b"traceparent"]):
        parts.append(b"traceparent: %b\r\n" % head.handled[b"traceparent"])
    if upgrade:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % upgrade)
    return b"".join(parts)


def attempt_lines(
    method: bytes, target: bytes, number: int, deadline: float, now: float
) -> list[bytes]:
    """Render the request line of an attempt, its number, and the milliseconds that are left."""
    return [
        b"%b %b HTTP/1.1\r\nX-Request-Timeout-Ms: %d\r\nX-Gateway-Attempt: %d\r\n"
        % (
            method,
            target,
            max(0, int((deadline - now) * 1000)),
            number,
        )
    ]
