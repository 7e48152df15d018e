"""The services whose API documents readers want: where each is asked, and below which paths it is.

Made by a worker, which follows the services and has the routes; a few words for each service, so
that 200 services with 50 instances each are a small answer.
"""

from dataclasses import asdict
from itertools import islice
from typing import Any

from failover import Member
from nacos_client.ports import ServiceKey

from gateway.proxy.context import ProxyContext
from gateway.routing.prefixes import prefixes
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.namespaces import divided
from gateway.upstream.service import Service

MAX_DOCUMENTED = 1000
"""Services that are told of."""


def documented(context: ProxyContext, directory: NacosDirectory) -> dict[str, dict[str, Any]]:
    """Return what a reader of API documents needs of each service, in plain values by its name.

    `asked` is the instance to ask, None if none is in traffic; `prefixes` are the gateway's paths
    that stand for the service's root.
    """
    present = (
        (name, service)
        for name, service in directory.services.items()
        if not service.absent and name not in directory.own
    )
    told = dict(islice(present, MAX_DOCUMENTED))
    found = prefixes(context.table, told)
    return {
        name: {"asked": _asked(service), "prefixes": [asdict(one) for one in found[name]]}
        for name, service in told.items()
    }


def _asked(service: Service) -> dict[str, Any] | None:
    """Choose an instance in traffic, always the same one while it is; a canary is the last choice.

    Its version is told, and a document is kept while the version is the same.
    """
    members = [one for one in service.balancer.members.values() if _is_in_traffic(one)]
    if not members:
        return None
    instance = min(members, key=lambda one: (one.instance.canary, one.address)).instance
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
