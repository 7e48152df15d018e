"""In which order groups of instances are asked.

    1 in traffic, own cluster     2 in traffic, other clusters
    3 ejected                     4 unhealthy in Nacos (while its protect threshold is hit,
                                    discovery calls all healthy: the few left would drown)

A later group is used only when no instance of an earlier one is left, so that nothing is refused
while anybody might still answer. *Panic*: when judgement (not refusal, which is proof) has taken so
many out that too few are in traffic, the judgement is more likely wrong than the instances, and
those count as in traffic again (Envoy's panic threshold, 50 %).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from failover.balance import Member
from failover.ejection import Cause
from failover.instance import Instance

Labels = tuple[tuple[str, str], ...]
Tiers = tuple[Sequence[Member], ...]


@dataclass(frozen=True, slots=True)
class Subset:
    """Instances by metadata: those that have `labels`, and none of the `without` label sets."""

    labels: Labels = ()
    without: tuple[Labels, ...] = ()

    def matches(self, instance: Instance) -> bool:
        """Whether an instance belongs to this subset."""
        return _has(instance, self.labels) and not any(
            _has(instance, labels) for labels in self.without
        )


EVERYBODY = Subset()


def arrange(
    members: Iterable[Member], *, cluster: str, subset: Subset = EVERYBODY, panic: float = 0.5
) -> Tiers:
    """Group members in the order in which they are asked; no group is empty.

    Args:
        members: those that are enabled and have a weight.
        cluster: the caller's own.
        subset: preferred instances; within each group, the others come after all of these.
        panic: share in traffic under which ejections by judgement are ignored.
    """
    healthy = [member for member in members if member.instance.healthy]
    unhealthy = [member for member in members if not member.instance.healthy]
    serving = [member for member in healthy if member.conduct.cause is None]
    ejected = [member for member in healthy if member.conduct.cause is not None]
    if len(serving) < panic * len(healthy):
        serving += [m for m in ejected if m.conduct.cause is not Cause.REFUSED]
        ejected = [m for m in ejected if m.conduct.cause is Cause.REFUSED]
    own = [member for member in serving if member.instance.cluster == cluster]
    other = [member for member in serving if member.instance.cluster != cluster]
    groups: Tiers = (own, other, ejected, unhealthy)
    if subset is not EVERYBODY:
        inside = [[m for m in group if subset.matches(m.instance)] for group in groups]
        outside = [[m for m in group if not subset.matches(m.instance)] for group in groups]
        groups = (*inside[:2], *outside[:2], *inside[2:], *outside[2:])
    return tuple(tuple(group) for group in groups if group)


def _has(instance: Instance, labels: Labels) -> bool:
    return all(instance.metadata.get(name) == value for name, value in labels)
