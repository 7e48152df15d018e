"""The attempts of one request so far."""

from enum import Enum

from failover.outcome import Outcome
from failover.peak_ewma import Member
from failover.retry import STANDARD_RETRIES, RetryPolicy
from failover.tiers import EVERYBODY, Subset


class NoInstance(Enum):
    """The reason why no instance can get the request."""

    EMPTY = "empty"
    """The service has no usable instance."""
    TRIED = "tried"
    """Every usable instance was tried by this request."""
    FULL = "full"
    """Every instance that is left has as many requests in flight as it may."""


class RetryState:
    """The attempts of one request, past and present.

    Written out, for mypyc does not compile what `dataclass` generates, and one is made for every
    request.

    Attributes:
        repeatable: the request may run twice.
        deadline: clock time by which the request must be answered.
        policy: how many attempts, and the pauses between them.
        subset: the instances that should serve the request; others do when none of these is left.
        replayable: every byte of the request can be sent again.
        charged_attempts: attempts made, without the uncharged ones on a fresh connection.
        tried: the members that the request was sent to.
        outcomes: how the attempts ended.
        current: the member of the attempt under way.
        started: clock time at which that attempt started.
        ejected: that member was out of traffic; if it answers, it returns.
        probe: that attempt is the member's probe; if it fails, the member stays out longer.
        may_be_followed: were that attempt given up, one on another instance could follow.
    """

    __slots__ = (
        "charged_attempts", "current", "deadline", "ejected", "may_be_followed", "outcomes",
        "policy", "probe", "repeatable", "replayable", "started", "subset", "tried",
    )  # fmt: skip

    def __init__(
        self,
        *,
        repeatable: bool,
        deadline: float,
        policy: RetryPolicy = STANDARD_RETRIES,
        subset: Subset = EVERYBODY,
        replayable: bool = True,
    ) -> None:
        self.repeatable = repeatable
        self.deadline = deadline
        self.policy = policy
        self.subset = subset
        self.replayable = replayable
        self.charged_attempts = 0
        self.tried: tuple[Member, ...] = ()
        self.outcomes: tuple[Outcome, ...] = ()
        self.current: Member | None = None
        self.started = 0.0
        self.ejected = False
        self.probe = False
        self.may_be_followed = False

    def adopt(self, attempt: "RetryState") -> None:
        """Go on with an attempt that was begun beside this request's own."""
        self.current, attempt.current = attempt.current, None
        self.started = attempt.started
        self.ejected = attempt.ejected
        self.probe = attempt.probe
