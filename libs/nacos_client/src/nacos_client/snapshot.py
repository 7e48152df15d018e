"""What is known of a service's instances, and when a new answer is to be believed.

Pure: lists, times and facts come in, a snapshot comes out.
"""

import time
from dataclasses import dataclass, replace
from typing import Literal

from failover import Instance

from nacos_client.ports import Listing

STALE_SECONDS = 35.0
"""Three missed reconciles and some: from then on Nacos no longer vouches for a snapshot."""
HOLD_SECONDS = 5.0
"""How long an instance that vanished in a crowd is kept, to be confirmed by asking again."""
REJOIN_SECONDS = 35.0
"""How long after a reconnect a shrunken list may only mean that providers are not back yet: Nacos
forgets ephemeral instances when it restarts, and SDK clients register again up to 30 s later."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nacos has not answered yet and there is nothing from earlier; not the same as no instance."""

    reason: str


@dataclass(frozen=True, slots=True)
class Known:
    """The instances of a service. Immutable: a change is a new snapshot.

    Attributes:
        instances: enabled ones, healthy or not.
        source: where they come from: an answer of Nacos, or the disk from an earlier life.
        observed_at: monotonic time in seconds at which Nacos last vouched for them.
        stale: Nacos does not vouch for them at present.
        held: how many of them Nacos no longer lists, kept until that is confirmed.
        protected: so few are healthy that Nacos wants calls spread over all of them, lest the last
            ones drown (its protect threshold): `healthy` is true of each, and proves nothing.
    """

    instances: tuple[Instance, ...]
    source: Literal["nacos", "disk"]
    observed_at: float
    stale: bool = False
    held: int = 0
    protected: bool = False

    @property
    def age(self) -> float:
        """Seconds since Nacos last vouched for this list."""
        return time.monotonic() - self.observed_at


Snapshot = Unknown | Known


@dataclass(frozen=True, slots=True)
class Doubt:
    """A list that is not believed yet: since when, and until when it must be repeated."""

    since: float
    until: float


def suspicious(known: tuple[Instance, ...], listed: tuple[Instance, ...]) -> bool:
    """True if a list is empty, or less than half as long as what was known."""
    return bool(known) and (not listed or len(listed) * 2 < len(known))


def judge(
    current: Snapshot, listing: Listing, doubt: Doubt | None, *, now: float, reconnected_at: float
) -> tuple[Known, Doubt | None]:
    """Decide what is known after an answer of Nacos.

    A list that lost most of what was known is not believed at once: what it lists is taken, what
    it misses is kept, and the doubt says until when. An answer after that is believed.

    Args:
        current: what was known before.
        listing: the answer.
        doubt: what the previous call returned.
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
    """Put no instance behind another for its health while Nacos' protection holds."""
    if not protected:
        return instances
    return tuple(i if i.healthy else replace(i, healthy=True) for i in instances)


def aged(current: Snapshot, now: float) -> Snapshot:
    """Return the snapshot as it is while Nacos is silent: stale after 35 seconds."""
    if isinstance(current, Unknown) or current.stale or now - current.observed_at < STALE_SECONDS:
        return current
    return replace(current, stale=True)
