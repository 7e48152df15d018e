"""Following the instances of a service: one snapshot, swapped whole, read without locks or awaits.

Pushes make the snapshot quick; questions make it right, whatever push was lost. After each change a
question follows within ten seconds. Once its answer says what is known already, pushes are trusted,
and the next question comes within two minutes. After an answer that no push had told, the next
question subscribes anew.
"""

import asyncio
import logging
import math
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from failover import Instance

from nacos_client.errors import NacosError, Unreachable
from nacos_client.ports import Feed, Listing, ServiceKey
from nacos_client.reconcile import Reconciler
from nacos_client.runtime import Runtime
from nacos_client.snapshot import Doubt, Known, Snapshot, Unknown, aged, judge
from nacos_client.store import Store

log = logging.getLogger(__name__)

RECONCILE_SECONDS = 10
"""Seconds, at most, from a change to the next question about a service."""
RARE_SECONDS = 120
"""Seconds, at most, between two questions once an answer was known before: this is how long a lost
push stays unnoticed. To ask about hundreds of services more often is what costs while idle."""
SLOTS = 10
"""A period has this many slots; services of the same slot ask at the same time, because gRPC
takes a third of the CPU for fifty calls at once that it takes for fifty calls one by one."""
SOON_SECONDS = 0.05
"""Seconds before its slot in which a service counts as having just asked."""


@dataclass(eq=False, slots=True)
class _Subscriber:
    call: Callable[[Snapshot], None]
    loop: asyncio.AbstractEventLoop
    told: Snapshot | None = None


