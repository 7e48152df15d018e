"""The retry budget of a service: a fraction of its requests plus a small floor.

A limit on attempts per request does not stop a retry storm: when every request fails, "three
attempts" triples the load on a service that is already drowning. A budget ties retries to traffic
that came from clients, so the amplification is bounded whatever happens. The figures are those of
Finagle's `RetryBudget` and Linkerd: 20 % + 10 per second, counted over 10 seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """Size of a retry budget.

    Attributes:
        ratio: retries earned by one request.
        floor: retries per second that are allowed without any traffic.
        window: seconds for which requests and retries count.
    """

    ratio: float = 0.2
    floor: float = 10.0
    window: int = 10


class Budget:
    """The requests and retries of the last `window` seconds, counted in slots of one second."""

    __slots__ = ("_policy", "_requests", "_retries", "_second")

    def __init__(self, policy: BudgetPolicy | None = None) -> None:
        self._policy = policy or BudgetPolicy()
        self._requests = [0] * self._policy.window
        self._retries = [0] * self._policy.window
        self._second = 0

    def deposit(self, now: float) -> None:
        """Count a client's request (not a retry), which earns its service a share of a retry."""
        second = int(now)
        if second != self._second:
            self._turn(second)
        self._requests[second % self._policy.window] += 1

    def withdraw(self, now: float) -> bool:
        """Take one retry; False when none is left."""
        if self.balance(now) < 1:
            return False
        self._retries[self._second % self._policy.window] += 1
        return True

    def balance(self, now: float) -> float:
        """Return the retries that are left."""
        earned = self._earned(now)
        return earned - sum(self._retries)

    def plenty(self, now: float) -> bool:
        """Return whether more than half of the retries that were earned is left."""
        earned = self._earned(now)
        return 2 * sum(self._retries) < earned

    def _earned(self, now: float) -> float:
        second = int(now)
        if second != self._second:
            self._turn(second)
        policy = self._policy
        return policy.ratio * sum(self._requests) + policy.floor * policy.window

    def _turn(self, second: int) -> None:
        """Empty the slots between the last counted second and `second`."""
        window = self._policy.window
        for passed in range(max(self._second + 1, second - window + 1), second + 1):
            self._requests[passed % window] = 0
            self._retries[passed % window] = 0
        self._second = max(second, self._second)
