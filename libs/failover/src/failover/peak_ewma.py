"""The choice between two instances: by weight, unless the load says otherwise.

Two different instances are drawn by weight. The first one gets the request, unless the second one
would clearly answer sooner. Two choices avoid both the herd that chases the single best instance
and the blindness of round robin (Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing", 2001). What is clear:

    answer times alike    The first has, for its weight, a request more in flight than the second:
                              in flight / weight - the second's  >=  1 / the lighter one's weight
    one of them slow      Its answer time is over 3 times the other's and 5 ms more. The less of
                              (1 + in flight * lighter weight / weight) * answer time
                          gets the request, so the slow one is left while the other has room.

Without the first row, noise in the answer times decides whenever nothing queues: the instance that
seems quicker by a hair gets all requests, or the heavier one. The row holds alike for both, so the
shares of traffic follow the weights.

The answer time is a peak EWMA: a slower one raises it at once, and it decays over 10 s (Finagle's
`peakEwma`). What enters is the least of the last three answers, for a pause in one request would
otherwise cost its instance the traffic of a minute. A new or returned instance is slow at first:
attempts begun before its fifth answer do not raise its answer time. Failures and attempts that
nobody waited for count at once.
"""

import math
from collections.abc import Iterable
from statistics import median
from typing import Final

from failover.ejection import EjectionPolicy, EjectionState
from failover.instance import Instance

DECAY: Final = 10.0
"""Seconds in which a past answer time loses 63 % of its say."""
UNMEASURED: Final = 0.030
"""Seconds assumed for the first instance of a service (Linkerd's default)."""
FAILURE_FACTOR: Final = 4.0
"""A failure counts as an answer this many times slower than those that are tolerated: failing fast
must not look good."""
SLOWEST: Final = 10.0
"""Seconds; failures raise an average no further."""
SLOWER: Final = 3.0
"""Factor between two answer times up to which they are alike."""
SLOWER_SECONDS: Final = 0.005
"""Seconds between two answer times up to which they are alike, whatever the factor."""
FIRST_ANSWERS: Final = 5
"""Answers of a new instance until slow ones count."""


class Member:
    """An instance with what was learnt about the instance by calling it.

    Attributes:
        instance: as discovery last described it.
        address: its `ip:port`, which never changes.
        ejection: its failures, and whether it is in traffic.
        in_flight: attempts under way.
        limit: how many there may be.
        cost: peak EWMA of answer times, in seconds.
        weight: share of traffic relative to its peers.
        drained: an operator keeps it out of traffic.
    """

    __slots__ = (
        "_last",
        "_last_but_one",
        "_limit",
        "_measured_at",
        "_proved_at",
        "_unproved",
        "address",
        "cost",
        "drained",
        "ejection",
        "in_flight",
        "instance",
        "limit",
        "weight",
    )  # fmt: skip

    def __init__(
        self, instance: Instance, policy: EjectionPolicy, *, limit: int, cost: float, now: float
    ) -> None:
        """Start without experience.

        Args:
            instance: as discovery describes it.
            policy: thresholds of its ejection.
            limit: attempts it may have under way unless it names a number itself.
            cost: answer time to assume, in seconds.
            now: the clock.
        """
        self._limit = limit
        self.describe(instance)
        self.address = instance.address
        self.ejection = EjectionState(policy)
        self.in_flight = 0
        self.assume(cost)
        self.drained = False
        self._measured_at = now

    def __repr__(self) -> str:
        state = self.ejection.cause.value if self.ejection.cause else "in traffic"
        return f"<Member {self.instance.address} {state}, {self.in_flight} in flight>"

    @property
    def usable(self) -> bool:
        """Return whether the instance may get requests at all, by Nacos and by the operator."""
        return self.instance.enabled and self.instance.share > 0 and not self.drained

    def describe(self, instance: Instance) -> None:
        """Adopt the description that discovery gives of the instance now."""
        self.instance = instance
        self.limit = instance.max_in_flight or self._limit
        self.weight = instance.share

    def assume(self, cost: float) -> None:
        """Start over with an answer time in seconds that was not measured."""
        self.cost = self._last = self._last_but_one = cost
        self._unproved = FIRST_ANSWERS
        self._proved_at = math.inf

    def answer(self, seconds: float, began: float, now: float) -> None:
        """Take an answer into the average.

        Args:
            seconds: answer time.
            began: clock time at which the attempt was sent.
            now: the clock.
        """
        before = min(self._last, self._last_but_one)
        least = min(seconds, before)
        self._last_but_one, self._last = self._last, seconds
        if self._unproved:
            self._unproved -= 1
            if not self._unproved:
                self._proved_at = now
        if least > self.cost and began < self._proved_at:
            least = self.cost
        self.measure(least, now)

    def measure(self, seconds: float, now: float) -> None:
        """Take a time into the average: a longer one at once, a shorter one by and by."""
        if seconds >= self.cost:
            self.cost = seconds
        else:
            kept = math.exp((self._measured_at - now) / DECAY)
            self.cost = seconds + (self.cost - seconds) * kept
        self._measured_at = now

    def fail(self, seconds: float, usual: float, now: float) -> None:
        """Take a failure after so many seconds into the average; `usual` is its peers' cost."""
        slow = max(self.cost, tolerated(usual)) * FAILURE_FACTOR
        self.measure(max(seconds, min(slow, SLOWEST)), now)

    def yields_to(self, other: "Member", now: float) -> bool:
        """Return whether the other one would clearly answer a request sooner."""
        alike = self.cost <= tolerated(other.cost) and other.cost <= tolerated(self.cost)
        if alike and not self.in_flight:
            return False
        mine, others = self.present_weight(now), other.present_weight(now)
        if alike:
            excess = self.in_flight * others - other.in_flight * mine
            return excess >= mine and excess >= others
        lighter = min(mine, others)
        load = (1.0 + self.in_flight * lighter / mine) * self.present_cost(now)
        other_load = (1.0 + other.in_flight * lighter / others) * other.present_cost(now)
        return load > other_load

    def present_cost(self, now: float) -> float:
        """Return the cost; it decays while the instance is idle, so one request tries it again."""
        if self.in_flight or now <= self._measured_at + 1.0:
            return self.cost
        return self.cost * math.exp((self._measured_at - now) / DECAY)

    def present_weight(self, now: float) -> float:
        """Return the weight, of which a returned instance has a part in its slow start."""
        if now < self.ejection.warm_at:
            return self.weight * self.ejection.warmth(now)
        return self.weight


def tolerated(cost: float) -> float:
    """Return the answer time, in seconds, up to which another instance is as quick as this one."""
    return SLOWER * cost + SLOWER_SECONDS


def median_cost(members: Iterable[Member]) -> float:
    """Return the cost to assume for a member that was not measured."""
    return median([member.cost for member in members] or [UNMEASURED])
