"""An instance as an operator sees it: what Nacos says, and what calling it has taught."""

from typing import Any

from failover import Instance, Member, in_brackets

from gateway.upstream.service import Service


def describe_instance(service: Service, member: Member, now: float) -> dict[str, Any]:
    """Describe an instance in plain values."""
    instance, ejection = member.instance, member.ejection
    pool = service.pools[member]
    return {
        "address": instance.address,
        "cluster": instance.cluster,
        "weight": instance.weight,
        "healthy": instance.healthy,
        "enabled": instance.enabled,
        "metadata": dict(instance.metadata),
        "management": _management(instance),
        "in_flight": member.in_flight,
        "max_in_flight": member.limit,
        "ewma_ms": round(member.cost * 1000, 2),
        "connections": {"open": pool.open, "idle": len(pool.idle)},
        "drained": member.drained,
        "ejected": None
        if ejection.cause is None
        else {
            "reason": ejection.cause.value,
            "probe_in_seconds": round(max(0.0, ejection.until - now), 1),
            "times": ejection.ejections,
        },
        "warmth": round(ejection.warmth(now), 2),
    }


def _management(instance: Instance) -> str | None:
    """Return where Spring's metadata say that an instance's own health and metrics are."""
    said = instance.metadata
    if not any(key.startswith("management.") for key in said):
        return None
    host = said.get("management.address") or instance.ip
    port = said.get("management.port") or instance.port
    scheme = "https" if instance.secure else "http"
    context = said.get("management.context-path", "").rstrip("/")
    base = said.get("management.endpoints.web.base-path", "/actuator").rstrip("/")
    return f"{scheme}://{in_brackets(host)}:{port}{context}{base}"
