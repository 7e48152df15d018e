"""The promises about the gateway's speed, judged from the figures of one run."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.gateway.peers import ENVOY, HAPROXY, HTTPX, SPRING
from benchmarks.gateway.study import MAIN, HalfLoad, Run

CPU_RATIOS = ((ENVOY, 1.0), (HAPROXY, 2.0), (SPRING, 1 / 5), (HTTPX, 1 / 40))
HALF_LOAD_P99_RATIO = 2.0
WORKER_RSS_MB = 130.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: `figure` must not exceed `limit`."""

    gateway: str
    what: str
    figure: float
    limit: float

    @property
    def met(self) -> bool:
        """Return whether the promise held."""
        return self.figure <= self.limit


def judge(
    ours: str, runs: Mapping[tuple[str, str], Run], half: Mapping[str, HalfLoad]
) -> list[Goal]:
    """Judge every goal whose peer took part, for the gateway called `ours`."""
    cost = {gateway: run.cpu_us for (gateway, load), run in runs.items() if load == MAIN.name}
    goals = [
        Goal(ours, f"CPU per request / {peer}", cost[ours] / cost[peer], limit)
        for peer, limit in CPU_RATIOS
        if peer in cost
    ]
    if ours in half and HAPROXY in half:
        ratio = half[ours].p99_ms / half[HAPROXY].p99_ms
        goals.append(Goal(ours, f"p99 at half load / {HAPROXY}", ratio, HALF_LOAD_P99_RATIO))
    largest = max(run.largest_rss_mb for (gateway, _), run in runs.items() if gateway == ours)
    goals.append(Goal(ours, "RSS of a worker, MB, largest seen", largest, WORKER_RSS_MB))
    errors = sum(run.errors for (gateway, _), run in runs.items() if gateway == ours)
    goals.append(Goal(ours, "errors in all loads", errors, 0))
    return goals
