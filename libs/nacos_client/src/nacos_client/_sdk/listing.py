"""The instances of a service, as Nacos spells them over gRPC and HTTP alike."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from failover import Instance

from nacos_client.ports import Listing


def listing_of(hosts: Iterable[Mapping[str, Any]], *, protected: bool) -> Listing:
    """Read a list of instances.

    Raises:
        KeyError, TypeError, ValueError: an instance has no IP or no port.
    """
    return Listing(tuple(map(_instance, hosts)), protected)


def _instance(host: Mapping[str, Any]) -> Instance:
    return Instance(
        ip=str(host["ip"]),
        port=int(host["port"]),
        weight=float(host.get("weight", 1.0)),
        healthy=bool(host.get("healthy", True)),
        enabled=bool(host.get("enabled", True)),
        cluster=str(host.get("clusterName") or "DEFAULT"),
        metadata=MappingProxyType(dict(host.get("metadata") or {})),
    )
