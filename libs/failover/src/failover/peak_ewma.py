"""The choice between several instances: power of two choices on peak EWMA.

Take two at random, send to the one that would answer sooner. Two choices avoid both the herd that
chases the single best instance and the blindness of round robin (Mitzenmacher, "The Power of Two
Choices in Randomized Load Balancing", 2001). The load of an instance is

    (requests in flight + 1) * peak EWMA of its answer times / weight

where a slower answer raises the average at once and it decays over 10 s (Finagle's `peakEwma`).
"""

import math
from collections.abc import Iterable, Sequence
from statistics import median

from failover.ejection import EjectionPolicy, EjectionState
from failover.instance import Instance

DECAY = 10.0
"""Seconds in which a past answer time loses 63 % of its say."""
UNMEASURED = 0.030
"""Seconds assumed for the first instance of a service (Linkerd's default)."""
FAILURE_FACTOR = 4.0
"""A failure counts as an answer this many times slower: failing fast must not look good."""
SLOWEST = 10.0
"""Seconds; failures raise an average no further."""


class Member:
    """An instance with what was learnt about the instance by calling it.

    Attributes:
        instance: as discovery last described it.
        address: its `ip:port`, which never changes.
        ejection: its failures, and whether it is in traffic.
        in_flight: attempts under way.
        limit: how many there may be.
        cost: peak EWMA of answer times, in seconds.
        drained: an operator keeps it out of traffic.
    """

    __slots__ = (
        "_limit",
        "_measured_at",
        "address",
        "cost",
        "drained",
        "ejection",
        "in_flight",
        "instance",
        "limit",
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
        self.cost = cost
        self.drained = False
        self._measured_at = now

    def __repr__(self) -> str:
        state = self.ejection.cause.value if self.ejection.cause else "in traffic"
        return f"<Member {self.instance.address} {state}, {self.in_flight} in flight>"

    @property
    def usable(self) -> bool:
        """Return whether the instance may get requests at all, by Nacos and by the operator."""
        return self.instance.enabled and self.instance.weight > 0 and not self.drained

    def describe(self, instance: Instance) -> None:
        """Adopt the description that discovery gives of the instance now."""
        self.instance = instance
        self.limit = instance.max_in_flight or self._limit

    def measure(self, seconds: float, now: float) -> None:
        """Take an answer time into the average."""
        if seconds >= self.cost:
            self.cost = seconds
        else:
            kept = math.exp((self._measured_at - now) / DECAY)
            self.cost = seconds + (self.cost - seconds) * kept
        self._measured_at = now

    def load(self, now: float) -> float:
        """Return the load that decides between two instances: lower is better.

        The load of an instance that gets no requests decays, so one request tries it again.
        """
        load = (self.in_flight + 1) * self.cost / self.instance.weight
        if not self.in_flight and now > self._measured_at + 1.0:
            load *= math.exp((self._measured_at - now) / DECAY)
        if now < self.ejection.warm_at:
            load /= self.ejection.warmth(now)
        return load


def median_cost(members: Iterable[Member]) -> float:
    """Return the cost to assume for a member that was not measured."""
    return median([member.cost for member in members] or [UNMEASURED])


def pick_two(count: int, draw: float) -> tuple[int, int]:
    """Return two different indexes below `count` (2 or more) from one uniform draw in [0, 1)."""
    position = draw * count
    first = min(int(position), count - 1)
    second = min(int((position - first) * (count - 1)), count - 2)
    return first, second + (second >= first)


def choose(members: Sequence[Member], now: float, draw: float) -> Member:
    """Return the less loaded of two random members; there is at least one member."""
    count = len(members)
    if count == 1:
        return members[0]
    first, second = pick_two(count, draw)
    one, other = members[first], members[second]
    return one if one.load(now) <= other.load(now) else other
