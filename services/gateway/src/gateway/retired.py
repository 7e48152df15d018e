"""Sums of what workers tell, with what those that ended had counted: they never fall.

A counter that falls is taken for one that began anew, and its whole value for new events.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

COUNTERS = (
    "requests", "attempts", "stops", "ejections", "shadow", "refused_connections",
    "access_log_dropped",
)  # fmt: skip
"""What `Worker.describe` tells that only grows, besides the histogram."""

State = Mapping[str, Any]
"""What `Worker.describe` says of one worker, through JSON."""


def summed(
    states: Iterable[State], name: str, combine: Callable[[Iterable[float]], float] = sum
) -> dict[tuple[str, ...], float]:
    """Combine what workers tell under a name, by labels."""
    found: dict[tuple[str, ...], list[float]] = {}
    for state in states:
        for *labels, amount in state.get(name, ()):
            found.setdefault(tuple(labels), []).append(amount)
    return {labels: combine(amounts) for labels, amounts in found.items()}


def summed_seconds(states: Iterable[State]) -> dict[tuple[str, ...], Sequence[float]]:
    """Add up the histograms that workers tell, by labels."""
    totals: dict[tuple[str, ...], Sequence[float]] = {}
    for state in states:
        for *labels, counts in state["seconds"]:
            total = totals.setdefault(tuple(labels), [0.0] * len(counts))
            totals[tuple(labels)] = [a + b for a, b in zip(total, counts, strict=True)]
    return totals


class Retired:
    """The sum of the last states of workers that are gone."""

    def __init__(self) -> None:
        self._told: State = {"seconds": []}

    def add(self, state: State) -> None:
        """Take over the counters of a worker that counts no more."""
        both = (self._told, state)
        told: dict[str, Any] = {
            name: [(*labels, amount) for labels, amount in summed(both, name).items()]
            for name in COUNTERS
        }
        told["seconds"] = [(*labels, counts) for labels, counts in summed_seconds(both).items()]
        self._told = told

    def describe(self, living: Iterable[State]) -> State:
        """Tell the counters as a worker would; those of instances that left a service are dropped.

        Args:
            living: what the workers tell; of a service they do not know yet, nothing is dropped.
        """
        present = {(entry[0], entry[1]) for state in living for entry in state["in_flight"]}
        services = {service for service, _ in present}
        attempts = [
            entry
            for entry in self._told.get("attempts", ())
            if entry[0] not in services or entry[:2] in present
        ]
        self._told = {**self._told, "attempts": attempts}
        return {"unknown": [], **self._told}
