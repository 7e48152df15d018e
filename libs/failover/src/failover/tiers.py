"""The order in which groups of instances get requests.

    1 in traffic, own cluster     2 in traffic, other clusters
    3 ejected                     4 unhealthy in Nacos (while its protect threshold is hit,
                                    discovery calls all healthy: the few left would drown)

A later group is used only when no instance of an earlier group is left to try, so that nothing is
refused while any instance might still answer. An instance that has no room at the moment is still
"left": requests wait for it, or go from the own cluster to others, but not to instances out of
traffic.

The last attempt that a request has goes to other clusters before its own: the earlier ones failed
in the own one, and what failed there may be the whole zone.

A *canary* is in none of these groups, except for a request whose subset asks for labels that the
canary has. Where a service has canaries only, they are its instances.

Where an *aperture* is set, each group in traffic is two groups: first the instances that the
aperture prefers, then the others, which get a request only when no preferred one has room or is
left.

*Panic*: when judgement (not a refusal or a drain, which are proof) has taken so many out that too
few are in traffic, the judgement is more likely wrong than the instances, and those count as in
traffic again (Envoy's panic threshold, 50 %).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from failover.aperture import Aperture
from failover.ejection import PROOF
from failover.group import Group
from failover.instance import Instance
from failover.peak_ewma import Member

Labels = tuple[tuple[str, str], ...]
Groups = Sequence[Sequence[Member]]


class Tiers:
    """Groups of instances in the order in which they get requests; none is empty.

    Attributes:
        groups: all of them.
        last: all of them, in the order for the last attempt of a request.
        serving: how many groups, from the first, are in traffic.
    """

    __slots__ = ("groups", "last", "serving")

    def __init__(self, serving: Iterable[tuple[Groups, Groups]], others: Groups) -> None:
        """Leave empty groups out.

        Args:
            serving: the groups in traffic, in pairs: of the own cluster, and of other clusters.
            others: the groups out of traffic.
        """
        inside: list[Group] = []
        last: list[Group] = []
        for pair in serving:
            own, other = ([Group(members) for members in groups if members] for groups in pair)
            inside += own + other
            last += other + own
        outside = [Group(members) for members in others if members]
        self.groups = (*inside, *outside)
        self.last = (*last, *outside)
        self.serving = len(inside)


@dataclass(frozen=True, slots=True)
class Subset:
    """Instances by metadata: those that have `labels`, and none of the `without` label sets."""

    labels: Labels = ()
    without: tuple[Labels, ...] = ()

    def matches(self, instance: Instance) -> bool:
        """Return whether an instance belongs to this subset."""
        return _has(instance, self.labels) and not any(
            _has(instance, labels) for labels in self.without
        )


EVERYBODY: Final = Subset()


def eligible(members: Iterable[Member], subset: Subset = EVERYBODY) -> list[Member]:
    """Return the members that a request may meet: all but the canaries it does not ask for.

    If these are none, every member: then the canaries are all there is.
    """
    everyone = list(members)
    asked = bool(subset.labels)
    return [
        member
        for member in everyone
        if not member.instance.canary or (asked and subset.matches(member.instance))
    ] or everyone


def arrange(
    members: Iterable[Member],
    *,
    cluster: str,
    subset: Subset = EVERYBODY,
    aperture: Aperture | None = None,
    panic: float = 0.5,
) -> Tiers:
    """Group members in the order in which they get requests.

    Args:
        members: those that are enabled and have a weight.
        cluster: the caller's own.
        subset: preferred instances; within each group, the others come after all of these.
        aperture: the part of each group in traffic that comes first; None: all alike.
        panic: share in traffic under which ejections by judgement are ignored.
    """
    members = eligible(members, subset)
    healthy = [member for member in members if member.instance.healthy]
    unhealthy = [member for member in members if not member.instance.healthy]
    serving = [member for member in healthy if member.ejection.cause is None]
    ejected = [member for member in healthy if member.ejection.cause is not None]
    if len(serving) < panic * len(healthy):
        serving += [m for m in ejected if m.ejection.cause not in PROOF]
        ejected = [m for m in ejected if m.ejection.cause in PROOF]
    inside: Groups = (serving,)
    outside: Groups = (ejected, unhealthy)
    if subset is not EVERYBODY:
        inside, outside = _preferring(subset, inside), _preferring(subset, outside)
    pairs = [by_cluster(group, cluster) for group in inside]
    return Tiers(
        [(narrowed(own, aperture), narrowed(other, aperture)) for own, other in pairs], outside
    )


def by_cluster(
    members: Sequence[Member], cluster: str
) -> tuple[Sequence[Member], Sequence[Member]]:
    """Split members: those of the caller's own cluster, those of other clusters."""
    own = [member for member in members if member.instance.cluster == cluster]
    other = [member for member in members if member.instance.cluster != cluster]
    return own, other


def narrowed(group: Sequence[Member], aperture: Aperture | None) -> Groups:
    """Split a group: the instances that the aperture prefers, then the others."""
    return (group,) if aperture is None else aperture.divide(group)


def _preferring(subset: Subset, groups: Groups) -> Groups:
    """Split each group: first the members in the subset, then those that are not."""
    return [
        [member for member in group if subset.matches(member.instance) is inside]
        for inside in (True, False)
        for group in groups
    ]


def _has(instance: Instance, labels: Labels) -> bool:
    return all(instance.metadata.get(name) == value for name, value in labels)
