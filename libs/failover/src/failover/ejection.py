"""Ejection: an instance that fails is taken out of traffic, and comes back by a probe.

    in traffic --(refuses | drains | fails in a row | fails too often | asks for a pause)-->
               ejected until T
    ejected --(T passed)--> one probe request at a time
    probe --(succeeds)--> in traffic, slow start          probe --(fails)--> ejected, longer

A refusal is proof that nobody listens and ejects at once (Finagle's FailFast: 1 s, doubling, at
most 30 s). So does the instance's own word that it drains: it ends soon, and discovery may hear of
that only after it has ended (Envoy has the same in `x-envoy-immediate-health-check-fail`). The rest
is judgement: 5 failures in a row or under 80 % success over 30 s (Finagle's
FailureAccrual, Envoy's outlier detection), 10 s times the number of ejections, at most 300 s.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Cause(Enum):
    """The reason why an instance is out of traffic."""

    REFUSED = "refused"
    CONSECUTIVE = "consecutive-failures"
    SUCCESS_RATE = "success-rate"
    RETRY_AFTER = "retry-after"
    DRAINING = "draining"


PROOF: Final = frozenset({Cause.REFUSED, Cause.DRAINING})
"""The causes that leave no doubt; the others are judgement, which may be wrong."""


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """Thresholds; times in seconds, shares between 0 and 1.

    Attributes:
        consecutive: failures in a row that eject.
        success_rate: share of successes under which an instance is ejected.
        volume: attempts within the window below which the share says nothing.
        window: length of the sliding window of the share.
        base: first ejection by judgement; the n-th lasts n times as long.
        cap: no ejection by judgement lasts longer.
        refused_base: first ejection by refusal; each further one lasts twice as long.
        refused_cap: no ejection by refusal, and no pause an instance asks for, lasts longer.
        forget: time in traffic after which earlier ejections no longer count.
        slow_start: time over which a returning instance's weight grows from `slow_start_floor`.
        slow_start_floor: share of its weight with which an instance returns.
        max_ejected: share of the instances that judgement may take out.
        panic: share of instances in traffic under which judgement is ignored.
    """

    consecutive: int = 5
    success_rate: float = 0.8
    volume: int = 20
    window: float = 30.0
    base: float = 10.0
    cap: float = 300.0
    refused_base: float = 1.0
    refused_cap: float = 30.0
    forget: float = 60.0
    slow_start: float = 5.0
    slow_start_floor: float = 0.1
    max_ejected: float = 0.5
    panic: float = 0.5


class EjectionState:
    """The recent successes and failures of one instance, and whether it is in traffic.

    Attributes:
        cause: why it is ejected, None while it is in traffic.
        until: clock time at which an ejected instance may be probed.
        probing: a probe is under way.
        warm_at: clock time at which its slow start ends.
        ejections: how often it was ejected since it last was well for `forget` seconds.
    """

    __slots__ = (
        "_failed", "_failed_before", "_policy", "_succeeded", "_succeeded_before", "_turn_at",
        "cause", "consecutive", "ejections", "probing", "until", "warm_at",
    )  # fmt: skip

    def __init__(self, policy: EjectionPolicy) -> None:
        self._policy = policy
        self._succeeded = self._succeeded_before = 0
        self._failed = self._failed_before = 0
        self._turn_at = 0.0
        self.cause: Cause | None = None
        self.consecutive = 0
        self.ejections = 0
        self.probing = False
        self.until = 0.0
        self.warm_at = 0.0

    def succeed(self, now: float) -> None:
        """Count an attempt that was answered."""
        if now >= self._turn_at:
            self._turn(now)
        self._succeeded += 1
        self.consecutive = 0

    def fail(self, now: float, strikes: int) -> Cause | None:
        """Count a failed attempt; return the cause for an ejection, if there is one now."""
        if now >= self._turn_at:
            self._turn(now)
        self._failed += 1
        self.consecutive += strikes
        if self.consecutive >= self._policy.consecutive:
            return Cause.CONSECUTIVE
        total = self._succeeded + self._succeeded_before + self._failed + self._failed_before
        if total < self._policy.volume:
            return None
        if self._succeeded + self._succeeded_before < self._policy.success_rate * total:
            return Cause.SUCCESS_RATE
        return None

    def eject(
        self, cause: Cause, now: float, draw: float, retry_after: float | None = None
    ) -> None:
        """Take the instance out of traffic.

        Args:
            cause: why.
            now: the clock.
            draw: uniform in [0, 1): equal jitter, the second half of the time is random.
            retry_after: seconds from the instance's own `Retry-After`.
        """
        policy = self._policy
        if self.cause is None and now >= self.warm_at - policy.slow_start + policy.forget:
            self.ejections = 0
        if retry_after is not None:
            self.until = now + min(retry_after, policy.refused_cap)
        else:
            if cause is Cause.REFUSED:
                doubled = policy.refused_base * 2.0 ** min(self.ejections, 30)
                longest = min(policy.refused_cap, doubled)
            else:
                longest = min(policy.cap, policy.base * (self.ejections + 1))
            self.until = now + longest * (0.5 + draw / 2)
        self.ejections += 1
        self.cause = cause
        self.probing = False

    def restore(self, now: float) -> None:
        """Bring the instance back with a slow start and a clean window."""
        self.cause = None
        self.probing = False
        self.consecutive = 0
        self._succeeded = self._succeeded_before = 0
        self._failed = self._failed_before = 0
        self.warm_at = now + self._policy.slow_start

    def warmth(self, now: float) -> float:
        """Return the share of its weight that the instance gets: grows to 1 in its slow start."""
        if now >= self.warm_at:
            return 1.0
        policy = self._policy
        grown = 1.0 - (self.warm_at - now) / policy.slow_start
        return max(policy.slow_start_floor, grown)

    def _turn(self, now: float) -> None:
        """Start the next half of the window; a half that is too old is dropped."""
        half = self._policy.window / 2
        recent = now < self._turn_at + half
        self._succeeded_before = self._succeeded if recent else 0
        self._failed_before = self._failed if recent else 0
        self._succeeded = self._failed = 0
        self._turn_at = now + half
