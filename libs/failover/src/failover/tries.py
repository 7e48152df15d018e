"""What one request has tried so far."""

from dataclasses import dataclass, field
from enum import Enum

from failover.balance import Member
from failover.outcome import Outcome
from failover.retry import RetryPolicy
from failover.tiers import EVERYBODY, Subset


class Nobody(Enum):
    """Why there is no instance to ask."""

    EMPTY = "empty"
    """The service has no usable instance."""
    TRIED = "tried"
    """Every usable instance was tried by this request."""
    FULL = "full"
    """Every instance that is left has as many requests in flight as it may."""


@dataclass(slots=True)
class Tries:
    """The attempts of one request.

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

    repeatable: bool
    deadline: float
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    subset: Subset = EVERYBODY
    replayable: bool = True
    attempts: int = 0
    tried: tuple[Member, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    current: Member | None = None
    started: float = 0.0
    ejected: bool = False
    probe: bool = False
