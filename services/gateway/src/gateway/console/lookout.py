"""The lookout: asks the workers for their situation, only while somebody looks, and not too often.

All readers share one answer a second, so that many browsers cost the workers what one does.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from service_kit import HealthChecks

from gateway.console.recorder import Recorder
from gateway.console.situation import (
    Charts,
    Situation,
    canaries_of,
    instances_of,
    services_of,
    shadows_of,
    troubled_of,
)
from gateway.control.admin import Workers

FRESH_SECONDS = 1.0
"""Seconds for which an answer of the workers is shown to every reader."""
WANTED_SECONDS = 10.0
"""Seconds for which the instances of a service are asked for after somebody looked at them."""
MAX_WANTED = 16
"""Services whose instances are asked for at a time."""


class Lookout:
    """The situation, as far as readers want it."""

    def __init__(
        self,
        workers: Workers,
        health: HealthChecks,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._health = health
        self._recorder = recorder
        self._clock = clock
        self._charts = Charts()
        self._wanted: dict[str, float] = {}
        self._situation = Situation()
        self._at = float("-inf")
        self._turn = asyncio.Lock()

    async def look(self, service: str = "") -> Situation:
        """Return the situation, with the instances of a service, of the last second."""
        now = self._clock()
        if service:
            self._wanted.pop(service, None)
            self._wanted[service] = now
        async with self._turn:
            lacks = service and service not in self._situation.instances
            if lacks or self._clock() >= self._at + FRESH_SECONDS:
                self._situation = await self._ask()
                self._at = self._clock()
        return self._situation

    def forget(self) -> None:
        """Ask anew at the next look: an order was carried out."""
        self._at = float("-inf")

    async def explain(self, method: str, target: str, fields: list[tuple[str, str]]) -> Any:
        """Return where a request would go, None if no worker answers."""
        command = {"do": "explain", "method": method, "target": target, "fields": fields}
        return next(iter(await self._workers.ask(command)), None)

    async def _ask(self) -> Situation:
        now = self._clock()
        recent = [name for name, at in self._wanted.items() if now - at < WANTED_SECONDS]
        wanted = recent[-MAX_WANTED:]
        self._wanted = {name: self._wanted[name] for name in wanted}
        views, routes = await asyncio.gather(
            self._workers.ask({"do": "overview", "services": wanted}),
            self._workers.ask({"do": "routes"}),
        )
        recorder = self._recorder
        return Situation(
            services_of(views, recorder.history, self._charts),
            {name: instances_of(views, name) for name in wanted},
            troubled_of(views),
            canaries_of(views),
            shadows_of(views, recorder.states()),
            list(reversed(recorder.timeline.events)),
            _document(routes),
            self._health.report()[1],
            int(self._workers.check()["running"]),
        )


def _document(answers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the routes of one worker, with a refusal if any worker has refused the document."""
    if not answers:
        return {}
    refused = next((one for one in answers if one["rejected"]), answers[0])
    reason = {key: refused[key] for key in ("rejected", "rejected_line")}
    return {**answers[0], **reason}
