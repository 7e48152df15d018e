"""The one loop of this package: compare what is with what should be, mend, sleep.

Pushes, connects and changes of mind only ring the bell; nothing depends on one of them arriving.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nacos_client.ports import Connected

log = logging.getLogger(__name__)

FAILED_SECONDS = 1.0


class Doorbell:
    """Wakes one waiting task, now or after its patience ends. For one event loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake the task; rings before it waits again count as one."""
        self._event.set()

    async def wait(self, patience: float) -> bool:
        """Wait for a ring, at most `patience` seconds; True if it rang."""
        try:
            async with asyncio.timeout(patience):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


async def reconcile(
    connected: Connected, bell: Doorbell, turn: Callable[[], Awaitable[float]]
) -> None:
    """Take turns until cancelled.

    Args:
        connected: rings the bell when its connection changes.
        bell: wakes the loop before its time.
        turn: compares and mends once; returns the seconds until it wants to look again.
    """
    detach = connected.attach(bell.ring)
    try:
        while True:
            try:
                patience = await turn()
            except Exception:  # a mistake in one turn must not end the watch for ever
                log.exception("a turn failed; the next follows in %g s", FAILED_SECONDS)
                patience = FAILED_SECONDS
            await bell.wait(patience)
    finally:
        detach()
