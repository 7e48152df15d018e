"""This gateway among its neighbours: the gateways that Nacos lists under the same name.

They share the instances of large services out, each by itself from the same list, so nobody tells
anybody anything. Lists that differ for a moment cost balance, and no request. Gateways of other
clusters do not count: each cluster's gateways share all instances out among themselves, first those
of their own cluster.
"""

from collections.abc import Callable

from failover import Aperture, in_brackets
from nacos_client import Known, Nacos, Snapshot


async def follow_neighbours(
    nacos: Nacos, name: str, port: int, *, size: int, narrow: Callable[[Aperture], None]
) -> None:
    """Tell the gateway's aperture now and whenever Nacos lists other gateways.

    Args:
        nacos: the client; its close ends the calls.
        name: of the gateways in Nacos.
        port: at which this gateway is announced.
        size: instances that the aperture should have, about.
        narrow: takes the aperture.
    """
    own = f"{in_brackets(await nacos.own_ip())}:{port}"
    cluster = nacos.settings.cluster

    def take(snapshot: Snapshot) -> None:
        if isinstance(snapshot, Known):
            near = [one for one in snapshot.instances if one.healthy and one.cluster == cluster]
            narrow(Aperture.among([one.address for one in near], own, size=size))

    nacos.discover(name).subscribe(take)
