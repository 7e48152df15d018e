"""The outcome of one attempt, and what the outcome permits.

A client that saw a failure knows little: was the request executed or not? `Outcome` names what the
attempt *proved*, and `TABLE` says, for each outcome, whether another attempt is allowed. This table
is the only place where that is written.

A request is *repeatable* when it may run twice (`idempotence.may_run_twice`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from failover.deadline import parse_retry_after


class Outcome(Enum):
    """The outcome of an attempt: what it proved about its request and its instance."""

    __hash__ = object.__hash__
    """Members are unique; the hash by identity is quicker than the one written in Python."""

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
    """The bytes that came back are not a complete HTTP response head."""
    MISFRAMED = "misframed"
    """A whole response head that contradicts itself about where the body ends (RFC 9112, 6.3)."""
    UNAVAILABLE = "unavailable"
    """502, 503 or 504: a gateway or the service itself says it failed; the request may have run."""
    DECLINED = "declined"
    """503 with `Retry-After` or `X-Gateway-Not-Processed: 1`: the service did not run it."""
    CUT = "cut"
    """The body ended early, after its head had been passed on."""
    ABANDONED = "abandoned"
    """The client went away; nothing is known about the instance."""


class Then(Enum):
    """The further attempt that an outcome permits."""

    NEVER = "never"
    ELSEWHERE = "elsewhere"
    """Another attempt on another instance."""
    ELSEWHERE_ONCE = "elsewhere_once"
    """As ELSEWHERE, but not a second time for the same outcome."""
    FRESH = "fresh"
    """Once, uncharged, on a fresh connection; the same instance is fine."""


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


TABLE: Final[Mapping[Outcome, Rule]] = MappingProxyType(
    {
        #                                repeatable            otherwise       strikes
        Outcome.ANSWERED: Rule(Then.NEVER, Then.NEVER, 0),
        Outcome.REFUSED: Rule(Then.ELSEWHERE, Then.ELSEWHERE, 1),
        Outcome.STALE: Rule(Then.FRESH, Then.NEVER, 0),
        Outcome.BROKEN: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.TIMED_OUT: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.GARBLED: Rule(Then.ELSEWHERE_ONCE, Then.NEVER, 2),
        # The application wrote the head so, and each of its instances would: no failure of one.
        Outcome.MISFRAMED: Rule(Then.NEVER, Then.NEVER, 0),
        Outcome.UNAVAILABLE: Rule(Then.ELSEWHERE, Then.NEVER, 1),
        Outcome.DECLINED: Rule(Then.ELSEWHERE, Then.ELSEWHERE, 1),
        Outcome.CUT: Rule(Then.NEVER, Then.NEVER, 1),
        Outcome.ABANDONED: Rule(Then.NEVER, Then.NEVER, 0),
    }
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judgement of an attempt by the head of its response.

    Attributes:
        outcome: what the attempt proved.
        retry_after: seconds that `Retry-After` asks for, None if it says nothing usable.
        retry_forbidden: the service says that another attempt would not help.
    """

    outcome: Outcome
    retry_after: float | None = None
    retry_forbidden: bool = False


ANSWER: Final = Judgement(Outcome.ANSWERED)
"""The judgement of every response that is the service's own answer."""


def judge_response(
    status: int,
    *,
    retry_after: str | None,
    not_processed: str | None,
    retry: str | None,
    wall: float,
) -> Judgement:
    """Judge an attempt by the head of its response; absent fields are None.

    429 is the client's own quota and 500 may be the request's own fault: both are answers.

    Args:
        status: HTTP status.
        retry_after: the field `Retry-After`.
        not_processed: the field `X-Gateway-Not-Processed`; `1`: the service did not run the
            request.
        retry: the field `X-Gateway-Retry`; `never`: another attempt would not help.
        wall: Unix time now, for dates in `Retry-After`.
    """
    if status not in (502, 503, 504):
        return ANSWER
    seconds = None if retry_after is None else parse_retry_after(retry_after, wall)
    # A `Retry-After` that is neither seconds nor a date promises nothing.
    declined = seconds is not None or not_processed == "1"
    outcome = Outcome.DECLINED if status == 503 and declined else Outcome.UNAVAILABLE  # noqa: PLR2004 - the row's own number
    return Judgement(outcome, seconds, retry == "never")


def judge_loss(*, response_begun: bool, reused: bool) -> Outcome:
    """Judge an attempt whose connection was lost before a whole response head arrived.

    Args:
        response_begun: at least one byte of a response arrived.
        reused: the connection had served an earlier request.
    """
    if response_begun:
        return Outcome.GARBLED
    return Outcome.STALE if reused else Outcome.BROKEN
