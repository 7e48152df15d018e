"""The aperture: the instances of a service that one of many callers prefers.

Where every caller calls every instance, 100 callers and 1,000 instances have 100,000 connections,
each so seldom used that it is closed before its next request. Callers that know of each other share
the instances out instead (Twitter Finagle's deterministic aperture). The instances stand on a ring,
in the order of a hash of their addresses; the callers, ordered alike, cut it into equal parts:

    instances     a b c | d e f | g h i | j k l
    callers         0       1       2       3         with two layers, 0 prefers a to f, 1 d to i,
                                                      2 g to l, 3 j to l and a to c

Each caller prefers as many parts as there are *layers*, from its own part on, so each instance is
preferred by the same number of callers. Who comes or goes moves the borders by a part at most.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from failover.peak_ewma import Member

KEPT_PLACES: Final = 1 << 16
"""Addresses whose place on the ring is kept, for an arc is cut anew after each ejection."""


@dataclass(frozen=True, slots=True)
class Aperture:
    """The share of the instances that one caller prefers.

    Attributes:
        size: how many instances are wanted, about.
        place: of the caller among the callers, from 0.
        callers: how many there are.
    """

    size: int
    place: int
    callers: int

    @classmethod
    def among(cls, callers: Iterable[str], own: str, *, size: int) -> "Aperture":
        """Return a caller's aperture.

        Args:
            callers: the addresses of the callers, in any order; the own one may be missing.
            own: the caller's own address.
            size: how many instances are wanted, about: two thirds to four thirds of that, or as
                many more as it takes for each instance to have a caller.
        """
        order = sorted({own, *callers}, key=place_on_ring)
        return cls(size, order.index(own), len(order))

    def divide(self, members: Sequence[Member]) -> tuple[Sequence[Member], Sequence[Member]]:
        """Return the preferred ones of some members, and the others."""
        count = len(members)
        layers = max(1, round(self.size * self.callers / max(1, count)))
        if layers >= self.callers:
            return members, ()
        ring = sorted(members, key=lambda member: place_on_ring(member.address))
        first = self.place * count // self.callers
        end = (self.place + layers) * count // self.callers
        beyond = max(0, end - count)  # the arc goes past the place where the ring begins
        return ring[first:end] + ring[:beyond], ring[beyond:first] + ring[end:]


@lru_cache(KEPT_PLACES)
def place_on_ring(address: str) -> bytes:
    """Return a hash of an address, the same in every process."""
    return blake2b(address.encode(), digest_size=8).digest()
