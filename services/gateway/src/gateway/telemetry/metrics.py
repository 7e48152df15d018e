"""The counters of all workers as Prometheus metrics, summed when they are read.

Nothing on the data path touches a Prometheus object: workers count in plain dictionaries, and
their states are summed here. Sums never fall, for the counts of workers that ended are kept: a
counter that falls is taken for one that began anew, and its whole value for new events.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from service_kit import MetricFamily

from gateway.telemetry.records import BUCKETS

COUNTERS = (
    MetricFamily("counter", "gateway_requests", "Requests answered",
                 ("route", "service", "status", "result")),
    MetricFamily("counter", "gateway_attempts", "Attempts at instances",
                 ("service", "instance", "outcome")),
    MetricFamily("counter", "gateway_server_errors",
                 "Answers of 500 or more that were an instance's own", ("service", "instance")),
    MetricFamily("counter", "gateway_stops",
                 "Failed requests that were not tried again, by reason", ("service", "reason")),
    MetricFamily("counter", "gateway_ejections", "Instances taken out of traffic",
                 ("service", "cause")),
    MetricFamily("counter", "gateway_hedges",
                 "Second attempts beside a slow first one, by what became of them",
                 ("service", "result")),
    MetricFamily("counter", "gateway_shadow", "Copies of requests, by what became of them",
                 ("route", "result")),
    MetricFamily("counter", "gateway_refused_connections", "Connections over the limit"),
    MetricFamily("counter", "gateway_access_log_dropped", "Log lines lost"),
)  # fmt: skip
"""The entries of a worker's state that only grow, beside the histogram."""
SECONDS = MetricFamily(
    "histogram", "gateway_request_seconds", "Time to answer", ("route", "service")
)
GAUGES = (
    MetricFamily("gauge", "gateway_retry_budget", "Retries that are left", ("service",)),
    MetricFamily("gauge", "gateway_discovery_age_seconds",
                 "Since Nacos last vouched for the instances", ("service",)),
    MetricFamily("gauge", "gateway_in_flight", "Attempts under way", ("service", "instance")),
    MetricFamily("gauge", "gateway_ewma_seconds", "Peak EWMA of answer times",
                 ("service", "instance")),
    MetricFamily("gauge", "gateway_instance_ejected", "1 while out of traffic",
                 ("service", "instance")),
    MetricFamily("gauge", "gateway_instance_drained",
                 "1 while an operator keeps it out of traffic", ("service", "instance")),
    MetricFamily("gauge", "gateway_orders_followed",
                 "Workers that follow the orders with this MD5", ("version",)),
    MetricFamily("gauge", "gateway_limit_gateways",
                 "Gateways among which the limits of routes are divided"),
    MetricFamily("gauge", "gateway_pool_connections", "Connections to instances",
                 ("service", "instance", "state")),
    MetricFamily("gauge", "gateway_client_connections", "Connections of clients"),
    MetricFamily("gauge", "gateway_exchanges", "Requests under way"),
)  # fmt: skip
"""The other entries of a worker's state."""
FAMILIES = (*COUNTERS, SECONDS, *GAUGES)

OF_INSTANCES = ("attempts", "server_errors")
"""Those of them that begin with a service and an instance."""

WorkerState = Mapping[str, Any]
"""The counters and gauges of one worker, as they come through JSON."""


def entry(family: MetricFamily) -> str:
    """Return the name of a family's entry in a worker's state."""
    return family.name.removeprefix("gateway_")


def summed(
    states: Iterable[WorkerState], name: str, combine: Callable[[Iterable[float]], float] = sum
) -> dict[tuple[str, ...], float]:
    """Combine the workers' values of one entry, by labels."""
    found: dict[tuple[str, ...], list[float]] = {}
    for state in states:
        for *labels, amount in state.get(name, ()):
            found.setdefault(tuple(labels), []).append(amount)
    return {labels: combine(amounts) for labels, amounts in found.items()}


def summed_seconds(states: Iterable[WorkerState]) -> dict[tuple[str, str], Sequence[float]]:
    """Add up the workers' histograms, by route and service."""
    totals: dict[tuple[str, str], Sequence[float]] = {}
    for state in states:
        for route, service, counts in state["seconds"]:
            total = totals.setdefault((route, service), [0.0] * len(counts))
            totals[route, service] = [a + b for a, b in zip(total, counts, strict=True)]
    return totals


def newest_exemplars(states: Iterable[WorkerState]) -> dict[tuple[str, str], dict[int, Exemplar]]:
    """Return the newest exemplar of the workers for each bucket, by route and service."""
    newest: dict[tuple[str, str], dict[int, Exemplar]] = {}
    for state in states:
        for route, service, bucket, trace_id, span_id, seconds, at in state.get("exemplars", ()):
            found = newest.setdefault((route, service), {})
            if bucket not in found or at > found[bucket].timestamp:
                labels = {"trace_id": trace_id, "span_id": span_id}
                found[bucket] = Exemplar(labels, seconds, at)
    return newest


class EndedWorkers:
    """The sum of the last states of the workers that ended."""

    def __init__(self) -> None:
        self._sum: WorkerState = {"seconds": []}

    def add(self, state: WorkerState) -> None:
        """Add the counters of a worker that ended."""
        both = (self._sum, state)
        total: dict[str, Any] = {
            name: [(*labels, amount) for labels, amount in summed(both, name).items()]
            for name in map(entry, COUNTERS)
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
        for each in COUNTERS:
            counter = CounterMetricFamily(each.name, each.text, labels=each.labels)
            for values, amount in summed(states, entry(each)).items():
                counter.add_metric(values, amount)
            yield counter
        yield self._seconds(states)
        for each in GAUGES:
            gauge = GaugeMetricFamily(each.name, each.text, labels=each.labels)
            worst = max if entry(each) in WORST_COUNTS else sum
            for values, amount in summed(states, entry(each), worst).items():
                gauge.add_metric(values, amount)
            yield gauge

    @staticmethod
    def _seconds(states: list[WorkerState]) -> Metric:
        family = HistogramMetricFamily(SECONDS.name, SECONDS.text, labels=SECONDS.labels)
        exemplars = newest_exemplars(states)
        for (route, service), counts in summed_seconds(states).items():
            found = exemplars.get((route, service), {})
            totals = zip((*map(str, BUCKETS), "+Inf"), accumulate(counts[:-1]), strict=True)
            buckets = [
                (upper, float(total), found[at]) if at in found else (upper, float(total))
                for at, (upper, total) in enumerate(totals)
            ]
            family.add_metric((route, service), buckets, sum_value=counts[-1])
        return family
