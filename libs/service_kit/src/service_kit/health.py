"""What a service says of itself: alive, ready and why not, metrics, and Spring Boot's two paths."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from service_kit.problem import install_problems

State = dict[str, Any]
"""One check's answer: `ok` says whether it allows traffic, the other keys say why."""
Check = Callable[[], State]

ready = Gauge("service_ready", "1 while every readiness check passes")
check_ok = Gauge("service_check_ok", "1 while this readiness check passes", ["check"])


class Health:
    """Named readiness checks and what the service is.

    A check is a plain read of a state that somebody else keeps: it neither waits nor calls anybody.
    """

    def __init__(self, name: str, version: str) -> None:
        self.about: dict[str, Any] = {"build": {"name": name, "version": version}}
        """Served at /actuator/info; a service adds its model here."""
        self.draining = False
        """True from SIGTERM on: no longer ready, still serving."""
        self._checks: dict[str, Check] = {}
        ready.set_function(lambda: self.report()[0])

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on one more check."""
        self._checks[name] = check
        check_ok.labels(name).set_function(lambda: _run(check)["ok"])

    def report(self) -> tuple[bool, dict[str, State]]:
        """Return whether the service wants traffic, and the state of each check."""
        states = {name: _run(check) for name, check in self._checks.items()}
        if self.draining:
            states["draining"] = {"ok": False, "reason": "the process was told to stop"}
        return all(state["ok"] for state in states.values()), states


def _run(check: Check) -> State:
    try:
        state = check()
    except Exception as error:  # noqa: BLE001 - a failing check is an answer, not a failure of /readyz
        return {"ok": False, "reason": f"{type(error).__name__}: {error}"}
    return state


def install(app: FastAPI, health: Health) -> None:
    """Add the routes of health, metrics and actuator, and make every error a problem document."""
    install_problems(app)
    router = APIRouter(tags=["operations"])

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
    async def metrics() -> Response:
        """Serve the process's metrics in Prometheus's text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

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
