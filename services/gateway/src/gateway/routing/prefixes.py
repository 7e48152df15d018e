"""The prefixes of a service: the paths of the gateway below which its own paths lie. Pure."""

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Final

from gateway.routing.table import Route, Table
from gateway.upstream.service import NAME

MAX_PREFIXES = 8
"""Prefixes of one service that are told."""
_NAME: Final = re.compile(NAME)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A path of the gateway that stands for the root of a service.

    Attributes:
        path: put before a path of the service, "" if nothing is.
        route: the name of its route, "" for a call by the service's name.
        below: the gateway's path below which alone the route leads to the service, "" if all of
            the service is reached.
        keyed: a caller needs one of the route's keys.
    """

    path: str
    route: str = ""
    below: str = ""
    keyed: bool = False


def prefixes(table: Table, services: Iterable[str]) -> dict[str, list[Prefix]]:
    """Return the prefixes of services, those first by which all of a service is reached.

    A route has none that matches one path only, that wants more of a request than its path, that
    puts another path in front, or that comes after another of its path: no prefix stands for the
    service's root there.
    """
    routed: dict[str, list[Prefix]] = {}
    first: dict[str, Route] = {}
    for route in table.routes:
        if not (route.exact or route.when):
            first.setdefault(route.path, route)
    for route in first.values():
        if not (route.prefix or route.redirect):
            routed.setdefault(route.service, []).append(_of_route(route))
    return {
        name: _in_order(routed.get(name, ()), by_name=_is_open(table, name, first), name=name)
        for name in services
    }


def _in_order(routed: Iterable[Prefix], *, by_name: bool, name: str) -> list[Prefix]:
    found = [one for one in routed if not one.below]
    if by_name:
        found.append(Prefix(f"/{name}"))
    found += [one for one in routed if one.below]
    first: dict[str, Prefix] = {}
    for one in found:
        first.setdefault(one.path, one)
    return list(first.values())[:MAX_PREFIXES]


def _is_open(table: Table, service: str, taken: Container[str]) -> bool:
    """Return whether calls by the service's name reach it, and no route's path takes them."""
    if table.by_name is not True and not (table.by_name and service in table.by_name):
        return False
    is_taken = "/" in taken or f"/{service}" in taken
    return bool(_NAME.fullmatch(service)) and not is_taken


def _of_route(route: Route) -> Prefix:
    path, strip = route.path.rstrip("/"), route.strip.decode()
    below = "" if path == strip else path
    return Prefix(strip, route.name, below, keyed=route.keys is not None)
