"""The last quarter of an hour of each service: rate, errors and latency, in bounded memory.

The workers count since their start; here is what was added in each period. Of a histogram only the
counts of its buckets are known, so a quantile is read off inside its bucket.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.telemetry.metrics import WorkerState, summed, summed_seconds
from gateway.telemetry.records import BUCKETS

PERIOD_SECONDS = 10.0
PERIODS = 90
"""Periods that are kept: a quarter of an hour."""
MAX_SERVICES = 1024
"""Services with a history; of further ones nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a service's requests.

    Attributes:
        requests: all of them.
        errors: those that ended with a status of 500 or more.
        buckets: by how long they took, the last one for what is beyond the histogram.
    """

    requests: int = 0
    errors: int = 0
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS) + 1)

    def since(self, before: "Counts") -> "Counts":
        """Return what was added since other counts; all, if these began anew."""
        if self.requests < before.requests:
            return self
        return Counts(
            self.requests - before.requests,
            max(0, self.errors - before.errors),
            tuple(max(0, a - b) for a, b in zip(self.buckets, before.buckets, strict=True)),
        )


NOTHING = Counts()


@dataclass(frozen=True, slots=True)
class Period:
    """A period of one service: requests per second, their errors, and seconds that they took.

    Attributes:
        rate: requests per second.
        errors: requests per second that ended with a status of 500 or more.
        p50: seconds within which half of them were answered; None without a request.
        p99: the same of 99 in 100.
    """

    rate: float
    errors: float
    p50: float | None
    p99: float | None


class ServiceHistory:
    """The periods of one service, the last one last."""

    def __init__(self, periods: int = 0) -> None:
        """Begin with periods in which nothing was asked."""
        self.periods: deque[Period] = deque(
            (Period(0.0, 0.0, None, None) for _ in range(periods)), maxlen=PERIODS
        )
        self._counts: deque[Counts] = deque(maxlen=PERIODS)

    def add(self, counts: Counts, seconds: float) -> None:
        """Add the counts of a period of so many seconds."""
        self._counts.append(counts)
        self.periods.append(
            Period(
                counts.requests / seconds,
                counts.errors / seconds,
                quantile(counts.buckets, 0.5),
                quantile(counts.buckets, 0.99),
            )
        )

    @property
    def whole(self) -> Counts:
        """Return the counts of all periods together."""
        columns = zip(*(one.buckets for one in self._counts), strict=True)
        buckets = tuple(map(sum, columns)) if self._counts else NOTHING.buckets
        return Counts(
            sum(one.requests for one in self._counts),
            sum(one.errors for one in self._counts),
            buckets,
        )

    @property
    def idle(self) -> bool:
        """Return whether no period has a request."""
        return not any(one.requests for one in self._counts)


class History:
    """The histories of all services."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceHistory] = {}
        self.period = 0
        """How many periods have ended."""
        self._totals: Mapping[str, Counts] | None = None
        self._at = 0.0

    def note(self, states: Iterable[WorkerState], now: float) -> bool:
        """Take the workers' counts; return whether a period has ended.

        Args:
            states: the workers' counters, and those of the workers that ended.
            now: monotonic seconds.
        """
        if self._totals is not None and now < self._at + PERIOD_SECONDS:
            return False
        totals = counted(states)
        if self._totals is not None:
            self._end_period(totals, self._totals, now - self._at)
        self._totals, self._at = totals, now
        return True

    def _end_period(
        self, totals: Mapping[str, Counts], before: Mapping[str, Counts], seconds: float
    ) -> None:
        self.period += 1
        for name in totals:
            if name not in self.services and len(self.services) < MAX_SERVICES:
                self.services[name] = ServiceHistory(min(self.period - 1, PERIODS))
        for name, history in list(self.services.items()):
            added = totals.get(name, NOTHING).since(before.get(name, NOTHING))
            history.add(added, seconds)
            if history.idle and name not in totals:
                del self.services[name]


def counted(states: Iterable[WorkerState]) -> dict[str, Counts]:
    """Sum the workers' counters by service."""
    states = list(states)
    requests: dict[str, int] = {}
    errors: dict[str, int] = {}
    buckets: dict[str, Sequence[float]] = {}
    for (_, service, status, _), count in summed(states, "requests").items():
        requests[service] = requests.get(service, 0) + int(count)
        if status == "5xx":
            errors[service] = errors.get(service, 0) + int(count)
    for (_, service), counts in summed_seconds(states).items():
        before = buckets.get(service, (0,) * (len(counts) - 1))
        buckets[service] = [a + b for a, b in zip(before, counts[:-1], strict=True)]
    return {
        name: Counts(
            count, errors.get(name, 0), tuple(map(int, buckets.get(name, NOTHING.buckets)))
        )
        for name, count in requests.items()
    }


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Return the seconds within which a share of the requests was answered; None without one.

    Inside a bucket the times are taken to be spread evenly; beyond the last bucket's end, that end
    is returned.
    """
    total = sum(buckets)
    if not total:
        return None
    wanted, below, lower = share * total, 0, 0.0
    for upper, count in zip(BUCKETS, buckets, strict=False):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        below += count
        lower = upper
    return BUCKETS[-1]
