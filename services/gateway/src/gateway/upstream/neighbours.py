"""This gateway among its neighbours: the gateways that Nacos lists under the same name.

They divide the limits of routes among themselves and share the instances of large services out,
each by itself from the same list, so nobody tells anybody anything. Lists that differ for a moment
cost balance, and a limit may be over by the part of one gateway; no request is lost by that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from failover import Aperture, Instance, in_brackets
from nacos_client import Known, Nacos, Snapshot


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The gateways of one name that serve, with this one.

    Attributes:
        own: the address at which this gateway is announced.
        others: the other gateways.
    """

    own: str
    others: tuple[Instance, ...]

    @classmethod
    def among(cls, own: str, listed: Iterable[Instance]) -> Self:
        """Take the gateways that are listed in Nacos, with or without this one."""
        serving = (one for one in listed if one.healthy and one.enabled and one.address != own)
        return cls(own, tuple(serving))

    @property
    def place(self) -> tuple[int, int]:
        """Return how many gateways there are, and this one's place among them, from 0."""
        others = {one.address for one in self.others}
        return 1 + len(others), sum(address < self.own for address in others)

    def aperture(self, cluster: str, size: int) -> Aperture:
        """Return this gateway's share of the instances.

        Gateways of other clusters do not count: each cluster's gateways share all instances out
        among themselves, first those of their own cluster.

        Args:
            cluster: of this gateway.
            size: instances that the aperture should have, about.
        """
        near = [one.address for one in self.others if one.cluster == cluster]
        return Aperture.among(near, self.own, size=size)


async def follow_neighbours(
    nacos: Nacos, name: str, port: int, tell: Callable[[Neighbours], None]
) -> None:
    """Tell the neighbours now and whenever Nacos lists other gateways.

    Args:
        nacos: the client; its close ends the calls.
        name: of the gateways in Nacos.
        port: at which this gateway is announced.
        tell: takes the neighbours.
    """
    # Not from the announcement, which knows it later: a copy on disk lists this gateway itself.
    own = f"{in_brackets(await nacos.own_ip())}:{port}"

    def take(snapshot: Snapshot) -> None:
        if isinstance(snapshot, Known):
            tell(Neighbours.among(own, snapshot.instances))

    nacos.discover(name).subscribe(take)
