"""The one loop of this package: compare what is with what should be, mend, sleep.

Pushes, connects and new wishes only ring the bell; nothing depends on the arrival of one of them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from nacos_client.errors import Denied, NacosError, Unreachable
from nacos_client.ports import Connected

log = logging.getLogger(__name__)

FAILED_SECONDS = 1.0
"""Seconds from a turn that failed to the next."""
DENIED_SECONDS = 5.0
"""Seconds from a turn that Nacos denied to the next: a permission given in Nacos takes some seconds
to hold, and asking more often would only log in anew."""


class Doorbell:
    """Wakes one waiting task at a ring, or when its patience ends. For one event loop."""

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


class Reconciler:
    """The loop that keeps one thing right: an instance, a list of instances, documents.

    Attributes:
        bell: wakes the loop before its time.
        patience: seconds from the last turn to the next, unless the bell rings.
    """

    def __init__(
        self, name: object, connected: Connected, turn: Callable[[], Awaitable[float]]
    ) -> None:
        """Prepare the loop.

        Args:
            name: the name of the thing, for the log.
            connected: the connection; a change of it rings the bell.
            turn: compares and mends once; returns the seconds until it wants to look again.
        """
        self.bell = Doorbell()
        self.patience = 0.0
        self._name = name
        self._connected = connected
        self._turn = turn
        self._failure: NacosError | None = None

    @property
    def trouble(self) -> NacosError | None:
        """The error that kept Nacos from being asked at the last turn, or None."""
        if self._connected.connection is None:
            return Unreachable(self._connected.trouble or "not connected")
        return self._failure

    @property
    def denied(self) -> bool:
        """True if Nacos answers, and denies this user the permission."""
        return isinstance(self.trouble, Denied)

    async def run(self) -> None:
        """Take turns until cancelled."""
        detach = self._connected.attach(self.bell.ring)
        try:
            while True:
                self.patience = await self._take_turn()
                await self.bell.wait(self.patience)
        finally:
            detach()

    async def _take_turn(self) -> float:
        try:
            patience = await self._turn()
        except NacosError as error:
            if str(error) != str(self._failure):
                # The trouble of a whole connection is told once, by whoever has found it.
                level = logging.INFO if self._connected.trouble else logging.WARNING
                log.log(level, "%s: %s", self._name, error)
            self._failure = error
            return DENIED_SECONDS if isinstance(error, Denied) else FAILED_SECONDS
        except Exception:  # a mistake in one turn must not end the loop for ever
            log.exception("a turn failed; the next follows in %g s", FAILED_SECONDS)
            return FAILED_SECONDS
        self._failure = None
        return patience
