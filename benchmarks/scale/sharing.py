"""Ways of sharing instances out among gateways, compared without chance: who gets which.

ring          the aperture of the real gateway
rendezvous    each gateway takes the instances whose hash together with its own is the highest
shuffle       "deterministic subsetting" of Site Reliability Engineering (O'Reilly, 2016), ch. 20:
              gateways of a round take one slice each of a list that is shuffled for the round
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from failover import Aperture, EjectionPolicy, Instance, Member

Shares = Mapping[str, frozenset[str]]
"""The instances of each gateway, by address."""
SAMPLE = 10
"""Instances, and gateways, that leave: each alone, the figures are their average."""
UNEVEN = 0.5
"""The spread of gateways that are not asked alike: the logarithm's standard deviation."""


def ring(gateways: Sequence[str], instances: Sequence[str], size: int) -> Shares:
    """Share out as the real gateway does."""
    members = [_member(address) for address in instances]
    return {
        own: frozenset(
            member.address for member in Aperture.among(gateways, own, size=size).divide(members)[0]
        )
        for own in gateways
    }


def _member(address: str) -> Member:
    ip, port = address.split(":")
    return Member(Instance(ip, int(port)), EjectionPolicy(), limit=1, cost=0.0, now=0.0)


def rendezvous(gateways: Sequence[str], instances: Sequence[str], size: int) -> Shares:
    """Share out by the highest hashes of pairs."""

    def best(own: str) -> frozenset[str]:
        def rank(address: str) -> bytes:
            return blake2b(f"{own} {address}".encode(), digest_size=8).digest()

        return frozenset(sorted(instances, key=rank)[:size])

    return {own: best(own) for own in gateways}


def shuffle(gateways: Sequence[str], instances: Sequence[str], size: int) -> Shares:
    """Share out by slices of shuffled lists; a gateway's number is its place in the list."""
    slices = max(1, len(instances) // size)
    shares = {}
    for number, own in enumerate(gateways):
        listed = list(instances)
        random.Random(number // slices).shuffle(listed)
        first = number % slices * size
        shares[own] = frozenset(listed[first : first + size])
    return shares


METHODS: Mapping[str, Callable[[Sequence[str], Sequence[str], int], Shares]] = {
    "ring": ring, "rendezvous": rendezvous, "shuffle": shuffle,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Balance:
    """The loads of instances as multiples of the mean, and what a change costs.

    Attributes:
        method: of sharing out.
        gateways: how many there are.
        instances: how many there are.
        size: instances wanted of each gateway.
        connections: pairs of a gateway and an instance.
        most: load of the busiest instance, with gateways that are asked alike.
        least: load of the idlest one.
        most_uneven: load of the busiest instance, with gateways that are not asked alike.
        instance_leaves: new pairs once an instance has left, on average.
        gateway_leaves: new pairs once a gateway has left, on average.
    """

    method: str
    gateways: int
    instances: int
    size: int
    connections: int
    most: float
    least: float
    most_uneven: float
    instance_leaves: float
    gateway_leaves: float


def balance(method: str, gateways: Sequence[str], instances: Sequence[str], size: int) -> Balance:
    """Share out, and take some instances and gateways away, each alone."""
    share = METHODS[method]
    before = share(gateways, instances, size)
    dice = random.Random(11)
    even = _loads(before, instances, dict.fromkeys(gateways, 1.0))
    asked = {one: dice.lognormvariate(0.0, UNEVEN) for one in gateways}
    uneven = _loads(before, instances, asked)
    without_one = [
        share(gateways, [one for one in instances if one != gone], size)
        for gone in dice.sample(instances, min(SAMPLE, len(instances)))
    ]
    without_gateway = [
        share([one for one in gateways if one != gone], instances, size)
        for gone in dice.sample(gateways, min(SAMPLE, len(gateways)))
    ]
    return Balance(
        method, len(gateways), len(instances), size, sum(map(len, before.values())),
        max(even), min(even), max(uneven),
        sum(_new(before, after) for after in without_one) / len(without_one),
        sum(_new(before, after) for after in without_gateway) / len(without_gateway),
    )  # fmt: skip


def _loads(shares: Shares, instances: Sequence[str], asked: Mapping[str, float]) -> Sequence[float]:
    """Return each instance's load as a multiple of the mean."""
    got: Counter[str] = Counter()
    for gateway, mine in shares.items():
        for address in mine:
            got[address] += asked[gateway] / len(mine)  # type: ignore[assignment]
    mean = sum(asked.values()) / len(instances)
    return [got[address] / mean for address in instances]


def _new(before: Shares, after: Shares) -> int:
    return sum(len(mine - before[gateway]) for gateway, mine in after.items())