class Discovery:
    """The known instances of one service; made by `Nacos.discover`."""

    def __init__(
        self,
        runtime: Runtime,
        feed: Feed,
        service: ServiceKey,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self._runtime = runtime
        self._feed = feed
        self._slot = zlib.crc32(str(service).encode()) % SLOTS
        self._store = store
        self._clock = clock
        self._loop = Reconciler(service, feed, self._turn)
        self._pushed: Listing | None = None
        self._doubt: Doubt | None = None
        self._connection: str | None = None
        self._listed: Listing | None = None
        self._confirmed = False
        self._missed = False
        self._vouched = False
        self._reconnected_at = -math.inf
        self._subscribers: list[_Subscriber] = []
        self._writing = threading.Lock()
        self._worth_keeping: Known | None = None
        self._kept: Known | None = None
        self._snapshot: Snapshot = self._from_disk()
        self._existed = isinstance(self._snapshot, Known)

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot. A plain read, from any thread."""
        return self._snapshot

    @property
    def existed(self) -> bool:
        """True if the service has had instances, in this process or by the copy on disk."""
        return self._existed

    @property
    def age(self) -> float:
        """Seconds since Nacos last vouched for the snapshot; infinite if Nacos never did.

        Nacos vouches by answers, and from one to the next by the connection on which it pushes
        changes.
        """
        if self._vouched:
            return 0.0
        return self._snapshot.age if isinstance(self._snapshot, Known) else math.inf

    @property
    def patience(self) -> float:
        """Seconds from the last turn to the next one, unless something happens before."""
        return self._loop.patience

    @property
    def plain_state(self) -> dict[str, Any]:
        """The state in plain values, for a readiness answer."""
        snapshot, trouble = self._snapshot, self._loop.trouble
        known = snapshot if isinstance(snapshot, Known) else None
        return {
            "ok": known is not None and not self._loop.denied,
            "instances": len(known.instances) if known else None,
            "stale": known.stale if known else True,
            "source": known.source if known else None,
            "protected": known.protected if known else False,
            "trouble": str(trouble) if trouble else None,
        }

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call `callback` on this event loop: soon with the present snapshot, then on each change.

        When a callback raises, the error is logged and the other callbacks are called all the same.

        Returns:
            a function that ends the subscription; calling it again does nothing.
        """
        subscriber = _Subscriber(callback, asyncio.get_running_loop())
        self._subscribers.append(subscriber)
        subscriber.loop.call_soon(self._tell, subscriber, self._snapshot)

        def stop() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return stop

    async def known(self, deadline: float = 3.0) -> Known:
        """Wait for an answer of Nacos; after `deadline` seconds take the copy from disk.

        Raises:
            Unreachable: nothing is known by then.
        """
        found: asyncio.Future[Known] = asyncio.get_running_loop().create_future()

        def look(snapshot: Snapshot) -> None:
            if isinstance(snapshot, Known) and snapshot.source == "nacos" and not found.done():
                found.set_result(snapshot)

        stop = self.subscribe(look)
        try:
            async with asyncio.timeout(deadline):
                return await found
        except TimeoutError as error:
            if isinstance(self._snapshot, Known):
                return self._snapshot
            raise Unreachable(f"{self.service} is not known yet: {self._loop.trouble}") from error
        finally:
            stop()

    def wait(self, deadline: float = 3.0) -> Known:
        """Do as `known` does, for code without an event loop.

        Raises:
            Unreachable: nothing is known after `deadline` seconds.
        """
        return self._runtime.submit(self.known(deadline)).result()

    async def follow(self) -> None:
        """Follow the service until cancelled; runs on the Nacos thread."""
        await self._loop.run()

    async def _turn(self) -> float:
        """Take the pushed list, or ask for it; returns the seconds until the next question."""
        pushed, self._pushed = self._pushed, None
        try:
            listing = await self._ask(pushed)
        except NacosError:
            self._grow_old()
            raise
        now = self._clock()
        if listing is None:
            self._grow_old()
            return until_slot(self._slot, now, RECONCILE_SECONDS)
        self._vouched = True
        snapshot, self._doubt = judge(
            self._snapshot, listing, self._doubt, now=now, reconnected_at=self._reconnected_at
        )
        self._put(snapshot)
        period = RARE_SECONDS if self._confirmed else RECONCILE_SECONDS
        patience = until_slot(self._slot, now, period)
        if self._doubt is not None:
            return min(patience, max(0.05, self._doubt.until - now))
        return patience

    async def _ask(self, pushed: Listing | None) -> Listing | None:
        connection = self._feed.connection
        if connection is None:
            return None
        if connection != self._connection:
            listing = await self._feed.subscribe(self.service, self._push)
            self._learn(listing, confirmed=False, missed=False)
            if self._connection is not None or isinstance(self._snapshot, Known):
                self._reconnected_at = self._clock()
            self._connection = connection
            self._doubt = None  # this connection has told the suspicious list once only
            return listing
        if pushed is not None:
            known = self._confirmed and _alike(self._listed, pushed)
            return self._learn(pushed, confirmed=known, missed=False)
        if self._missed:
            listing = await self._feed.subscribe(self.service, self._push)
        else:
            listing = await self._feed.instances(self.service)
        known = _alike(self._listed, listing)
        return self._learn(listing, confirmed=known, missed=not known)

    def _learn(self, listing: Listing, *, confirmed: bool, missed: bool) -> Listing:
        """Remember what Nacos said, whether that was known before, or a push of it was missed."""
        self._listed, self._confirmed, self._missed = listing, confirmed, missed
        return listing

    def _grow_old(self) -> None:
        """Let the snapshot age, now that Nacos does not vouch for it."""
        now = self._clock()
        if self._vouched and isinstance(self._snapshot, Known):
            self._put(replace(self._snapshot, observed_at=now))  # until now the connection did
        self._vouched = False
        self._put(aged(self._snapshot, now))

    def _push(self, listing: Listing) -> None:
        self._pushed = listing
        self._loop.bell.ring()

    def _put(self, snapshot: Snapshot) -> None:
        before, self._snapshot = self._snapshot, snapshot
        if _same(before, snapshot):
            return
        if isinstance(snapshot, Known) and snapshot.source == "nacos" and not snapshot.held:
            # Nacos answers an empty list for any name, so a service that never had an instance is
            # not kept on disk.
            self._existed = self._existed or bool(snapshot.instances)
            if self._existed:
                self._save(snapshot)
        for subscriber in list(self._subscribers):
            try:
                subscriber.loop.call_soon_threadsafe(self._tell, subscriber, snapshot)
            except RuntimeError:  # the subscriber's loop is closed
                self._subscribers.remove(subscriber)

    def _tell(self, subscriber: _Subscriber, snapshot: Snapshot) -> None:
        if subscriber.told is snapshot:
            return
        subscriber.told = snapshot
        try:
            subscriber.call(snapshot)
        except Exception:  # one callback's error must not keep the snapshot from the others
            log.exception("a subscriber of %s raised", self.service)

    def _save(self, snapshot: Known) -> None:
        self._worth_keeping = snapshot
        asyncio.get_running_loop().run_in_executor(None, self._write)

    def _write(self) -> None:
        """Write the newest snapshot to disk, after any write that is under way."""
        with self._writing:
            snapshot = self._worth_keeping
            if snapshot is not None and snapshot is not self._kept:
                value = [_plain(instance) for instance in snapshot.instances]
                self._store.save("service", str(self.service), value)
                self._kept = snapshot

    def _from_disk(self) -> Snapshot:
        stored = self._store.load("service", str(self.service))
        if stored is None:
            return Unknown("Nacos has not answered yet")
        value, age = stored
        try:
            instances = tuple(map(_instance, value))
        except (TypeError, KeyError, ValueError) as error:
            return Unknown(f"Nacos has not answered yet, and the copy on disk is damaged: {error}")
        return Known(instances, "disk", self._clock() - age, stale=True)


def until_slot(slot: int, now: float, period: float) -> float:
    """Return the seconds until a service asks again: until its slot, at most the period.

    Args:
        slot: the number of the service's slot.
        now: monotonic time in seconds.
        period: seconds.
    """
    left = (slot * period / SLOTS - now) % period
    return left if left > SOON_SECONDS else period


def _alike(before: Listing | None, after: Listing) -> bool:
    """Return whether Nacos said the same, in whatever order."""
    if before is None or before.protected != after.protected:
        return False
    return _same_instances(before.instances, after.instances)


def _same(before: Snapshot, after: Snapshot) -> bool:
    """Return whether two snapshots say the same, in whatever order, and however old they are."""
    if isinstance(before, Unknown) or isinstance(after, Unknown):
        return before == after
    if replace(before, instances=(), observed_at=0) != replace(after, instances=(), observed_at=0):
        return False
    return _same_instances(before.instances, after.instances)


def _same_instances(before: tuple[Instance, ...], after: tuple[Instance, ...]) -> bool:
    """Return whether two lists have the same instances, in whatever order."""
    if before == after:  # by far the most frequent answer, and cheap to compare
        return True
    one, other = (sorted(each, key=lambda i: i.address) for each in (before, after))
    return one == other


def _plain(instance: Instance) -> dict[str, Any]:
    fields = ("ip", "port", "weight", "healthy", "enabled", "cluster")
    return {name: getattr(instance, name) for name in fields} | {
        "metadata": dict(instance.metadata)
    }


def _instance(value: dict[str, Any]) -> Instance:
    return Instance(**{**value, "metadata": MappingProxyType(dict(value["metadata"]))})
