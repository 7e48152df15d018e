"""The promises about the gateway's speed, judged from the figures of one run."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.gateway.peers import ENVOY, GATEWAY, HAPROXY, SPRING
from benchmarks.gateway.study import CROWD, DOWN, MAIN, MANY, SINGLE, UP, HalfLoad, Run
from benchmarks.measure.wrk import Load


@dataclass(frozen=True, slots=True)
class Ratio:
    """A limit for one figure of the default form divided by a peer's, under one load.

    Attributes:
        figure: the name of a field of `Run`.
    """

    load: Load
    figure: str
    peer: str
    limit: float


RATIOS = (
    Ratio(SINGLE, "p50_ms", HAPROXY, 1.15),
    Ratio(MAIN, "cpu_us", HAPROXY, 1.15),
    Ratio(MAIN, "cpu_us", ENVOY, 0.45),
    Ratio(MAIN, "cpu_us", SPRING, 1 / 8),
    Ratio(MANY, "cpu_us", HAPROXY, 1.25),
    Ratio(CROWD, "cpu_us", HAPROXY, 1.25),
    Ratio(UP, "cpu_us", HAPROXY, 1.1),
    Ratio(DOWN, "cpu_us", HAPROXY, 1.1),
)
WORDS = {"p50_ms": "p50", "cpu_us": "CPU per request"}
HALF_LOAD_P99_RATIO = 1.0
WORKER_RSS_MB = 90.0


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


def compared(load: Load) -> set[str]:
    """Return the gateways whose figures under a load decide a goal."""
    peers = {ratio.peer for ratio in RATIOS if ratio.load == load}
    return peers | {GATEWAY} if peers else set()


def judge(runs: Mapping[tuple[str, str], Run], half: Mapping[str, HalfLoad]) -> list[Goal]:
    """Judge the goals of the default form for which the run has figures.

    Args:
        runs: the medians by names of gateway and load.
        half: the medians at half load by gateway.
    """
    goals = [
        Goal(
            GATEWAY,
            f"{ratio.load.name}: {WORDS[ratio.figure]} / {ratio.peer}",
            getattr(runs[GATEWAY, ratio.load.name], ratio.figure)
            / getattr(runs[ratio.peer, ratio.load.name], ratio.figure),
            ratio.limit,
        )
        for ratio in RATIOS
        if {(GATEWAY, ratio.load.name), (ratio.peer, ratio.load.name)} <= runs.keys()
    ]
    if {GATEWAY, HAPROXY} <= half.keys():
        figure = half[GATEWAY].p99_ms / half[HAPROXY].p99_ms
        goals.append(Goal(GATEWAY, f"half load: p99 / {HAPROXY}", figure, HALF_LOAD_P99_RATIO))
    if mine := [run for (gateway, _), run in runs.items() if gateway == GATEWAY]:
        largest = max(run.largest_rss_mb for run in mine)
        goals.append(Goal(GATEWAY, "RSS of a worker, MB, largest seen", largest, WORKER_RSS_MB))
    return goals


def without_errors(
    gateway: str, runs: Mapping[tuple[str, str], Run], half: Mapping[str, HalfLoad]
) -> Goal:
    """Judge the goal of every form of ours: no request fails under any load."""
    errors = sum(run.errors for (name, _), run in runs.items() if name == gateway)
    errors += half[gateway].errors if gateway in half else 0
    return Goal(gateway, "errors in all loads", errors, 0)
