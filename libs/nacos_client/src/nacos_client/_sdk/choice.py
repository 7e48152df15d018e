"""The choice of the transport: gRPC, or HTTP alone where only gRPC has no answer. Pure."""

import enum
import math
from dataclasses import dataclass

LEAST_ATTEMPTS = 3
"""Attempts in a row, and at least one for each server, after which gRPC counts as closed."""
HTTP_SECONDS = 2.0
"""Seconds for which HTTP answers while gRPC does not, before HTTP is used alone: a server that
starts opens both in this time."""
GAP_SECONDS = 5.0
"""Seconds without an answer over HTTP, after which the time of answers begins anew."""
MOST_MISSES = 2
"""Questions in a row without an answer over HTTP, after which HTTP is lost as well."""


class Transport(enum.StrEnum):
    """The way to Nacos: the value is the word for people."""

    NONE = "none"
    GRPC = "gRPC"
    HTTP = "HTTP only"


@dataclass(slots=True)
class Answering:
    """The time in which servers have answered over HTTP without a gap; shared by all sessions.

    Times are monotonic, in seconds.
    """

    since: float = -math.inf
    until: float = -math.inf

    def heard(self, now: float) -> None:
        """Note an answer."""
        if now - self.until > GAP_SECONDS:
            self.since = now
        self.until = now

    def missed(self) -> None:
        """Note that no server answered."""
        self.since = self.until = -math.inf

    def seconds(self, now: float) -> float | None:
        """Return from the first answer to the last; None if the last one is too old."""
        return self.until - self.since if now - self.until <= GAP_SECONDS else None


@dataclass(frozen=True, slots=True)
class Seen:
    """The answers of a client's servers.

    Attributes:
        connected: there is a connection by gRPC.
        servers: the number of servers.
        unanswered: attempts in a row at which nobody answered by gRPC.
        http_seconds: how long HTTP has been answering; None if it does not.
        misses: questions over HTTP in a row that nobody answered.
    """

    connected: bool
    servers: int
    unanswered: int
    http_seconds: float | None
    misses: int


def choose(now: Transport, seen: Seen) -> Transport:
    """Return the transport to use, for the one in use now and what was seen since.

    A connection by gRPC is always used. HTTP alone is used once every server has been tried by gRPC
    and HTTP has answered for a while; then until it is lost. A server that is down answers neither,
    and one that starts says so by gRPC or opens gRPC soon after HTTP.
    """
    if seen.connected:
        return Transport.GRPC
    if now is Transport.HTTP:
        return Transport.HTTP if seen.misses < MOST_MISSES else Transport.NONE
    closed = seen.unanswered >= max(LEAST_ATTEMPTS, seen.servers)
    if closed and seen.http_seconds is not None and seen.http_seconds >= HTTP_SECONDS:
        return Transport.HTTP
    return Transport.NONE
