"""The services whose API documents readers want: where each is asked, and below which paths it is.

Made by a worker, which follows the services and has the routes; a few words for each service, so
that 200 services with 50 instances each are a small answer.
"""

from dataclasses import asdict
from itertools import islice
from typing import Any

from gateway.control.places import in_traffic, place_of
from gateway.proxy.context import ProxyContext
from gateway.routing.prefixes import prefixes
from gateway.upstream.directory import NacosDirectory
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
    instances = in_traffic(service)
    if not instances:
        return None
    return place_of(service, min(instances, key=lambda one: (one.canary, one.address)))
