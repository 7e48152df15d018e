"""The decision whether a failed request is tried again, and after which pause.

`decide` is the whole rule. It never touches the budget: a retry that is otherwise allowed is paid
for by `Balancer.decide`, so that a refused withdrawal is told apart from a rule that said no.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from failover.outcome import TABLE, Outcome, Then


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts that a request has, and the pauses between them.

    Attributes:
        max_attempts: attempts in all, the first included.
        base: seconds; upper end of the first pause that is not skipped.
        cap: seconds; no pause is longer.
        least: seconds; no attempt starts with less than this before the deadline.
    """

    max_attempts: int = 3
    base: float = 0.025
    cap: float = 0.250
    least: float = 0.020


STANDARD_RETRIES: Final = RetryPolicy()
"""The retry policy of a request whose caller names none."""


class Stopped(Enum):
    """The reason why there is no further attempt."""

    FORBIDDEN = "forbidden"
    """The table does not allow it: it might run the request twice, or would not help."""
    BODY_GONE = "body-gone"
    """The request's body was streamed and is no longer there to send again."""
    ATTEMPTS = "attempts-exhausted"
    NO_OTHER = "no-other-instance"
    DEADLINE = "deadline"
    BUDGET = "budget-exhausted"


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay` seconds; `fresh` asks for a new connection, same instance allowed."""

    delay: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Try no more: the client gets the last response or failure."""

    reason: Stopped


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts on which a decision depends.

    Attributes:
        outcome: what the last attempt proved.
        repeatable: the request may run twice.
        replayable: every byte of the request can be sent again.
        charged_attempts: charged attempts made so far, the last one included.
        repeated: attempts that ended in this same way, the last one included.
        untried: an instance exists that this request has not been sent to.
        alone: the service has one instance only.
        left: seconds until the deadline.
        answer_seconds: seconds that an answer of the quickest instance takes.
    """

    outcome: Outcome
    repeatable: bool
    replayable: bool
    charged_attempts: int
    repeated: int
    untried: bool
    alone: bool
    left: float
    answer_seconds: float


def decide(facts: Facts, policy: RetryPolicy, draw: float) -> Again | Stop:
    """Apply the table of outcomes, then the limits.

    Args:
        facts: about the request and its last attempt.
        policy: attempts and pauses.
        draw: uniform in [0, 1), for the jitter.
    """
    rule = TABLE[facts.outcome]
    then = rule.repeatable if facts.repeatable else rule.otherwise
    if then is Then.FRESH and facts.repeated > 1:
        then = Then.ELSEWHERE
    if then is Then.NEVER or (then is Then.ELSEWHERE_ONCE and facts.repeated > 1):
        return Stop(Stopped.FORBIDDEN)
    if not facts.replayable and facts.outcome is not Outcome.REFUSED:
        return Stop(Stopped.BODY_GONE)
    if then is Then.FRESH:
        return Again(0.0, fresh=True) if facts.left > 0 else Stop(Stopped.DEADLINE)
    if facts.charged_attempts >= policy.max_attempts:
        return Stop(Stopped.ATTEMPTS)
    restarting = facts.alone and facts.outcome is Outcome.REFUSED and facts.charged_attempts == 1
    if not facts.untried and not restarting:
        return Stop(Stopped.NO_OTHER)
    free = facts.outcome is Outcome.REFUSED and not restarting
    delay = 0.0 if free else backoff(facts.charged_attempts, policy, draw)
    if facts.left - delay < min(facts.answer_seconds, policy.least):
        return Stop(Stopped.DEADLINE)
    return Again(delay)


def backoff(charged_attempts: int, policy: RetryPolicy, draw: float) -> float:
    """Return the pause in seconds: uniform in [0, min(cap, base * 2^(charged_attempts - 1)))."""
    return draw * min(policy.cap, policy.base * 2.0 ** (charged_attempts - 1))
