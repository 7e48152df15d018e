"""Noticing that the application's event loop stands still."""

import asyncio
from collections.abc import Callable

TICK_SECONDS = 0.25


class Watchdog:
    """Pings the application's loop from the Nacos thread.

    Time is counted in ticks that this thread was awake to count: a process that was stopped as a
    whole was not blocked, and wakes up innocent.

    Attributes:
        limit: seconds without an answer after which the loop counts as blocked.
        blocked: True from then on until it answers again.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.blocked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answered = True

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop to watch."""
        self._loop = loop

    def _answer(self) -> None:
        self._answered = True

    def _ping(self) -> None:
        if self._loop is not None:
            self._answered = False
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop is closed: it will never answer
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
