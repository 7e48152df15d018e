"""The stay of one server process in Nacos: from the moment it listens to the end of its drain."""

import asyncio
import logging
from collections.abc import Callable, Collection

from nacos_client.announce import Announcement
from nacos_client.errors import BadAddress, NacosError
from nacos_client.own_sockets import OwnSocket, announced_place, own_sockets
from nacos_client.stop_signals import StopSignals

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
"""Seconds between two looks whether the process listens."""
PATIENCE_SECONDS = 3.0
"""Seconds without listening after which the log says so."""


class ServedPresence:
    """The entry in Nacos of a process that another program serves.

    1. `begin`, at the end of the startup: hold the signals back, wait until the process listens,
       then announce it.
    2. On SIGTERM or SIGINT: withdraw while serving, serve on for `drain_seconds`, then let the
       server have its signal.
    3. `end`, at the shutdown: withdraw, where no signal led to that.

    Attributes:
        draining: True from the signal on.
    """

    def __init__(
        self,
        announcement: Callable[[OwnSocket], Announcement],
        port: int | None,
        drain_seconds: float,
        drains: Callable[[], None],
    ) -> None:
        """Prepare the stay.

        Args:
            announcement: makes what is announced, for the place where the process listens.
            port: the port that is to be announced; None for the only one.
            drain_seconds: seconds to serve on after Nacos shows the instance gone.
            drains: called when the drain begins.
        """
        self.draining = False
        self._before = _inodes()
        self._make = announcement
        self._port = port
        self._drain_seconds = drain_seconds
        self._drains = drains
        self._signals = StopSignals(self._told_to_stop)
        self._announcement: Announcement | None = None
        self._joining: asyncio.Task[None] | None = None
        self._withdrawing: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Announce the process once its server listens.

        Sockets that the application has opened since this object was made, as for metrics, are not
        taken for the server's.
        """
        self._signals.hold()
        others = _inodes() - self._before
        self._joining = asyncio.create_task(self._join(others), name="join Nacos")

    async def end(self) -> None:
        """Withdraw, within five seconds, and give the server its signal handlers back."""
        await asyncio.shield(self._withdrawn())
        if self._leaving is not None:
            self._leaving.cancel()
        self._signals.pass_on()

    async def _join(self, others: Collection[int]) -> None:
        try:
            place = await self._listening(others)
            self._announcement = self._make(place)
            await self._announcement.announce()
        except Exception:  # nobody awaits this task, and the application serves all the same
            log.exception("not announced in Nacos")

    async def _listening(self, others: Collection[int]) -> OwnSocket:
        looks = 0
        while True:
            try:
                return announced_place(own_sockets(), self._port, others)
            except BadAddress as error:
                if looks == PATIENCE_SECONDS / LOOK_SECONDS:
                    log.warning("not announced in Nacos: %s", error)
            looks += 1
            await asyncio.sleep(LOOK_SECONDS)

    def _told_to_stop(self) -> None:
        self.draining = True
        self._drains()
        self._leaving = asyncio.create_task(self._leave(), name="leave Nacos")

    async def _leave(self) -> None:
        await asyncio.shield(self._withdrawn())
        if self._announcement is not None:
            await asyncio.sleep(self._drain_seconds)
        self._signals.pass_on()

    def _withdrawn(self) -> asyncio.Task[None]:
        """Return the task that withdraws, the same for every caller."""
        if self._withdrawing is None:
            self._withdrawing = asyncio.create_task(self._withdraw(), name="withdraw")
        return self._withdrawing

    async def _withdraw(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
            await asyncio.wait([self._joining])
        if self._announcement is not None:
            try:
                await self._announcement.withdraw()
            except NacosError as error:
                log.warning("not withdrawn: %s", error)


def _inodes() -> set[int]:
    try:
        return set(own_sockets())
    except BadAddress:  # the log says so when the process is to be announced
        return set()
