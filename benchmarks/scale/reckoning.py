"""A large fleet on paper: unit costs times counts, each row with how it is reckoned."""

from benchmarks.scale.costs import Costs
from benchmarks.scale.fleet import Plan

WORKERS = 4
"""Workers of each gateway."""
MERGED = 0.5
"""Seconds for which Nacos gathers the changes of a service into one push
(`PushConstants.DEFAULT_PUSH_TASK_DELAY`, Nacos 3.0.3)."""
MEMBERS = 3
"""Nacos servers of a cluster."""


def rows(plan: Plan, costs: Costs) -> list[tuple[str, str]]:
    """Reckon the fleet of a plan; the unit costs are those of as many instances."""
    gateways, instances, workers = plan.gateways, plan.instances, WORKERS
    followers = gateways * workers
    push = costs.listing_bytes * followers
    own_zone = instances // plan.zones
    size = plan.size
    narrow = f"own zone and GATEWAY_APERTURE={size}"
    every = f"{gateways} gateways x {workers} workers x {instances:,}"
    grpc = f"gRPC connections to Nacos: 2 of each instance, {2 + workers} of each gateway"
    return [
        (f"pairs of a worker and an instance: {every}", f"{followers * instances:,}"),
        (f"the same, each gateway in its own zone ({own_zone})", f"{followers * own_zone:,}"),
        (f"the same, {narrow}", f"{followers * size:,}"),
        ("workers that call an instance", f"{followers:,}"),
        (f"workers that call an instance, {narrow}", f"{followers * size // instances:,}"),
        ("memory of a worker: all instances known", _mb(costs.instance_bytes * instances)),
        ("memory of a worker: a connection to each", _mb(costs.connection_bytes * instances)),
        (grpc, f"{2 * instances + (2 + workers) * gateways:,}"),
        (f"bytes of Nacos for one change: the list x {followers} workers", _mb(push)),
        (f"bytes a second in a rollout: a push each {MERGED:g} s", f"{_mb(push / MERGED)}/s"),
        (f"the same for each of {MEMBERS} Nacos servers", f"{_mb(push / MERGED / MEMBERS)}/s"),
        (
            "CPU of a worker in a rollout",
            f"{100 * (costs.push_cpu + costs.choice_cpu) / MERGED:.0f} % of a core",
        ),
    ]


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
