"""The known instances of a service, and the rules by which a new answer of Nacos is believed.

Pure: lists, times and facts come in, a snapshot comes out.
"""

import time
from dataclasses import dataclass, replace
from typing import Literal

from failover import Instance

from nacos_client.ports import Listing

STALE_SECONDS = 35.0
"""Seconds without a connection to Nacos, or without an answer, until a snapshot counts as stale."""
HOLD_SECONDS = 5.0
"""Seconds for which instances that vanished together are kept, while Nacos is asked again."""
REJOIN_SECONDS = 35.0
"""Seconds after a reconnect in which a shrunken list may only mean that providers are not back yet:
Nacos forgets ephemeral instances when it restarts, and SDK clients register again up to 30 s later.
"""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nothing is known yet, from Nacos or from disk; this is not the same as no instance."""

    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """The instances of a service. Immutable: a change is a new snapshot.

    Attributes:
        instances: the enabled instances, healthy or not.
        source: an answer of Nacos, or the disk, where an earlier process left them.
        observed_at: monotonic time in seconds at which Nacos last vouched for this list: of its
            answer, or of the end of the connection on which Nacos would have pushed a change.
        stale: True if Nacos does not vouch for this list at present.
        held: the number of instances that Nacos no longer lists, kept until that is confirmed.
        protected: True if so few are healthy that Nacos wants calls spread over all, lest the last
            healthy ones drown (its protect threshold): each is `healthy`, which proves nothing.
    """

    instances: tuple[Instance, ...]
    source: Literal["nacos", "disk"]
    observed_at: float
    stale: bool = False
    held: int = 0
    protected: bool = False

    @property
    def age(self) -> float:
        """Seconds since Nacos last vouched for this list; `Discovery.age` knows of connections."""
        return time.monotonic() - self.observed_at


Snapshot = Unknown | Known


@dataclass(frozen=True, slots=True)
class Doubt:
    """The time, monotonic seconds, in which a suspicious list is not believed yet."""

    since: float
    until: float


def suspicious(known: tuple[Instance, ...], listed: tuple[Instance, ...]) -> bool:
    """Return whether a list is empty, or less than half as long as the known one."""
    return bool(known) and (not listed or len(listed) * 2 < len(known))


def judge(
    current: Snapshot, listing: Listing, doubt: Doubt | None, *, now: float, reconnected_at: float
) -> tuple[Known, Doubt | None]:
    """Decide what is known after an answer of Nacos.

    A list that lost most of the known instances is not believed at once: the instances that it
    lists are taken, those that it misses are kept, and the doubt says until when. A list that
    comes after that time is believed.

    Args:
        current: the snapshot before the answer.
        listing: the answer.
        doubt: the doubt that the previous call returned.
        now: monotonic time of the answer.
        reconnected_at: monotonic time at which Nacos was last found again; -inf for never.
    """
    protected = listing.protected
    truth = Known(_callable(listing.instances, protected), "nacos", now, protected=protected)
    if isinstance(current, Unknown) or not suspicious(current.instances, listing.instances):
        return truth, None
    if doubt is None:
        rejoining = now - reconnected_at < REJOIN_SECONDS
        doubt = Doubt(now, reconnected_at + REJOIN_SECONDS if rejoining else now + HOLD_SECONDS)
    if now >= doubt.until:
        return truth, None
    listed = {instance.address for instance in listing.instances}
    held = tuple(i for i in current.instances if i.address not in listed)
    everything = _callable((*listing.instances, *held), protected)
    return replace(current, instances=everything, held=len(held), protected=protected), doubt


def _callable(instances: tuple[Instance, ...], protected: bool) -> tuple[Instance, ...]:  # noqa: FBT001
    """Return the instances, all of them as healthy while Nacos' protection holds."""
    if not protected:
        return instances
    return tuple(i if i.healthy else replace(i, healthy=True) for i in instances)


def aged(current: Snapshot, now: float) -> Snapshot:
    """Return the snapshot, marked as stale once Nacos has been silent for 35 seconds."""
    if isinstance(current, Unknown) or current.stale or now - current.observed_at < STALE_SECONDS:
        return current
    return replace(current, stale=True)
