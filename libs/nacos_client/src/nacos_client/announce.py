"""One announced instance of a service, and the audit that keeps Nacos' view of it right.

`Announcement` is the application's side. On the Nacos thread runs an audit: at once after a
connect, and then every three seconds, it asks Nacos what callers are told about the instance, and
mends the difference. That a call returned without an error proves nothing: the state of an
announcement is what the server shows.
"""

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from failover import Instance, in_brackets

from nacos_client.address import LOCATE_SECONDS, trial
from nacos_client.canary import CanaryFollower, published
from nacos_client.errors import BadAddress, Denied, NacosError, Refused, Unreachable
from nacos_client.own_address import is_loopback
from nacos_client.ports import Listing, Naming, ServiceKey, Session
from nacos_client.reconcile import Reconciler
from nacos_client.runtime import Runtime
from nacos_client.watch import Watched
from nacos_client.watchdog import Watchdog

log = logging.getLogger(__name__)

AUDIT_SECONDS = 3.0
"""Seconds between two audits while nothing changes."""
LOOK_SECONDS = 0.2
"""Seconds between two looks while a change is on its way into what Nacos publishes."""
SETTLE_SECONDS = 2.0
"""Seconds after a change in which another answer of Nacos proves nothing: Nacos publishes a change
about half a second after it took the change."""
RETRY_SECONDS = 0.5
"""Seconds from an audit that failed to the next, and from the first refusal to the next claim."""
LONGEST_PAUSE = 15.0
"""Seconds from one claim to the next, at most, however often claims were in vain or refused: the
pauses double until then."""
STALE_SECONDS = 10.0
"""Seconds, three missed audits, after which the last audit says nothing about the present."""
LEAVE_SECONDS = 3.5
"""Seconds for taking the instance out and seeing it gone."""
WITHDRAW_SECONDS = 5.0
"""Seconds for a withdrawal with the end of its connection."""
TRY_SECONDS = 3.0
"""Seconds between two trials of the announced address, while a trial fails."""


class Shown(enum.StrEnum):
    """The comparison of what Nacos shows of the instance with what is wanted."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    AS_WANTED = "as wanted"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class AnnouncementState:
    """The result of the last audit.

    Attributes:
        shown: what Nacos publishes, against what is wanted; UNKNOWN when Nacos cannot be asked.
        wanted: what should be published; None before `announce` and after `withdraw`; its ip is
            "" while the address is not known.
        seen: the instance as Nacos publishes it, if Nacos does.
        detail: what differs, why Nacos could not be asked, or why the instance is held back.
        checked_at: monotonic time of the audit in seconds; 0 before the first.
        healed: how often a difference was mended, and Nacos then seen to show what is wanted.
    """

    shown: Shown
    wanted: Instance | None
    seen: Instance | None = None
    detail: str = ""
    checked_at: float = 0.0
    healed: int = 0


def labels(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Return the metadata of an instance: the caller's, and who registered the instance."""
    return MappingProxyType({"preserved.register.source": "PYTHON", **metadata})


