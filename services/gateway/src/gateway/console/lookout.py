"""The lookout: asks the workers for their situation, only while somebody looks, and not too often.

All readers share one answer a second, so that many browsers cost the workers what one does.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from service_kit import HealthChecks

from gateway.console.fetching import Place
from gateway.console.model_watch import ModelWatch
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
from gateway.control.places import MAX_PLACES

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
        models: ModelWatch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._health = health
        self._recorder = recorder
        self._models = models
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
        if due := self._models.due(wanted):
            self._models.ask(
                _places(due, await self._workers.ask({"do": "places", "services": due}))
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
            self._models.told(wanted),
        )


def _places(names: Iterable[str], answers: Iterable[Mapping[str, Any]]) -> dict[str, list[Place]]:
    """Return places of each service; of several workers each may know others, up to a bound."""
    found: dict[str, dict[Place, None]] = {name: {} for name in names}
    for answer in answers:
        for name, told in answer.items():
            found[name].update(dict.fromkeys(Place(**one) for one in told))
    return {name: list(places)[:MAX_PLACES] for name, places in found.items()}


def _document(answers: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the routes of one worker, with a refusal if any worker has refused the document."""
    if not answers:
        return {}
    refused = next((one for one in answers if one["rejected"]), answers[0])
    reason = {key: refused[key] for key in ("rejected", "rejected_line")}
    return {**answers[0], **reason}
