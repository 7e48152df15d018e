"""Where instances in traffic are asked for what they tell of themselves, in plain values."""

from collections.abc import Iterable
from typing import Any

from failover import Instance, Member
from nacos_client.ports import ServiceKey

from gateway.upstream.directory import NacosDirectory
from gateway.upstream.namespaces import divided
from gateway.upstream.service import Service

MAX_PLACES = 16
"""Instances of one service that are told of."""


def places(directory: NacosDirectory, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return places of each followed service of these names, canaries first, then by address."""
    found = {}
    for name in names:
        service = directory.services.get(name)
        if service is not None and name not in directory.own:
            instances = in_traffic(service)
            instances.sort(key=lambda one: (not one.canary, one.address))
            found[name] = [place_of(service, one) for one in instances[:MAX_PLACES]]
    return found


def in_traffic(service: Service) -> list[Instance]:
    """Return the instances of a service that get requests, canaries too."""
    return [one.instance for one in service.balancer.members.values() if _is_in_traffic(one)]


def place_of(service: Service, instance: Instance) -> dict[str, Any]:
    """Return where an instance is asked, and the version that its metadata say."""
    said = instance.metadata
    return {
        "service": ServiceKey.read(divided(service.name)[1], None, "").name,
        "host": instance.ip,
        "port": instance.port,
        "secure": instance.secure,
        "root": service.context_path.decode(),
        "version": said.get("model_version") or said.get("version", ""),
    }


def _is_in_traffic(member: Member) -> bool:
    return member.usable and member.instance.healthy and member.ejection.cause is None
