"""What one request has tried so far."""

from enum import Enum

from failover.balance import Member
from failover.outcome import Outcome
from failover.retry import USUAL, RetryPolicy
from failover.tiers import EVERYBODY, Subset


class Nobody(Enum):
    """Why there is no instance to ask."""

    EMPTY = "empty"
    """The service has no usable instance."""
    TRIED = "tried"
    """Every usable instance was tried by this request."""
    FULL = "full"
    """Every instance that is left has as many requests in flight as it may."""


class Tries:
    """The attempts of one request.

    Written out, for mypyc does not compile what `dataclass` generates, and this is made for every
    request.

    Attributes:
        repeatable: the request may run twice.
        deadline: clock time by which it must be answered.
        retry: attempts and pauses.
        subset: the instances that should serve it; others do when none of these is left.
        replayable: every byte of the request can be sent again.
        attempts: attempts made that count.
        tried: the members it was sent to.
        outcomes: how its attempts ended.
        current: the member of the attempt under way.
        started: clock time at which that attempt started.
        ejected: that member was out of traffic; if it answers, it returns.
        probe: that attempt is the member's probe; if it fails, the member stays out longer.
    """

    __slots__ = (
        "attempts", "current", "deadline", "ejected", "outcomes", "probe", "repeatable",
        "replayable", "retry", "started", "subset", "tried",
    )  # fmt: skip

    def __init__(
        self,
        *,
        repeatable: bool,
        deadline: float,
        retry: RetryPolicy = USUAL,
        subset: Subset = EVERYBODY,
        replayable: bool = True,
    ) -> None:
        self.repeatable = repeatable
        self.deadline = deadline
        self.retry = retry
        self.subset = subset
        self.replayable = replayable
        self.attempts = 0
        self.tried: tuple[Member, ...] = ()
        self.outcomes: tuple[Outcome, ...] = ()
        self.current: Member | None = None
        self.started = 0.0
        self.ejected = False
        self.probe = False
