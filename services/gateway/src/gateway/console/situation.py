"""The situation of a gateway at one moment: the views of all its workers, as one.

Loads add up, the worst answer time counts, and an instance that only some workers have ejected is
shown with their number. Everything here is plain data that the page is made of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.console.drawing import latency_chart, rate_chart
from gateway.console.history import NOTHING, Counts, History, quantile
from gateway.console.markup import Markup
from gateway.console.model_metrics import ModelSituation
from gateway.console.timeline import Event
from gateway.console.verdict import (
    CanaryVerdict,
    Experience,
    ShadowVerdict,
    judge_canary,
    judge_shadow,
)
from gateway.telemetry.metrics import WorkerState, summed

RECENT_PERIODS = 6
"""The last periods, a minute, whose mean is the rate of now."""


@dataclass(frozen=True, slots=True)
class ServiceSituation:
    """A service, all workers together.

    Attributes:
        known: Nacos, or a copy on disk, has told its instances.
        instances: how many there are.
        serving: how many of them are in traffic.
        canaries: how many only some requests meet.
        ejected: how many are ejected, in the worker that has the most.
        in_flight: attempts under way.
        queued: requests that wait for an instance to have room.
        budget: retries that are left.
        age: seconds since Nacos vouched for the list; None if it has not.
        rate: requests per second in the last minute.
        whole: the counts of the last quarter of an hour.
        rates: chart of requests and errors.
        latencies: chart of p50 and p99.
    """

    name: str
    known: bool
    instances: int
    serving: int
    canaries: int
    ejected: int
    in_flight: int
    queued: int
    budget: float
    age: float | None
    rate: float = 0.0
    whole: Counts = NOTHING
    rates: Markup = field(default_factory=Markup)
    latencies: Markup = field(default_factory=Markup)

    @property
    def troubled(self) -> bool:
        """Return whether a person should look."""
        return self.known and (self.serving + self.canaries < self.instances or not self.serving)

    @property
    def error_share(self) -> float:
        """Return the share of requests that ended with a status of 500 or more."""
        return self.whole.errors / self.whole.requests if self.whole.requests else 0.0

    def seconds(self, share: float) -> float | None:
        """Return the seconds within which a share of the requests was answered."""
        return quantile(self.whole.buckets, share)


@dataclass(frozen=True, slots=True)
class EjectionSituation:
    """An ejection: its cause, the seconds until the first probe, and in how many workers."""

    cause: str
    probe_in: float
    times: int
    workers: int


@dataclass(frozen=True, slots=True)
class InstanceSituation:
    """An instance, all workers together.

    Attributes:
        service: its name.
        address: its `ip:port`.
        zone: the zone that its metadata name, and its cluster.
        version: as its metadata say.
        weight: in Nacos.
        in_flight: attempts under way.
        limit: how many there may be.
        ewma_ms: the longest answer time that a worker takes for its own.
        drained: an operator keeps it out of traffic.
        usable: it is enabled in Nacos and has a weight, or is a canary.
        healthy: in Nacos.
        canary: only some requests meet it.
        warmth: share of its weight that it gets.
        ejection: if a worker has ejected it.
        workers: how many know it.
    """

    service: str
    address: str
    zone: str
    version: str
    weight: float
    in_flight: int
    limit: int
    ewma_ms: float
    drained: bool
    usable: bool
    healthy: bool
    canary: bool
    warmth: float
    ejection: EjectionSituation | None
    workers: int


@dataclass(frozen=True, slots=True)
class CanarySituation:
    """A share of a split, its experience beside that of the other instances, and the verdict."""

    route: str
    service: str
    labels: str
    percent: float
    canary: Experience
    rest: Experience
    verdict: CanaryVerdict


@dataclass(frozen=True, slots=True)
class ShadowSituation:
    """A route whose requests are copied, what became of the copies, and the verdict."""

    route: str
    service: str
    agreed: int
    differed: int
    failed: int
    dropped: int
    verdict: ShadowVerdict


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a page shows.

    Attributes:
        services: the troubled ones first, then by name.
        instances: of the services that somebody looks at.
        troubled: instances out of traffic, of all services.
        canaries: of all routes.
        shadows: of all routes.
        events: the newest first.
        routes: in force, and the state of their document.
        checks: of readiness, by name.
        running: how many workers run.
        models: what services that somebody looks at tell of their models.
    """

    services: Sequence[ServiceSituation] = ()
    instances: Mapping[str, Sequence[InstanceSituation]] = field(default_factory=dict)
    troubled: Sequence[InstanceSituation] = ()
    canaries: Sequence[CanarySituation] = ()
    shadows: Sequence[ShadowSituation] = ()
    events: Sequence[Event] = ()
    routes: Mapping[str, Any] = field(default_factory=dict)
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    running: int = 0
    models: Mapping[str, ModelSituation] = field(default_factory=dict)

    def service(self, name: str) -> ServiceSituation | None:
        """Return the service of this name, if it is followed."""
        return next((one for one in self.services if one.name == name), None)


class Charts:
    """The charts of services, drawn once for each period."""

    def __init__(self) -> None:
        self._drawn: dict[str, tuple[int, Markup, Markup]] = {}

    def of(self, name: str, history: History) -> tuple[Markup, Markup]:
        """Return the charts of a service: its rates, its latencies."""
        drawn = self._drawn.get(name)
        if drawn is None or drawn[0] != history.period:
            one = history.services.get(name)
            periods = tuple(one.periods) if one is not None else ()
            drawn = history.period, rate_chart(periods), latency_chart(periods)
            self._drawn[name] = drawn
        return drawn[1:]

    def keep(self, names: Iterable[str]) -> None:
        """Forget the charts of all other services."""
        self._drawn = {name: self._drawn[name] for name in names if name in self._drawn}


