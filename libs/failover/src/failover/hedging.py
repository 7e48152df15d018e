"""Hedging: a second attempt for a request that takes longer than nearly all requests of its kind.

An instance that freezes holds the requests under way there. A request that may run twice need not
wait until its attempt is given up: when it has taken longer than 99 of 100 like it, it is sent to
another instance too, the first answer wins, and the other attempt is dropped (Dean and Barroso,
"The Tail at Scale", 2013). In peace that is one request in a hundred at most, and each hedge is
paid from the retry budget.
"""

from bisect import bisect_left
from typing import Final

LEAST_DELAY: Final = 0.050
"""Seconds before which nothing is hedged, however quick a service is."""
QUANTILE: Final = 0.99
VOLUME: Final = 20
"""Answers within the window below which their times say nothing."""
HALF_WINDOW: Final = 30.0
"""Seconds of each half of the window of which answers count."""
GROWTH: Final = 1.2
_UPPER_ENDS: Final = tuple(LEAST_DELAY * GROWTH**step for step in range(42))
"""Upper ends of the buckets in seconds: up to 88 s, each a fifth over the one before."""
_REFRESH: Final = 32
"""Answers after which the delay is worked out again."""
MAX_KINDS: Final = 64
NEVER: Final = float("inf")


class AnswerTimes:
    """The answer times of one kind of request in the last half to whole minute, in buckets.

    Attributes:
        delay: seconds after which a request of this kind is hedged; infinite while too little is
            known. Not under the quantile: it is the upper end of the quantile's bucket.
        turn_at: clock time at which the present half of the window ends.
    """

    __slots__ = ("_before", "_counts", "_since", "delay", "turn_at")

    def __init__(self) -> None:
        self.delay = NEVER
        self._counts = [0] * (len(_UPPER_ENDS) + 1)
        self._before = list(self._counts)
        self._since = 0
        self.turn_at = 0.0

    def count(self, seconds: float, now: float) -> None:
        """Count an answer, or an attempt that was dropped for another's answer."""
        bucket = 0 if seconds <= LEAST_DELAY else bisect_left(_UPPER_ENDS, seconds)
        self._counts[bucket] += 1
        self._since += 1
        if now >= self.turn_at:
            self._turn(now)
        if self._since >= _REFRESH or self.delay == NEVER:
            self._refresh()

    def _turn(self, now: float) -> None:
        """Start the next half of the window; a half that is too old is dropped."""
        empty = [0] * len(self._counts)
        self._before = self._counts if now < self.turn_at + HALF_WINDOW else empty
        self._counts = list(empty)
        self.turn_at = now + HALF_WINDOW

    def _refresh(self) -> None:
        """Work the delay out."""
        self._since = 0
        total = sum(self._counts) + sum(self._before)
        if total < VOLUME:
            self.delay = NEVER
            return
        longer = total
        for upper, one, other in zip(_UPPER_ENDS, self._counts, self._before, strict=False):
            longer -= one + other
            if longer <= total * (1.0 - QUANTILE):
                self.delay = upper
                return
        self.delay = NEVER


class Hedging:
    """The answer times of one service, by the kind of request."""

    __slots__ = ("_kinds", "_others")

    def __init__(self) -> None:
        self._kinds: dict[tuple[bytes, str], AnswerTimes] = {}
        self._others = AnswerTimes()

    def times(self, method: bytes, path: str) -> AnswerTimes:
        """Return the answer times of the requests like this one.

        A fit takes longer than a look at the health, so each method and path is a kind. Beyond
        `MAX_KINDS` of them a kind that was not asked for lately gives its place; while there is
        none, all others are one.
        """
        kind = method, path
        times = self._kinds.get(kind)
        if times is None:
            if len(self._kinds) >= MAX_KINDS and not self._forget_one():
                return self._others
            times = self._kinds[kind] = AnswerTimes()
        return times

    def _forget_one(self) -> bool:
        """Forget the kind that was counted longest ago, if that was a window before the newest."""
        oldest = min(self._kinds, key=lambda kind: self._kinds[kind].turn_at)
        newest = max(times.turn_at for times in self._kinds.values())
        if newest - self._kinds[oldest].turn_at <= 2 * HALF_WINDOW:
            return False
        del self._kinds[oldest]
        return True
