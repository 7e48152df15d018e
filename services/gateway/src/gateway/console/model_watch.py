"""The watch over models: asks instances for their metrics, only while somebody looks at a service.

Model services tell their metrics at the port where they serve, which discovery knows; so the
gateway needs no other address, and no way that its requests do not have already.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import httpx
from failover import in_brackets
from nacos_client import InstanceTls

from gateway.console.fetching import (
    ANSWER_SECONDS,
    Lack,
    NothingReadError,
    Place,
    client_of,
    fetched,
    given_up,
)
from gateway.console.model_metrics import (
    ModelHistory,
    ModelSituation,
    Reading,
    UnreadError,
    read,
)

PATH = "/metrics"
MAX_BYTES = 1024 * 1024
"""Bytes of the longest metrics of an instance."""
FRESH_SECONDS = 30.0
"""Seconds for which the instances of a service are not asked again."""
FORGOTTEN_SECONDS = 900.0
"""Seconds after which what a service told is forgotten, if nobody has looked at it since."""
MAX_KEPT = 16
"""Services whose readings are kept."""
AT_ONCE = 8
"""Instances that are asked at a time."""


@dataclass(slots=True)
class KeptReadings:
    """What the instances of a service told.

    Attributes:
        begun: monotonic seconds at which they were asked last.
        history: of what they told.
        at: Unix time at which they told it.
        asked: how many have metrics, or do not say that they have none.
    """

    begun: float
    history: ModelHistory = field(default_factory=ModelHistory)
    at: float = 0.0
    asked: int = 0


class ModelWatch:
    """The metrics of models, as far as readers want them."""

    def __init__(
        self,
        tls: InstanceTls | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Ask for nothing yet.

        Args:
            tls: the trust in instances that listen for TLS.
            clock: monotonic seconds.
            wall: Unix time in seconds.
        """
        self._tls = tls or InstanceTls()
        self._clock = clock
        self._wall = wall
        self._kept: dict[str, KeptReadings] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._reading = asyncio.Lock()

    def due(self, names: Iterable[str]) -> list[str]:
        """Return those of the services whose instances are to be asked again."""
        now = self._clock()
        return [
            name
            for name in names
            if name not in self._asking
            and (name not in self._kept or now >= self._kept[name].begun + FRESH_SECONDS)
        ]

    def ask(self, places: Mapping[str, Collection[Place]]) -> None:
        """Begin to ask instances, by the name of their service; nothing waits for them."""
        now = self._clock()
        for name, instances in places.items():
            kept = self._kept.pop(name, None)
            if kept is None or now >= kept.begun + FORGOTTEN_SECONDS:
                kept = KeptReadings(now)
            kept.begun = now
            self._kept[name] = kept  # the last one asked is the last one forgotten
            self._asking[name] = asyncio.create_task(self._ask(name, kept, instances))
        for name in list(self._kept)[:-MAX_KEPT]:
            del self._kept[name]

    def told(self, names: Iterable[str]) -> dict[str, ModelSituation]:
        """Return what is known of the services that have told something of a model."""
        found = {}
        for name in names:
            kept = self._kept.get(name)
            situation = kept.history.situation(kept.at, kept.asked) if kept is not None else None
            if situation is not None:
                found[name] = situation
        return found

    async def close(self) -> None:
        """Ask no more."""
        await given_up(list(self._asking.values()))

    async def _ask(self, name: str, kept: KeptReadings, places: Collection[Place]) -> None:
        try:
            answers = await asyncio.gather(*map(self._answer, places))
            kept.asked = sum(one is None or one.tells for one in answers)
            kept.at = self._wall()
            kept.history.note({
                f"{in_brackets(place.host)}:{place.port}": one
                for place, one in zip(places, answers, strict=True) if one is not None and one.tells
            })  # fmt: skip
        finally:
            del self._asking[name]

    async def _answer(self, place: Place) -> Reading | None:
        """Return what an instance tells, which may be nothing; None if it cannot be read."""
        try:
            async with self._turn, client_of(self._tls, secure=place.secure) as http:
                async with asyncio.timeout(ANSWER_SECONDS):
                    data = await fetched(
                        http, self._tls, place, PATH, accept="text/plain", most=MAX_BYTES
                    )
                async with self._reading:  # one at a time: each takes memory
                    return await asyncio.to_thread(read, data)
        except NothingReadError as bad:
            return Reading() if bad.lack in {Lack.ABSENT, Lack.REFUSED} else None
        except (UnreadError, TimeoutError, httpx.HTTPError, httpx.InvalidURL, OSError):
            return None
