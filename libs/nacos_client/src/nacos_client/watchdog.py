"""A watchdog that notices when the application's event loop stands still."""

import asyncio
from collections.abc import Callable

TICK_SECONDS = 0.25


class Watchdog:
    """Pings the application's loop from the Nacos thread.

    Silence is counted in ticks of the Nacos thread, not by the clock: when the whole process was
    stopped, the loop does not count as blocked afterwards.

    Attributes:
        limit: seconds without an answer after which the loop counts as blocked.
        blocked: True from then on until the loop answers again.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.blocked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered = True

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the event loop to watch."""
        self._loop = loop

    def _answer(self) -> None:
        self._answered = True

    def _ping(self) -> None:
        if self._loop is not None:
            self._answered = False
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed, and will never answer
                return

    async def run(self, changed: Callable[[], None]) -> None:
        """Ping for ever; call `changed` when `blocked` changes."""
        silent = 0.0
        self._answered = True
        while True:
            if self._answered:
                silent = 0.0
                self._ping()
            else:
                silent += TICK_SECONDS
            if self.blocked != (silent >= self.limit):
                self.blocked = not self.blocked
                changed()
            await asyncio.sleep(TICK_SECONDS)
