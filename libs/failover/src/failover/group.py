"""Instances of which one is chosen for a request, however many there are.

The weights of the instances that have room stand at the leaves of a binary tree, and each node has
the sum of the two below it. A draw by weight takes as many steps as the tree has levels, 8 for 256
instances, and so does leaving out an instance: one that is full, or that the request has tried.
"""

from collections.abc import Iterable

from failover.peak_ewma import Member


class Group:
    """Instances of which one is chosen for a request.

    An instance that becomes full, or has room again, is told of by `note`.

    Attributes:
        members: one or more, each with a weight.
    """

    __slots__ = ("_leaves", "_places", "_sums", "members")

    def __init__(self, members: Iterable[Member]) -> None:
        """Add up the weights of the members that have room."""
        self.members = tuple(members)
        count = len(self.members)
        self._leaves = 1 << (count - 1).bit_length()
        self._places = {member: place for place, member in enumerate(self.members)}
        self._sums = [0.0] * (2 * self._leaves)
        for place, member in enumerate(self.members):
            self._sums[self._leaves + place] = _weight(member)
        for node in range(self._leaves - 1, 0, -1):
            self._sums[node] = self._sums[2 * node] + self._sums[2 * node + 1]

    def choose(self, now: float, draw: float, tried: tuple[Member, ...] = ()) -> Member | None:
        """Return the instance for the next request, or None if none is left that has room.

        Args:
            now: the clock.
            draw: uniform in [0, 1).
            tried: instances that are left out.
        """
        if len(self.members) == 1:
            only = self.members[0]
            return only if only.in_flight < only.limit and only not in tried else None
        if not tried:
            return self._choose(now, draw)
        for member in tried:
            self._weigh(member, 0.0)
        chosen = self._choose(now, draw)
        for member in tried:
            self.note(member)
        return chosen

    def has_untried(self, tried: tuple[Member, ...]) -> bool:
        """Return whether an instance is not among those that were tried."""
        known = 0
        for member in tried:
            known += member in self._places
        return known < len(self.members)

    def note(self, member: Member) -> None:
        """Learn that a member is full or has room again; nothing happens to one of other groups."""
        self._weigh(member, _weight(member))

    def draw_two(self, draw: float) -> tuple[int, int, float]:
        """Draw two different members that have room, by weight.

        Args:
            draw: uniform in [0, 1).

        Returns:
            The place of the first; that of the second, by the weights of the others, or the first
            again if it is alone; and what is left of the draw, uniform in [0, 1) and independent
            of both.
        """
        everything = self._sums[1]
        point = draw * everything
        first, inside = self._find(point)
        weight = self._sums[self._leaves + first]
        before = point - inside
        point = inside / weight * (everything - weight)
        if point >= before:
            point += weight
        second, inside = self._find(point)
        return first, second, inside / self._sums[self._leaves + second]

    def _choose(self, now: float, draw: float) -> Member | None:
        if self._sums[1] <= 0.0:
            return None
        first, second, left = self.draw_two(draw)
        one, other = self.members[first], self.members[second]
        if first == second:
            return one
        if now < one.ejection.warm_at and left >= one.ejection.warmth(now):
            one, other = other, one
        return other if one.yields_to(other, now) else one

    def _find(self, point: float) -> tuple[int, float]:
        """Return the place whose part of all weights has a point, and how far inside it lies."""
        sums, node = self._sums, 1
        while node < self._leaves:
            node *= 2
            left = sums[node]
            if point >= left and sums[node + 1] > 0.0:  # rounding may leave a point behind the last
                point -= left
                node += 1
        return node - self._leaves, point

    def _weigh(self, member: Member, weight: float) -> None:
        place = self._places.get(member, -1)
        if place < 0:
            return
        sums, node = self._sums, self._leaves + place
        sums[node] = weight
        while node > 1:
            node //= 2
            sums[node] = sums[2 * node] + sums[2 * node + 1]


def _weight(member: Member) -> float:
    return member.weight if member.in_flight < member.limit else 0.0
