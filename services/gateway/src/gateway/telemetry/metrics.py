"""The counters of all workers as Prometheus metrics, summed when they are read.

Nothing on the data path touches a Prometheus object: workers count in plain dictionaries, and
their states are summed here. Sums never fall, for the counts of workers that ended are kept: a
counter that falls is taken for one that began anew, and its whole value for new events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.telemetry.records import BUCKETS

COUNTERS = (
    "requests", "attempts", "server_errors", "stops", "ejections", "hedges", "shadow",
    "refused_connections", "access_log_dropped",
)  # fmt: skip
"""The entries of a worker's state that only grow, beside the histogram."""

OF_INSTANCES = ("attempts", "server_errors")
"""Those of them that begin with a service and an instance."""

WorkerState = Mapping[str, Any]
"""The counters and gauges of one worker, as they come through JSON."""


def summed(
    states: Iterable[WorkerState], name: str, combine: Callable[[Iterable[float]], float] = sum
) -> dict[tuple[str, ...], float]:
    """Combine the workers' values of one entry, by labels."""
    found: dict[tuple[str, ...], list[float]] = {}
    for state in states:
        for *labels, amount in state.get(name, ()):
            found.setdefault(tuple(labels), []).append(amount)
    return {labels: combine(amounts) for labels, amounts in found.items()}


def summed_seconds(states: Iterable[WorkerState]) -> dict[tuple[str, ...], Sequence[float]]:
    """Add up the workers' histograms, by labels."""
    totals: dict[tuple[str, ...], Sequence[float]] = {}
    for state in states:
        for *labels, counts in state["seconds"]:
            total = totals.setdefault(tuple(labels), [0.0] * len(counts))
            totals[tuple(labels)] = [a + b for a, b in zip(total, counts, strict=True)]
    return totals


class EndedWorkers:
    """The sum of the last states of the workers that ended."""

    def __init__(self) -> None:
        self._sum: WorkerState = {"seconds": []}

    def add(self, state: WorkerState) -> None:
        """Add the counters of a worker that ended."""
        both = (self._sum, state)
        total: dict[str, Any] = {
            name: [(*labels, amount) for labels, amount in summed(both, name).items()]
            for name in COUNTERS
        }
        total["seconds"] = [(*labels, counts) for labels, counts in summed_seconds(both).items()]
        self._sum = total

    def describe(self, living: Iterable[WorkerState]) -> WorkerState:
        """Return the sum as the state of one worker, without the instances that left their service.

        Args:
            living: the states of the workers that run; nothing is dropped of a service that none
                of them knows yet.
        """
        present = {(entry[0], entry[1]) for state in living for entry in state["in_flight"]}
        services = {service for service, _ in present}
        kept = {
            name: [
                entry
                for entry in self._sum.get(name, ())
                if entry[0] not in services or entry[:2] in present
            ]
            for name in OF_INSTANCES
        }
        self._sum = {**self._sum, **kept}
        return {"unknown": [], **self._sum}


WORST_COUNTS = frozenset(
    {
        "discovery_age_seconds", "ewma_seconds", "instance_drained", "instance_ejected",
        "limit_gateways",
    }
)  # fmt: skip
"""Gauges whose highest value among the workers says more than the sum."""


class GatewayMetrics(Collector):
    """The collector that turns the latest states of the workers into metric families."""

    def __init__(self, states: Callable[[], Iterable[WorkerState]]) -> None:
        self.states = states

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        states = list(self.states())
        yield self._counter("requests", "Requests answered", states,
                            ("route", "service", "status", "result"))  # fmt: skip
        yield self._seconds(states)
        yield self._counter("attempts", "Attempts at instances", states,
                            ("service", "instance", "outcome"))  # fmt: skip
        yield self._counter("server_errors", "Answers of 500 or more that were an instance's own",
                            states, ("service", "instance"))  # fmt: skip
        yield self._counter("stops", "Failed requests that were not tried again, by reason", states,
                            ("service", "reason"))  # fmt: skip
        yield self._counter("ejections", "Instances taken out of traffic", states,
                            ("service", "cause"))  # fmt: skip
        yield self._counter("hedges", "Second attempts beside a slow first one, by what became of "
                            "them", states, ("service", "result"))  # fmt: skip
        yield self._counter("shadow", "Copies of requests, by what became of them", states,
                            ("route", "result"))  # fmt: skip
        yield self._counter("refused_connections", "Connections over the limit", states, ())
        yield self._counter("access_log_dropped", "Log lines lost", states, ())
        for name, text, labels in (
            ("retry_budget", "Retries that are left", ("service",)),
            ("discovery_age_seconds", "Since Nacos last vouched for the instances", ("service",)),
            ("in_flight", "Attempts under way", ("service", "instance")),
            ("ewma_seconds", "Peak EWMA of answer times", ("service", "instance")),
            ("instance_ejected", "1 while out of traffic", ("service", "instance")),
            ("instance_drained", "1 while an operator keeps it out of traffic",
             ("service", "instance")),
            ("orders_followed", "Workers that follow the orders with this MD5", ("version",)),
            ("limit_gateways", "Gateways among which the limits of routes are divided", ()),
            ("pool_connections", "Connections to instances", ("service", "instance", "state")),
            ("client_connections", "Connections of clients", ()),
            ("exchanges", "Requests under way", ()),
        ):  # fmt: skip
            yield self._gauge(name, text, states, labels)

    @staticmethod
    def _counter(
        name: str, text: str, states: list[WorkerState], labels: tuple[str, ...]
    ) -> Metric:
        family = CounterMetricFamily(f"gateway_{name}", text, labels=labels)
        for values, amount in summed(states, name).items():
            family.add_metric(values, amount)
        return family

    @staticmethod
    def _gauge(name: str, text: str, states: list[WorkerState], labels: tuple[str, ...]) -> Metric:
        family = GaugeMetricFamily(f"gateway_{name}", text, labels=labels)
        worst = max if name in WORST_COUNTS else sum
        for values, amount in summed(states, name, worst).items():
            family.add_metric(values, amount)
        return family

    @staticmethod
    def _seconds(states: list[WorkerState]) -> Metric:
        family = HistogramMetricFamily(
            "gateway_request_seconds", "Time to answer", labels=("route", "service")
        )
        for labels, counts in summed_seconds(states).items():
            running, buckets = 0.0, []
            for upper, count in zip((*map(str, BUCKETS), "+Inf"), counts[:-1], strict=True):
                running += count
                buckets.append((upper, running))
            family.add_metric(labels, buckets, sum_value=counts[-1])
        return family
