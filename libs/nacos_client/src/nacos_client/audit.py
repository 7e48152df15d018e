"""Keeping what Nacos publishes of one instance equal to what is wanted.

One loop on the Nacos thread: after a connect at once, else every three seconds, it asks Nacos what
callers are told and mends the difference. Nothing is believed because a call returned without an
error; the state is what the server shows.
"""

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from failover import Instance

from nacos_client.errors import NacosError
from nacos_client.ports import Listing, Registry, ServiceKey
from nacos_client.reconcile import Reconciler

log = logging.getLogger(__name__)

AUDIT_SECONDS = 3.0
LOOK_SECONDS = 0.2
"""Between two looks while a change is on its way into what Nacos publishes."""
SETTLE_SECONDS = 2.0
"""Nacos publishes a change about half a second after it took it; sooner looks prove little."""
RETRY_SECONDS = 0.5
LEAVE_SECONDS = 3.5


class Shown(enum.StrEnum):
    """What Nacos shows of the instance, compared with what is wanted."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    AS_WANTED = "as wanted"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """The last observation.

    Attributes:
        shown: what Nacos publishes, against what is wanted; UNKNOWN when it cannot be asked.
        wanted: what should be published; None before `announce` and after `withdraw`; its ip is
            "" while it is not known.
        seen: the instance as Nacos publishes it, if it does.
        detail: what differs, why Nacos could not be asked, or why the instance is held back.
        checked_at: monotonic time of the observation in seconds; 0 before the first.
        healed: how often a difference was mended.
    """

    shown: Shown
    wanted: Instance | None
    seen: Instance | None = None
    detail: str = ""
    checked_at: float = 0.0
    healed: int = 0


def observe(wanted: Instance | None, address: str, listing: Listing) -> AnnouncementState:
    """Compare what is wanted with what callers are told; they are told of no disabled instance."""
    seen = next((i for i in listing.instances if i.address == address), None)
    if wanted is None or not wanted.enabled:
        shown = Shown.AS_WANTED if seen is None else Shown.DIFFERENT
        return AnnouncementState(shown, wanted, seen, "out of traffic" if seen is None else "")
    if seen is None:
        return AnnouncementState(Shown.ABSENT, wanted, None, "not in Nacos")
    fields = ("weight", "enabled", "cluster", "metadata")
    differing = [name for name in fields if getattr(wanted, name) != getattr(seen, name)]
    if differing:
        detail = "Nacos shows another " + ", ".join(differing)
        return AnnouncementState(Shown.DIFFERENT, wanted, seen, detail)
    return AnnouncementState(Shown.AS_WANTED, wanted, seen)


class Keeper:
    """The loop, for one session and one instance."""

    def __init__(
        self,
        session: Registry,
        service: ServiceKey,
        wanted: Instance,
        held_back: Callable[[], str | None],
        *,
        ephemeral: bool,
    ) -> None:
        self._loop = Reconciler(f"{service} {wanted.address}", session, self._turn)
        self.bell = self._loop.bell
        self.state = AnnouncementState(Shown.UNKNOWN, wanted, detail="not asked yet")
        self._session = session
        self._service = service
        self._wanted = wanted
        self._held_back = held_back
        self._ephemeral = ephemeral
        self._claim: tuple[str, Instance | None] | None = None
        self._claimed_at = 0.0
        self._claims_in_vain = 0
        self._confirmed = False
        self._by_hand = False
        self._told_by_hand: Instance | None = None
        self._refusal = ""

    def want(self, wanted: Instance) -> None:
        """Change what should be published, but for its ip; ring the bell afterwards."""
        self._wanted = replace(wanted, ip=self._wanted.ip)

    async def run(self) -> None:
        """Compare and mend until cancelled."""
        await self._loop.run()

    async def leave(self) -> None:
        """Take the instance out and wait until Nacos no longer shows it; never raises."""
        address = self._wanted.address
        if self._session.connection is None and self._ephemeral:
            log.info("withdrawn: %s %s had no connection to lose", self._service, address)
            return
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._deregister()
                while await self._shows(address):  # noqa: ASYNC110  (the event is in Nacos)
                    await asyncio.sleep(LOOK_SECONDS / 2)
        except (NacosError, TimeoutError) as error:
            log.warning("withdrawal of %s %s not confirmed: %s", self._service, address, error)
        else:
            log.info("withdrawn: Nacos no longer shows %s %s", self._service, address)

    async def _shows(self, address: str) -> bool:
        listing = await self._session.instances(self._service)
        return any(instance.address == address for instance in listing.instances)

    async def _turn(self) -> float:
        """Look once and mend; returns the seconds until the next look."""
        reason = self._held_back()
        wanted = None if reason else self._wanted
        connection = self._session.connection
        if connection is None:
            self._note(AnnouncementState(Shown.UNKNOWN, wanted, None, self._session.trouble or ""))
            return AUDIT_SECONDS
        try:
            return await self._mend(connection, wanted, reason)
        except NacosError as error:
            self._claim = None
            self._note(AnnouncementState(Shown.UNKNOWN, wanted, None, str(error)))
            return RETRY_SECONDS

    async def _mend(self, connection: str, wanted: Instance | None, reason: str | None) -> float:
        if self._claim != (connection, wanted):
            await self._make_claim(wanted)
            self._claim, self._claimed_at = (connection, wanted), time.monotonic()
            self._confirmed = False
        state = observe(wanted, self._wanted.address, await self._session.instances(self._service))
        if state.shown is Shown.AS_WANTED:
            self._claims_in_vain, self._refusal = 0, ""
            self._confirmed, self._by_hand = True, False
        self._note(replace(state, detail=reason or self._refusal or state.detail))
        if state.shown is Shown.AS_WANTED:
            return AUDIT_SECONDS
        if time.monotonic() - self._claimed_at < SETTLE_SECONDS:
            return LOOK_SECONDS
        self._claim = None
        self._claims_in_vain += 1
        # Who was shown and is shown no more may be disabled: that undoes no registration.
        self._by_hand = (
            self._confirmed or state.shown is Shown.DIFFERENT or self._claims_in_vain > 1
        )
        self.state = replace(self.state, healed=self.state.healed + 1)
        return 0.0

    async def _make_claim(self, wanted: Instance | None) -> None:
        if wanted is None:
            await self._deregister()
            return
        await self._session.register(self._service, wanted, ephemeral=self._ephemeral)
        # What was told by hand stands above any registration, and so above a later change too.
        if self._by_hand or self._told_by_hand not in (None, wanted):
            try:
                await self._session.override(self._service, wanted, ephemeral=self._ephemeral)
            except NacosError as error:
                self._refusal = str(error)
            else:
                self._told_by_hand = wanted

    async def _deregister(self) -> None:
        await self._session.deregister(self._service, self._wanted, ephemeral=self._ephemeral)

    def _note(self, seen: AnnouncementState) -> None:
        before = self.state
        self.state = replace(seen, checked_at=time.monotonic(), healed=before.healed)
        if (before.shown, before.detail) != (seen.shown, seen.detail):
            log.info(
                "%s %s in Nacos: %s %s",
                self._service,
                self._wanted.address,
                seen.shown.value,
                seen.detail,
            )
