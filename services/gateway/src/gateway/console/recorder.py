"""The recorder: every second it writes down what the workers count and tell, watched or not.

It asks the workers nothing: what it reads is there already, for the end of a worker would lose it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from gateway.console.history import History
from gateway.console.timeline import EventKind, Timeline
from gateway.control.order_desk import Instruction
from gateway.telemetry.metrics import WorkerState

SECONDS = 1.0
KIND_OF = {
    "drain": EventKind.DRAINED,
    "undrain": EventKind.UNDRAINED,
    "restore": EventKind.RESTORED,
}

_log = logging.getLogger(__name__)


class Recorder:
    """The history and the timeline of one gateway.

    Attributes:
        history: of each service.
        timeline: what has changed.
    """

    def __init__(
        self,
        states: Callable[[], Iterable[WorkerState]],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Write nothing yet.

        Args:
            states: the workers' counters, and those of the workers that ended.
            clock: monotonic seconds.
            wall: Unix time in seconds.
        """
        self.states = states
        self.history = History()
        self.timeline = Timeline()
        self._clock = clock
        self._wall = wall

    def note(self) -> None:
        """Write down what there is now."""
        states = list(self.states())
        self.history.note(states, self._clock())
        self.timeline.note([one["news"] for one in states if "news" in one], self._wall())

    def note_order(self, order: Instruction, by: str) -> None:
        """Write down an operator's order."""
        kind = KIND_OF[order.do]
        self.timeline.add(kind, self._wall(), order.instance, service=order.service, by=by)

    async def run(self) -> None:
        """Write for ever."""
        while True:
            try:
                self.note()
            except Exception:  # noqa: BLE001 - the record goes on with the next second
                _log.exception("console_record_failed")
            await asyncio.sleep(SECONDS)
