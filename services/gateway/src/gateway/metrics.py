"""The counters of all workers in Prometheus' words, read when they are asked for.

Nothing on the data path touches a Prometheus object; it counts in plain dictionaries, and this
turns their sum over the workers into families.
"""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.ledger import BUCKETS
from gateway.retired import State, summed, summed_seconds

WORST_COUNTS = frozenset({"discovery_age_seconds", "ewma_seconds", "instance_ejected"})
"""Gauges of which the highest of the workers' says more than the sum."""


class GatewayMetrics(Collector):
    """Collects from the latest states of the workers."""

    def __init__(self, states: Callable[[], Iterable[State]]) -> None:
        self.states = states

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        states = list(self.states())
        yield self._counter("requests", "Requests answered", states,
                            ("route", "service", "status", "result"))  # fmt: skip
        yield self._seconds(states)
        yield self._counter("attempts", "Attempts at instances", states,
                            ("service", "instance", "outcome"))  # fmt: skip
        yield self._counter("stops", "Failed requests that were not tried again, by reason", states,
                            ("service", "reason"))  # fmt: skip
        yield self._counter("ejections", "Instances taken out of traffic", states,
                            ("service", "cause"))  # fmt: skip
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
            ("pool_connections", "Connections to instances", ("service", "instance", "state")),
            ("client_connections", "Connections of clients", ()),
            ("exchanges", "Requests under way", ()),
        ):
            yield self._gauge(name, text, states, labels)

    @staticmethod
    def _counter(name: str, text: str, states: list[State], labels: tuple[str, ...]) -> Metric:
        family = CounterMetricFamily(f"gateway_{name}", text, labels=labels)
        for values, amount in summed(states, name).items():
            family.add_metric(values, amount)
        return family

    @staticmethod
    def _gauge(name: str, text: str, states: list[State], labels: tuple[str, ...]) -> Metric:
        family = GaugeMetricFamily(f"gateway_{name}", text, labels=labels)
        worst = max if name in WORST_COUNTS else sum
        for values, amount in summed(states, name, worst).items():
            family.add_metric(values, amount)
        return family

    @staticmethod
    def _seconds(states: list[State]) -> Metric:
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
