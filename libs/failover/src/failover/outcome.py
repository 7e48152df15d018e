"""What one attempt proved, and what that permits.

A client that saw a failure knows little: was the request executed or not? `Outcome` names what the
attempt *proved*, and `TABLE` says, for each, whether another attempt is allowed. This table is the
only place where that is written.

A request is *repeatable* when its method is safe or idempotent (RFC 9110, 9.2) or when its owner
declared it so; a prediction is a POST that may be repeated, and only its owner knows that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


class Outcome(Enum):
    """What an attempt proved about its request and its instance."""

    __hash__ = object.__hash__
    """Members are unique, and this one is not written in Python."""

    ANSWERED = "answered"
    """A response that is the service's own answer, whatever its status."""
    REFUSED = "refused"
    """No connection (refused, unreachable, connect timeout, TLS failure): nothing was sent."""
    STALE = "stale"
    """A kept-alive connection was closed before any response byte: the keep-alive race."""
    BROKEN = "broken"
    """The connection ended after the request was sent, before any response byte."""
    TIMED_OUT = "timed_out"
    """No response head within the per-try timeout."""
    GARBLED = "garbled"
    """What came back is not a complete HTTP response head."""
    UNAVAILABLE = "unavailable"
    """502, 503 or 504: a gateway or the service itself says it failed; the request may have run."""
    DECLINED = "declined"
    """503 with `Retry-After` or `X-Gateway-Not-Processed: 1`: the service did not run it."""
    CUT = "cut"
    """The body ended early, after its head had been passed on."""
    ABANDONED = "abandoned"
    """The client went away; nothing is known about the instance."""


class Then(Enum):
    """What an outcome permits."""

    NEVER = "never"
    ELSEWHERE = "elsewhere"
    """Another attempt on another instance."""
    ELSEWHERE_ONCE = "elsewhere_once"
    """As ELSEWHERE, but not a second time for this outcome."""
    FRESH = "fresh"
    """Once, uncounted, on a fresh connection; the same instance is fine."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        repeatable: what is permitted for a request that may run twice.
        otherwise: what is permitted for one that must not.
        strikes: how many failures this counts against the instance.
    """

    repeatable: Then
    otherwise: Then
    strikes: int


TABLE: Mapping[Outcome, Rule] = MappingProxyType(
    {
        #                                repeatable            otherwise       strikes
        Outcome.ANSWERED: Rule(Then.NEVER, Then.NEVER, 0),
        Outcome.REFUSED: Rule(Then.ELSEWHERE, Then.ELSEWHERE, 1),
        Outcome.STALE: Rule(Then.FRESH, Then.NEVER, 0),
        Outcome.BROKEN: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.TIMED_OUT: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.GARBLED: Rule(Then.ELSEWHERE_ONCE, Then.NEVER, 2),
        Outcome.UNAVAILABLE: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.DECLINED: Rule(Then.ELSEWHERE, Then.ELSEWHERE, 1),
        Outcome.CUT: Rule(Then.NEVER, Then.NEVER, 1),
        Outcome.ABANDONED: Rule(Then.NEVER, Then.NEVER, 0),
    }
)


def classify_status(
    status: int, *, retry_after: bool = False, not_processed: bool = False
) -> Outcome:
    """Say what a response status proves.

    429 is the client's own quota and 500 may be the request's own fault: both are answers.

    Args:
        status: HTTP status of the response head.
        retry_after: the response has a `Retry-After`.
        not_processed: the response has `X-Gateway-Not-Processed: 1`.
    """
    if status not in (502, 503, 504):
        return Outcome.ANSWERED
    if status == 503 and (retry_after or not_processed):  # noqa: PLR2004 - the row's own number
        return Outcome.DECLINED
    return Outcome.UNAVAILABLE


def classify_loss(*, seen: bool, reused: bool) -> Outcome:
    """Say what the loss of a connection proves that has a request, and no whole response head yet.

    Args:
        seen: at least one byte of a response arrived.
        reused: the connection had served an earlier request.
    """
    if seen:
        return Outcome.GARBLED
    return Outcome.STALE if reused else Outcome.BROKEN
