"""A service's state over HTTP: liveness, readiness with reasons, metrics, Spring Boot's paths."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Metric,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service_kit.metric_families import MetricFamily
from service_kit.problem import install_problems

READY = MetricFamily("gauge", "service_ready", "1 while the service wants traffic")
PART_OK = MetricFamily("gauge", "service_state_ok", "1 while this part is well", ("part",))
CONFIG = MetricFamily(
    "gauge",
    "config_info",
    "1 for the configuration in force: its version is the MD5 of the document",
    ("part", "version", "source"),
)
REJECTED = MetricFamily(
    "gauge", "config_rejected", "1 while the newest document is kept out", ("part",)
)
WARNED = MetricFamily(
    "gauge", "announcement_warning", "1 while callers may not reach this address", ("part",)
)
FAMILIES = (READY, PART_OK, CONFIG, REJECTED, WARNED)

OPEN_METRICS = "application/openmetrics-text"
"""The media type that a Prometheus names first among those it takes."""
END_OF_OPEN_METRICS = b"# EOF\n"

State = dict[str, Any]
"""The result of a check: `ok` says whether the check allows traffic, the other keys say why."""
Check = Callable[[], State]


class HealthChecks:
    """The state of a service: its name and version, whether it wants traffic, and its parts.

    A check is a plain read of a state that other code keeps: it neither waits nor calls anybody.
    """

    def __init__(self, name: str, version: str) -> None:
        self.about: dict[str, Any] = {"build": {"name": name, "version": version}}
        """Served at /actuator/info; a service adds its model here."""
        self.draining = False
        """True from SIGTERM on: the service is no longer ready, but still serves."""
        self._checks: dict[str, Check] = {}
        self._parts: list[Callable[[], Mapping[str, State]]] = []
        self._measures: list[Callable[[], Iterable[Metric]]] = []
        self._preparations: list[Callable[[], Awaitable[None]]] = []

    def drain(self) -> None:
        """Stop wanting traffic, for good."""
        self.draining = True

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on one more check."""
        self._checks[name] = check

    def show(self, states: Callable[[], Mapping[str, State]]) -> None:
        """Report the states of parts without which the service still serves, such as Nacos."""
        self._parts.append(states)

    def measure(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Serve the metrics that `collect` makes at each scrape, beside the others."""
        self._measures.append(collect)

    def prepare(self, gather: Callable[[], Awaitable[None]]) -> None:
        """Await `gather` before each scrape, for metrics whose figures are in other processes."""
        self._preparations.append(gather)

    async def prepared(self) -> None:
        """Wait until the figures of a scrape are there."""
        for gather in self._preparations:
            await gather()

    @property
    def is_ready(self) -> bool:
        """Whether the service wants requests now."""
        return self.report()[0]

    def report(self) -> tuple[bool, dict[str, State]]:
        """Return whether the service wants traffic, and the state of each check and part."""
        states = {name: _run(check) for name, check in self._checks.items()}
        if self.draining:
            states["draining"] = {"ok": False, "reason": "the process was told to stop"}
        is_ready = all(state["ok"] for state in states.values())
        for part in self._parts:
            states.update(part())
        return is_ready, states

    def collect(self) -> Iterator[Metric]:
        """Yield the report as metrics, then the metrics of every `measure`."""
        is_ready, states = self.report()
        yield GaugeMetricFamily(READY.name, READY.text, is_ready)
        ok, config, rejected, warned = (
            GaugeMetricFamily(each.name, each.text, labels=each.labels)
            for each in (PART_OK, CONFIG, REJECTED, WARNED)
        )
        for name, state in states.items():
            ok.add_metric([name], state["ok"])
            if "rejected" in state:
                config.add_metric([name, state["version"], state["source"]], 1)
                rejected.add_metric([name], state["rejected"] is not None)
            if "warning" in state:
                warned.add_metric([name], state["warning"] is not None)
        yield from (ok, config, rejected, warned)
        for collect in self._measures:
            yield from collect()


def _run(check: Check) -> State:
    try:
        state = check()
    except Exception as error:  # noqa: BLE001 - a failing check is an answer, not a failure of /readyz
        return {"ok": False, "reason": f"{type(error).__name__}: {error}"}
    return state


def add_health(app: FastAPI, health: HealthChecks) -> None:
    """Add the routes of health, metrics and actuator, and make every error a problem document."""
    install_problems(app)
    router = APIRouter(tags=["operations"])
    own = CollectorRegistry()
    own.register(health)

    @router.get("/livez")
    async def alive() -> dict[str, str]:
        """Say that the event loop runs."""
        return {"status": "alive"}

    @router.get("/readyz", responses={503: {"description": "Not ready; the body names the checks"}})
    async def readiness() -> Response:
        """Say whether the service wants traffic, and each check's state."""
        is_ready, states = health.report()
        return _json({"ready": is_ready, "checks": states}, 200 if is_ready else 503)

    @router.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        """Serve the process's metrics in Prometheus's text format, or as OpenMetrics if asked to.

        Only OpenMetrics has exemplars.
        """
        await health.prepared()
        encode: Callable[[Collector], bytes] = generate_latest
        media_type = CONTENT_TYPE_LATEST
        if OPEN_METRICS in request.headers.get("accept", ""):
            encode, media_type = choose_encoder(OPEN_METRICS)
        text = encode(REGISTRY).removesuffix(END_OF_OPEN_METRICS) + encode(own)
        return Response(text, media_type=media_type)

    @router.get("/actuator/health", responses={503: {"description": "Not ready"}})
    async def actuator_health() -> Response:
        """Say the same as /readyz in the words of Spring Boot."""
        is_ready, states = health.report()
        status = "UP" if is_ready else "OUT_OF_SERVICE" if health.draining else "DOWN"
        parts = {name: _component(state) for name, state in states.items()}
        return _json({"status": status, "components": parts}, 200 if is_ready else 503)

    @router.get("/actuator/info")
    async def actuator_info() -> dict[str, Any]:
        """Say what this service is and which version."""
        return health.about

    app.include_router(router)


def _component(state: Mapping[str, Any]) -> dict[str, Any]:
    details = {key: value for key, value in state.items() if key != "ok"}
    return {"status": "UP" if state["ok"] else "DOWN", "details": details}


def _json(content: object, status: int) -> Response:
    return Response(orjson.dumps(content, default=str), status, media_type="application/json")