class Announcement:
    """One instance of one service; made by `Nacos.announcement`.

    `announce` belongs after the socket listens, `withdraw` before the socket closes. Every
    announcement has a connection of its own: Nacos keeps one instance of a service for each
    connection, and drops the instance when the connection ends. When the application's event loop
    stands still for longer than `blocked_limit` seconds, the instance is taken out until the loop
    moves again.

    Attributes:
        service: the service of the instance.
        withdrawn: True from `withdraw` until `announce`.
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
        shared: bool = False,
        canary: CanaryFollower | None = None,
    ) -> None:
        """Prepare to announce an instance.

        Args:
            runtime: the Nacos thread.
            open_session: makes a session that is not started.
            service: the service.
            instance: the instance to publish; its ip is ignored.
            locator: called on `announce`; returns a function that finds the ip, or raises
                `Unreachable` or `BadAddress` while there is none.
            blocked_limit: seconds that the application's event loop may stand still.
            ephemeral: see `Nacos.announcement`.
            shared: see `Nacos.announcement`.
            canary: decides whether the instance is a canary; None: it never is.
        """
        self.service = service
        self.withdrawn = False
        self._runtime = runtime
        self._open_session = open_session
        self._wanted = instance
        self._locator = locator
        self._no_address = "its address is not known yet"
        self._unanswered: str | None = None
        self._loopback: str | None = None
        self._watchdog = Watchdog(blocked_limit)
        self._ephemeral = ephemeral
        self._shared = shared
        self._canary = canary
        self._session: Session | None = None
        self._audit: _Audit | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> AnnouncementState:
        """The result of the last audit. A plain read."""
        audit = self._audit
        if audit is None:
            if self._session is None:
                idle = "withdrawn" if self.withdrawn else "not announced"
                return AnnouncementState(Shown.UNKNOWN, None, detail=idle)
            return AnnouncementState(Shown.UNKNOWN, self._wanted, detail=self._no_address)
        state = audit.state
        silent = time.monotonic() - state.checked_at
        if state.checked_at and silent > STALE_SECONDS:
            return replace(state, shown=Shown.UNKNOWN, detail=f"not asked for {silent:.0f} s")
        return state

    @property
    def place(self) -> str:
        """Group and port, which tell this announcement from others of the same service name."""
        return f"{self.service.group}:{self._wanted.port}"

    @property
    def plain_state(self) -> dict[str, Any]:
        """The state in plain values, for a readiness answer."""
        state = self.state
        return {
            "ok": state.shown is Shown.AS_WANTED,
            "shown": state.shown.value,
            "detail": state.detail,
            "warning": self.warning,
            "healed": state.healed,
        }

    @property
    def warning(self) -> str | None:
        """The reason why callers may not reach the announced address, or None.

        The instance connected to this address itself before it was announced, and tries again
        while that fails. It is announced all the same: the way of its callers may be another.
        """
        return self._unanswered or self._loopback

    async def announce(self) -> None:
        """Publish the instance and keep it published; returns at once, whatever Nacos does.

        With NACOS_CANARY it waits for the document that says whether the instance is a canary, for
        three seconds at most.
        """
        locate = self._locator()
        if self._canary is not None:
            await self._canary.start(
                lambda: self._wanted.metadata, lambda: self._runtime.post(self._changed)
            )
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
        """Change the published instance in place; returns at once.

        Arguments that are None change nothing. Metadata are replaced as a whole, but for
        `preserved.register.source`. Before `announce`, this changes what `announce` will publish.
        """
        self._change(metadata=metadata, weight=weight, enabled=enabled)

    def follow(self, watched: Watched[Any], metadata: Callable[[], Mapping[str, str]]) -> None:
        """Publish `metadata()` now, and again whenever a new value of the document is in force.

        The changes arrive in the order of the values; the last one always arrives. They end when
        the client closes. Before `announce`, they change what `announce` will publish. Call this
        on the application's event loop.

        Args:
            watched: the document, started or not.
            metadata: returns all labels of the instance, quickly. When it raises later on, the
                error is logged and the metadata stay as they are.
        """
        self._change(metadata=metadata())
        watched.subscribe(lambda _: self._change(metadata=metadata()))

    async def withdraw(self) -> None:
        """Take the instance out; returns when Nacos no longer shows it, within five seconds.

        If Nacos cannot be asked any more, the end of the connection takes the instance out. A
        persistent instance then stays in Nacos, and the log says so.
        """
        self.withdrawn = True
        if self._session is not None:
            await self._runtime.run(self._end(), WITHDRAW_SECONDS)

    async def abandon(self) -> None:
        """End the connection without telling Nacos before; runs on the Nacos thread."""
        await self._end(leave=False)

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
        self._loopback = None
        if is_loopback(ip):
            self._loopback = f"{ip} is a loopback address: callers on other hosts cannot reach it"
            log.warning("%s: %s", self.service, self._loopback)
        await self._try(ip)
        self._tasks.append(asyncio.create_task(self._try_again(ip), name=f"try {self.service}"))
        wanted = replace(self._published, ip=ip)
        audit = self._audit = _Audit(
            session,
            self.service,
            wanted,
            self._held_back,
            ephemeral=self._ephemeral,
            shared=self._shared,
        )
        await audit.run()

    async def _located(self, locate: Callable[[], str]) -> str:
        """Ask for the address until it is known, in a worker thread: a resolver may hang."""
        while True:
            try:
                return await asyncio.to_thread(locate)
            except (BadAddress, Unreachable) as error:
                if str(error) != self._no_address:
                    log.warning("%s: %s", self.service, error)
                self._no_address = str(error)
            await asyncio.sleep(LOCATE_SECONDS)

    async def _try(self, ip: str) -> None:
        """Connect to the address that is to be announced, and tell what is wrong with it, once."""
        port, before = self._wanted.port, self._unanswered
        self._unanswered = await trial(ip, port)
        if self._unanswered and self._unanswered != before:
            log.warning("%s: %s", self.service, self._unanswered)
        elif before and not self._unanswered:
            log.info("%s: %s:%d answers now", self.service, in_brackets(ip), port)

    async def _try_again(self, ip: str) -> None:
        while self._unanswered:
            await asyncio.sleep(TRY_SECONDS)
            await self._try(ip)

    def _changed(self) -> None:
        """Start an audit of what is wanted now; runs on the Nacos thread."""
        if self._audit is not None:
            self._audit.want(self._published)

    @property
    def _published(self) -> Instance:
        canary = self._canary is not None and self._canary.canary
        return published(self._wanted, canary=canary)

    def _held_back(self) -> str | None:
        if not self._watchdog.blocked:
            return None
        return f"held back: the event loop is blocked for over {self._watchdog.limit:g} s"

    async def _end(self, *, leave: bool = True) -> None:
        session, self._session = self._session, None
        audit, self._audit = self._audit, None
        tasks, self._tasks = self._tasks, []  # a client that starts again has another event loop
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
        if session is not None:
            try:
                if leave and audit is not None:
                    await audit.leave()
            finally:
                await session.close()


def observe(wanted: Instance | None, address: str, listing: Listing) -> AnnouncementState:
    """Compare what is wanted with what callers are told; they never see a disabled instance.

    An address is listed more than once while the processes that share it want different metadata.
    """
    there = (each for each in listing.instances if each.address == address)
    seen = min(there, key=lambda each: len(_differing(wanted, each)), default=None)
    if wanted is None or not wanted.enabled:
        shown = Shown.AS_WANTED if seen is None else Shown.DIFFERENT
        return AnnouncementState(shown, wanted, seen, "out of traffic" if seen is None else "")
    if seen is None:
        return AnnouncementState(Shown.ABSENT, wanted, None, "not in Nacos")
    if differing := _differing(wanted, seen):
        detail = "Nacos shows another " + ", ".join(differing)
        return AnnouncementState(Shown.DIFFERENT, wanted, seen, detail)
    return AnnouncementState(Shown.AS_WANTED, wanted, seen)


def _differing(wanted: Instance | None, seen: Instance) -> list[str]:
    fields = ("weight", "enabled", "cluster", "metadata")
    return [name for name in fields if wanted and getattr(wanted, name) != getattr(seen, name)]


def pause(in_vain: int, refusals: int) -> float:
    """Return the seconds from a claim to the next one, if Nacos does not show what is wanted.

    Args:
        in_vain: earlier claims that did not show.
        refusals: claims in a row of which Nacos refused a part.
    """
    if refusals:
        return min(RETRY_SECONDS * 2.0 ** min(refusals - 1, 10), LONGEST_PAUSE)
    return min(SETTLE_SECONDS * 2.0 ** min(max(in_vain - 1, 0), 10), LONGEST_PAUSE)


class _Audit:
    """The loop that keeps one instance right while its session lasts.

    A claim is one attempt to make Nacos publish what is wanted: a registration (or the removal,
    where nothing is wanted) on the present connection. A claim that does not show within
    `SETTLE_SECONDS`, or that Nacos refuses, is made again, ever more slowly.
    """

    def __init__(
        self,
        session: Naming,
        service: ServiceKey,
        wanted: Instance,
        held_back: Callable[[], str | None],
        *,
        ephemeral: bool,
        shared: bool,
    ) -> None:
        self._loop = Reconciler(f"{service} {wanted.address}", session, self._turn)
        self.state = AnnouncementState(Shown.UNKNOWN, wanted, detail="not asked yet")
        self._session = session
        self._service = service
        self._wanted = wanted
        self._held_back = held_back
        self._ephemeral = ephemeral
        self._shared = shared
        self._claim: tuple[str, Instance | None] | None = None
        self._is_due = False
        self._claimed_at = 0.0
        self._claims_in_vain = 0
        self._refusals = 0
        self._denials = 0
        self._confirmed = False
        self._by_hand = False
        self._told_by_hand: Instance | None = None
        self._refusal = ""

    def want(self, wanted: Instance) -> None:
        """Change what should be published, but for its ip, and audit at once."""
        self._wanted = replace(wanted, ip=self._wanted.ip)
        self._loop.bell.ring()

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
                left_at = time.monotonic()
                while await self._shows(address):
                    if self._shared and time.monotonic() - left_at > SETTLE_SECONDS:
                        log.info("left %s %s to the others there", self._service, address)
                        return
                    await asyncio.sleep(LOOK_SECONDS / 2)
        except (NacosError, TimeoutError) as error:
            # A login that is refused has been told; the end of the connection takes all out then.
            level = logging.INFO if self._session.trouble and self._ephemeral else logging.WARNING
            log.log(level, "withdrawal of %s %s not confirmed: %s", self._service, address, error)
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
            self._note(AnnouncementState(Shown.UNKNOWN, wanted, None, str(error)))
            if isinstance(error, Unreachable):
                self._claim = None
            if not isinstance(error, Denied) or self._session.trouble:
                return RETRY_SECONDS  # without a login this asks nobody: the login has its own pace
            self._denials += 1
            return min(pause(0, self._denials), AUDIT_SECONDS)

    async def _mend(self, connection: str, wanted: Instance | None, reason: str | None) -> float:
        if self._claim != (connection, wanted):
            self._claim, self._is_due = (connection, wanted), True
            self._claims_in_vain = self._refusals = self._denials = 0
        if self._is_due:
            await self._make_claim(wanted)
            self._is_due, self._confirmed = False, False
            self._claimed_at = time.monotonic()
        state = observe(wanted, self._wanted.address, await self._session.instances(self._service))
        self._denials = 0
        if state.shown is Shown.AS_WANTED:
            if self._claims_in_vain:
                self.state = replace(self.state, healed=self.state.healed + 1)
            self._claims_in_vain, self._refusals, self._refusal = 0, 0, ""
            self._confirmed, self._by_hand = True, False
        self._note(replace(state, detail=reason or self._refusal or state.detail))
        if state.shown is Shown.AS_WANTED:
            return AUDIT_SECONDS
        waited = time.monotonic() - self._claimed_at
        left = pause(self._claims_in_vain, self._refusals) - waited
        if left > 0:
            return min(left, LOOK_SECONDS if waited < SETTLE_SECONDS else AUDIT_SECONDS)
        self._is_due = True
        self._claims_in_vain += 1
        # An instance that was shown and vanished may have been disabled by hand, which a
        # registration alone does not undo.
        self._by_hand = (
            self._confirmed or state.shown is Shown.DIFFERENT or self._claims_in_vain > 1
        )
        return 0.0

    async def _make_claim(self, wanted: Instance | None) -> None:
        """Tell Nacos what is wanted; a refusal is kept, to be told and to be tried again later.

        Raises:
            Unreachable: Nacos does not answer.
        """
        try:
            if wanted is None:
                await self._deregister()
            else:
                await self._session.register(self._service, wanted, ephemeral=self._ephemeral)
                await self._tell_by_hand(wanted)
        except Unreachable:
            raise
        except NacosError as error:
            self._refusals += 1
            self._refusal = str(error)
        else:
            self._refusals, self._refusal = 0, ""

    async def _tell_by_hand(self, wanted: Instance) -> None:
        """Say over HTTP what is wanted, where somebody said something else there.

        What Nacos was told by hand outweighs every registration, and so a later change as well:
        once this audit has used that way, it has to go on using it.

        Raises:
            Refused: that is not possible; the registration holds all the same.
        """
        if not self._by_hand and self._told_by_hand in (None, wanted):
            return
        try:
            await self._session.override(self._service, wanted, ephemeral=self._ephemeral)
        except NacosError as error:
            raise Refused(f"changed by hand in Nacos, and not undone: {error}") from error
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
