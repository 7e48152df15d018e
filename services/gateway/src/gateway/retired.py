"""What workers that ended had counted: a sum over the workers never falls when one is replaced.

A counter that falls is taken for one that began anew, and its whole value for new events.
"""

from collections.abc import Iterable, Mapping
from typing import Any

COUNTERS = (
    "requests", "attempts", "stops", "ejections", "shadow", "refused_connections",
    "access_log_dropped",
)  # fmt: skip
"""What `Worker.describe` tells that only grows, besides the histogram."""

State = Mapping[str, Any]
"""What `Worker.describe` says of one worker, through JSON."""


class Retired:
    """The sum of the last states of workers that are gone."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in COUNTERS}
        self._seconds: dict[tuple[str, ...], list[float]] = {}

    def add(self, state: State) -> None:
        """Take over the counters of a worker that counts no more."""
        for name, counts in self._counts.items():
            for *labels, amount in state.get(name, ()):
                counts[tuple(labels)] = counts.get(tuple(labels), 0) + amount
        for *labels, counts_of_buckets in state.get("seconds", ()):
            total = self._seconds.setdefault(tuple(labels), [0.0] * len(counts_of_buckets))
            self._seconds[tuple(labels)] = [
                a + b for a, b in zip(total, counts_of_buckets, strict=True)
            ]

    def describe(self, living: Iterable[State]) -> State:
        """Tell the counters as a worker would; those of instances that left a service are dropped.

        Args:
            living: what the workers tell; of a service they do not know yet, nothing is dropped.
        """
        present = {(entry[0], entry[1]) for state in living for entry in state["in_flight"]}
        services = {service for service, _ in present}
        attempts = self._counts["attempts"]
        for labels in [one for one in attempts if one[0] in services and one[:2] not in present]:
            del attempts[labels]
        told: dict[str, Any] = {
            name: [(*labels, amount) for labels, amount in counts.items()]
            for name, counts in self._counts.items()
        }
        seconds = [(*labels, counts) for labels, counts in self._seconds.items()]
        return {"unknown": [], "seconds": seconds, **told}