def services_of(
    views: Sequence[Mapping[str, Any]], history: History, charts: Charts
) -> list[ServiceSituation]:
    """Sum the workers' views of each service, with its history."""
    names = {name for view in views for name in view["services"]}
    charts.keep(names)
    found = [
        _service(name, [v["services"][name] for v in views if name in v["services"]],
                 history, charts)
        for name in names
    ]  # fmt: skip
    return sorted(found, key=lambda one: (not one.troubled, one.name))


def _service(
    name: str, views: Sequence[Mapping[str, Any]], history: History, charts: Charts
) -> ServiceSituation:
    ages = [view["age_seconds"] for view in views if view["age_seconds"] is not None]
    rates, latencies = charts.of(name, history)
    told = history.services.get(name)
    recent = list(told.periods)[-RECENT_PERIODS:] if told is not None else []
    return ServiceSituation(
        name,
        known=any(view["known"] for view in views),
        instances=max(view["instances"] for view in views),
        serving=min(view["serving"] for view in views),
        canaries=max(view["canaries"] for view in views),
        ejected=max(view["ejected"] for view in views),
        in_flight=sum(view["in_flight"] for view in views),
        queued=sum(view["queued"] for view in views),
        budget=sum(view["retry_budget"] for view in views),
        age=max(ages) if ages else None,
        rate=sum(one.rate for one in recent) / len(recent) if recent else 0.0,
        whole=told.whole if told is not None else NOTHING,
        rates=rates,
        latencies=latencies,
    )


def instances_of(views: Sequence[Mapping[str, Any]], name: str) -> list[InstanceSituation]:
    """Sum the workers' views of a service's instances, by address."""
    told: dict[str, list[Mapping[str, Any]]] = {}
    for view in views:
        for one in view["instances"].get(name, ()):
            told.setdefault(one["address"], []).append(one)
    return [_instance(name, told[address]) for address in sorted(told)]


def troubled_of(views: Sequence[Mapping[str, Any]]) -> list[InstanceSituation]:
    """Sum the workers' views of the instances that are out of traffic."""
    told: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for view in views:
        for service, one in view["troubled"]:
            told.setdefault((service, one["address"]), []).append(one)
    return [_instance(service, told[service, address]) for service, address in sorted(told)]


def _instance(service: str, views: Sequence[Mapping[str, Any]]) -> InstanceSituation:
    first = views[0]
    metadata: Mapping[str, str] = first["metadata"]
    out = [view["ejected"] for view in views if view["ejected"] is not None]
    is_canary = metadata.get("gateway.canary", "").lower() == "true"
    zone = metadata.get("zone", "")
    return InstanceSituation(
        service,
        first["address"],
        zone=f"{zone} {first['cluster']}" if zone else first["cluster"],
        version=metadata.get("model_version") or metadata.get("version", ""),
        weight=first["weight"],
        in_flight=sum(view["in_flight"] for view in views),
        limit=sum(view["max_in_flight"] for view in views),
        ewma_ms=max(view["ewma_ms"] for view in views),
        drained=any(view["drained"] for view in views),
        usable=first["enabled"] and (first["weight"] > 0 or is_canary),
        healthy=first["healthy"],
        canary=is_canary,
        warmth=min(view["warmth"] for view in views),
        ejection=EjectionSituation(
            out[0]["reason"],
            min(one["probe_in_seconds"] for one in out),
            max(one["times"] for one in out),
            len(out),
        )
        if out
        else None,
        workers=len(views),
    )


def canaries_of(views: Sequence[Mapping[str, Any]]) -> list[CanarySituation]:
    """Add up the workers' experience with each share of each split, and judge it."""
    told: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for view in views:
        for one in view["canaries"]:
            labels = spelled(one["labels"])
            told.setdefault((one["route"], one["service"], labels), []).append(one)
    found = []
    for (route, service, labels), those in told.items():
        canary = _experience([one["canary"] for one in those])
        rest = _experience([one["rest"] for one in those])
        verdict = judge_canary(canary, rest)
        percent = those[0]["percent"]
        found.append(CanarySituation(route, service, labels, percent, canary, rest, verdict))
    return found


def _experience(views: Sequence[Mapping[str, Any]]) -> Experience:
    seconds = [view["seconds"] for view in views if view["seconds"] is not None]
    return Experience(
        max(view["instances"] for view in views),
        sum(view["answered"] for view in views),
        sum(view["failed"] for view in views),
        max(seconds) if seconds else None,
    )


def shadows_of(
    views: Sequence[Mapping[str, Any]], states: Iterable[WorkerState]
) -> list[ShadowSituation]:
    """Add up what became of the copies of each route's requests, and judge it."""
    results = summed(states, "shadow")
    routes = {str(route): str(service) for view in views for route, service in view["shadows"]}
    found = []
    for route, service in sorted(routes.items()):
        agreed, differed, failed, dropped = (
            int(results.get((route, result), 0))
            for result in ("agreed", "differed", "failed", "dropped")
        )
        verdict = judge_shadow(agreed, differed, failed)
        found.append(ShadowSituation(route, service, agreed, differed, failed, dropped, verdict))
    return found


def spelled(labels: Mapping[str, str]) -> str:
    """Return labels as text."""
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
