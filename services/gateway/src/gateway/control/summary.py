"""The summary of a worker: what the console asks for, made before it crosses the line.

A worker may follow thousands of instances, and what it is asked for takes time from requests. So
each service is a few figures, and instances are described only where somebody looks at them, or
where something is wrong with them.
"""

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from failover import TABLE, Outcome, Subset
from failover.tiers import Labels

from gateway.control.instances import describe_instance
from gateway.proxy.context import ProxyContext
from gateway.routing.table import Route
from gateway.telemetry.records import Counters
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.service import Service

MAX_TROUBLED = 50
"""Instances that are ejected, drained or unhealthy, and described without being asked for."""


def summarised(
    context: ProxyContext, directory: NacosDirectory, named: Iterable[str]
) -> dict[str, Any]:
    """Sum up the followed services, and describe the instances of those that are named."""
    now, ages = context.clock(), directory.ages()
    present = {
        name: service
        for name, service in directory.services.items()
        if not service.absent and name not in directory.own
    }
    return {
        "services": {
            name: _service(service, ages.get(name), now) for name, service in present.items()
        },
        "instances": {
            name: [
                describe_instance(present[name], member, now)
                for member in present[name].balancer.members.values()
            ]
            for name in named
            if name in present
        },
        "troubled": _troubled(present, now),
        "canaries": [
            compared
            for route, name in context.table.split_routes()
            if name in present
            for compared in _canaries(route, present[name], context.counters)
        ],
        "shadows": [
            (route.name, route.shadow.service)
            for route in context.table.shadowed_routes()
            if route.shadow is not None
        ],
    }


def _service(service: Service, age: float | None, now: float) -> dict[str, Any]:
    balancer = service.balancer
    usable, canaries, serving = balancer.census
    return {
        "known": service.known,
        "age_seconds": None if age is None else round(age, 1),
        "retry_budget": round(balancer.budget.balance(now), 1),
        "queued": len(service.queue),
        "instances": len(balancer.members),
        "usable": usable,
        "canaries": canaries,
        "serving": serving,
        "ejected": len(balancer.out),
        "in_flight": balancer.in_flight,
    }


def _troubled(services: Mapping[str, Service], now: float) -> list[tuple[str, dict[str, Any]]]:
    """Describe instances that are out of traffic, of all services, up to a bound."""
    found: list[tuple[str, dict[str, Any]]] = []
    for name, service in services.items():
        balancer = service.balancer
        usable, canaries, serving = balancer.census
        if len(balancer.members) == usable == canaries + serving and not balancer.out:
            continue
        for member in balancer.members.values():
            is_in_traffic = member.usable and member.instance.healthy
            if not is_in_traffic or member.ejection.cause is not None:
                found.append((name, describe_instance(service, member, now)))
                if len(found) >= MAX_TROUBLED:
                    return found
    return found


def _canaries(route: Route, service: Service, counters: Counters) -> list[dict[str, Any]]:
    """Count what became of attempts at each subset of a split, and at the instances in none."""
    if route.split is None:
        return []
    told, lower = [], 0.0
    shares: dict[Labels, float] = {}
    for upper, subset in route.split.subsets:
        if subset.labels:
            shares[subset.labels] = upper - lower
        lower = upper
    rest = _experience(service, Subset(without=tuple(shares)), counters)
    for labels, share in shares.items():
        told.append(
            {
                "route": route.name,
                "service": service.name,
                "labels": dict(labels),
                "percent": round(share * 100, 1),
                "canary": _experience(service, Subset(labels), counters),
                "rest": rest,
            }
        )
    return told


def _experience(service: Service, subset: Subset, counters: Counters) -> dict[str, Any]:
    """Return how many attempts at the instances of a subset ended well, and how many did not."""
    members = [m for m in service.balancer.members.values() if subset.matches(m.instance)]
    answered = failed = 0
    for member in members:
        key = service.name, member.address
        errors = counters.server_errors.get(key, 0)
        answered += counters.attempt_outcomes.get((*key, Outcome.ANSWERED), 0) - errors
        failed += errors + sum(
            counters.attempt_outcomes.get((*key, outcome), 0)
            for outcome, rule in TABLE.items()
            if rule.strikes
        )
    return {
        "instances": len(members),
        "answered": answered,
        "failed": failed,
        "seconds": median([member.cost for member in members]) if members else None,
    }
