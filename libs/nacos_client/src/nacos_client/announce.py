"""Announcing one instance of a service: what a process runner holds in its hand."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from failover import Instance

from nacos_client.audit import AnnouncementState, Keeper, Shown
from nacos_client.errors import Unreachable
from nacos_client.ports import ServiceKey, Session
from nacos_client.runtime import Runtime
from nacos_client.watch import Watched
from nacos_client.watchdog import Watchdog

log = logging.getLogger(__name__)

WITHDRAW_SECONDS = 5.0
LOCATE_SECONDS = 1.0
"""Between two attempts to find the own address, while the name of Nacos does not resolve."""
STALE_SECONDS = 10.0
"""Three missed audits: what the server showed then is no answer any more."""


def labels(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return the metadata of an instance: the caller's, and who registered it."""
    return MappingProxyType({"preserved.register.source": "PYTHON", **metadata})


class Announcement:
    """One instance of one service; made by `Nacos.announcement`.

    `announce` belongs after the socket listens, `withdraw` before it closes. It has a connection
    of its own: Nacos keeps one instance of a service for each connection, and drops it with it.
    An application loop that stands still for longer than `blocked_limit` seconds takes the
    instance out until it moves again.

    Attributes:
        service: of which it is an instance.
        withdrawn: from `withdraw` until `announce`.
    """

    def __init__(
        self,
        runtime: Runtime,
        open_session: Callable[[], Session],
        service: ServiceKey,
        instance: Instance,
        locator: Callable[[], Callable[[], str]],
        *,
        blocked_limit: float,
        ephemeral: bool,
    ) -> None:
        """Prepare to announce an instance.

        Args:
            runtime: the Nacos thread.
            open_session: makes a session that is not started.
            service: the service.
            instance: what to publish, but for its ip.
            locator: returns what tells the ip, or raises `BadAddress`; asked on `announce`.
            blocked_limit: seconds, see above.
            ephemeral: see `Nacos.announcement`.
        """
        self.service = service
        self.withdrawn = False
        self._runtime = runtime
        self._open_session = open_session
        self._wanted = instance
        self._locator = locator
        self._no_address = "its address is not known yet"
        self._watchdog = Watchdog(blocked_limit)
        self._ephemeral = ephemeral
        self._session: Session | None = None
        self._keeper: Keeper | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> AnnouncementState:
        """What the server showed at the last look. A plain read."""
        keeper = self._keeper
        if keeper is None:
            if self._session is None:
                idle = "withdrawn" if self.withdrawn else "not announced"
                return AnnouncementState(Shown.UNKNOWN, None, detail=idle)
            return AnnouncementState(Shown.UNKNOWN, self._wanted, detail=self._no_address)
        state = keeper.state
        silent = time.monotonic() - state.checked_at
        if state.checked_at and silent > STALE_SECONDS:
            return replace(state, shown=Shown.UNKNOWN, detail=f"not asked for {silent:.0f} s")
        return state

    @property
    def place(self) -> str:
        """Group and port, which tell it from other announcements of the same name."""
        return f"{self.service.group}:{self._wanted.port}"

    @property
    def plain_state(self) -> dict[str, Any]:
        """The state in plain values, for a readiness answer."""
        state = self.state
        return {
            "ok": state.shown is Shown.AS_WANTED,
            "shown": state.shown.value,
            "detail": state.detail,
            "healed": state.healed,
        }

    async def announce(self) -> None:
        """Publish the instance and keep it published; returns at once, whatever Nacos does.

        Raises:
            BadAddress: `ADVERTISE_IP` names no address of this host.
        """
        locate = self._locator()
        self.withdrawn = False
        self._watchdog.watch(asyncio.get_running_loop())
        await self._runtime.run(self._begin(locate), WITHDRAW_SECONDS)

    async def update(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        weight: float | None = None,
        enabled: bool | None = None,
    ) -> None:
        """Change the published instance in place; what is not named stays. Returns at once.

        Before `announce`, it changes what `announce` will publish.

        Metadata is replaced as a whole, but for `preserved.register.source`.
        """
        self._change(metadata=metadata, weight=weight, enabled=enabled)

    def follow(self, watched: Watched[Any], metadata: Callable[[], Mapping[str, str]]) -> None:
        """Publish `metadata()` now, and again whenever a new value of the document is in force.

        The changes arrive in the order of the values; the last one always arrives. They end when
        the client closes. Before `announce`, they change what `announce` will publish. Call this
        on the application's event loop.

        Args:
            watched: the document, started or not.
            metadata: returns all labels of the instance, quickly. When it raises, the error is
                logged and the metadata stay as they are.
        """
        self._change(metadata=metadata())
        watched.subscribe(lambda _: self._change(metadata=metadata()))

    def _change(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        weight: float | None = None,
        enabled: bool | None = None,
    ) -> None:
        now = self._wanted
        self._wanted = replace(
            now,
            metadata=now.metadata if metadata is None else labels(metadata),
            weight=now.weight if weight is None else weight,
            enabled=now.enabled if enabled is None else enabled,
        )
        self._runtime.post(self._changed)

    async def withdraw(self) -> None:
        """Take the instance out; returns when Nacos no longer shows it, within five seconds.

        Where Nacos cannot be asked any more, the end of the connection takes the instance out; a
        persistent one then stays, which the log says.
        """
        self.withdrawn = True
        if self._session is not None:
            await self._runtime.run(self._end(), WITHDRAW_SECONDS)

    async def abandon(self) -> None:
        """End the connection without a word to Nacos; runs on the Nacos thread."""
        await self._end(leave=False)

    async def _begin(self, locate: Callable[[], str]) -> None:
        if self._session is not None:
            return
        session = self._session = self._open_session()
        session.start()
        self._tasks = [
            asyncio.create_task(self._keep(session, locate), name=f"announce {self.service}"),
            asyncio.create_task(self._watchdog.run(self._changed), name="watchdog"),
        ]

    async def _keep(self, session: Session, locate: Callable[[], str]) -> None:
        ip = await self._located(locate)
        wanted = replace(self._wanted, ip=ip)
        keeper = self._keeper = Keeper(
            session, self.service, wanted, self._held_back, ephemeral=self._ephemeral
        )
        await keeper.run()

    async def _located(self, locate: Callable[[], str]) -> str:
        """Ask for the address until it is known; a resolver that hangs holds up its thread only."""
        while True:
            try:
                return await asyncio.to_thread(locate)
            except Unreachable as error:
                if str(error) != self._no_address:
                    log.warning("%s: %s", self.service, error)
                self._no_address = str(error)
            await asyncio.sleep(LOCATE_SECONDS)

    def _changed(self) -> None:
        """Let the keeper look at what is wanted now; runs on the Nacos thread."""
        if self._keeper is not None:
            self._keeper.want(self._wanted)
            self._keeper.bell.ring()

    def _held_back(self) -> str | None:
        if not self._watchdog.blocked:
            return None
        return f"held back: the event loop is blocked for over {self._watchdog.limit:g} s"

    async def _end(self, *, leave: bool = True) -> None:
        session, self._session = self._session, None
        keeper, self._keeper = self._keeper, None
        for task in self._tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if session is not None:
            try:
                if leave and keeper is not None:
                    await keeper.leave()
            finally:
                await session.close()
