"""The report on the gateway's speed as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.gateway.goals import Goal, judge, without_errors
from benchmarks.gateway.peers import OURS
from benchmarks.gateway.sampling import Sampling, section
from benchmarks.gateway.study import (
    LOADS,
    HalfLoad,
    Run,
    median_half_loads,
    median_runs,
)
from benchmarks.measure.report import facts, table

INTRODUCTION = """# The gateway beside its peers

One machine, one run. Gateways on one core, load generator and backend (nginx, 130 bytes of JSON)
on the other; one worker each; every gateway strips a path prefix, sets a request id (Traefik has
none to set) and `X-Forwarded-For`, balances over three addresses and may retry (`peers/` and
`spring/` hold the configurations).
"This gateway" is the form that `make up` starts: compiled, with its access log, metrics, retries,
ejection, budgets and deadlines on. Beside it stand the same without the access log, and the
interpreted form. The peers write no access log. CPU is user and system time of all its processes
divided by answered requests, from `/proc`; where "core busy" is well below 1 the load side was the
limit, and requests per second say little. Each figure is the median of its turns; gateways whose
figures decide a goal have three turns a round, and five under the load of 32 connections. Absolute
figures drift from machine to machine; the ratios are what to quote.
"""


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run."""

    about: Mapping[str, str]
    versions: Mapping[str, str]
    warm: Mapping[str, str]
    runs: Sequence[Run]
    half_loads: Sequence[HalfLoad]
    profile: str
    sampling: Sampling | None = None

    @property
    def medians(self) -> dict[tuple[str, str], Run]:
        """Return the median runs by (gateway, load)."""
        return median_runs(self.runs)

    @property
    def goals(self) -> list[Goal]:
        """Judge the goals of the default form, and for each form of ours that nothing failed."""
        medians, half = self.medians, median_half_loads(self.half_loads)
        forms = [name for name in OURS if any(gateway == name for gateway, _ in medians)]
        return [
            *judge(medians, half),
            *(without_errors(name, medians, half) for name in forms),
        ]

    def as_json(self) -> dict[str, object]:
        """Return every figure of every round, the medians and the goals."""
        return {
            "machine": self.about,
            "versions": self.versions,
            "warm-up": self.warm,
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals],
            "medians": [asdict(run) for run in self.medians.values()],
            "runs": [asdict(run) for run in self.runs],
            "half load": [asdict(run) for run in self.half_loads],
            "sampling": None if self.sampling is None else self.sampling.as_json(),
        }


def markdown(results: Results) -> str:
    """Render the whole report."""
    parts = [INTRODUCTION, facts({**results.about, **results.versions})]
    parts += ["![CPU per request](gateway.svg)", "## Goals", _goals(results.goals)]
    for load in LOADS:
        chosen = [run for (_, name), run in results.medians.items() if name == load.name]
        if chosen:
            parts += [f"## {load.name}", _runs(chosen)]
    if results.half_loads:
        half = median_half_loads(results.half_loads)
        parts += ["## Latency at half load", HALF_LOAD, _half(list(half.values()))]
    if results.sampling is not None:
        parts += [section(results.sampling)]
    parts += ["## Warm-up", WARM_UP, facts(results.warm)]
    if results.profile:
        parts += ["## Where the compiled gateway's microseconds go", results.profile]
    return "\n\n".join(parts)


HALF_LOAD = """Constant rate, half of what this gateway carries at 32 connections (a gateway that
cannot carry that gets half of its own), on 256 open connections; latency counts from the moment a
request was due. Turns of a second, gateway after gateway, 21 times; medians of the turns. "none" is
the load generator straight at the backend: the floor of this method."""

WARM_UP = """Each gateway was loaded until its best cost per request had not fallen by 3 % in 14 s
of its CPU time, or for five minutes."""


def _goals(goals: Sequence[Goal]) -> str:
    return table(
        ("goal", "figure", "limit", "met"),
        [
            (
                f"{goal.gateway}: {goal.what}",
                f"{goal.figure:.3g}",
                f"{goal.limit:.3g}",
                "yes" if goal.met else "**no**",
            )
            for goal in goals
        ],
    )


def _runs(runs: Sequence[Run]) -> str:
    headers = ("gateway", "CPU us/request", "of it kernel", "core busy", "requests/s")
    return table(
        (*headers, "p50 ms", "p99 ms", "p99.9 ms", "RSS MB", "errors"),
        [
            (
                run.gateway,
                f"{run.cpu_us:.1f}",
                f"{run.system_us:.1f}",
                f"{run.core_busy:.2f}",
                f"{run.rps:,.0f}",
                f"{run.p50_ms:.2f}",
                f"{run.p99_ms:.2f}",
                f"{run.p999_ms:.2f}",
                f"{run.rss_mb:.0f}",
                run.errors,
            )
            for run in sorted(runs, key=lambda run: run.cpu_us)
        ],
    )


def _half(runs: Sequence[HalfLoad]) -> str:
    return table(
        ("gateway", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "errors"),
        [
            (
                run.gateway,
                f"{run.rate:,.0f}",
                f"{run.p50_ms:.2f}",
                f"{run.p99_ms:.2f}",
                f"{run.p999_ms:.2f}",
                run.errors,
            )
            for run in sorted(runs, key=lambda run: run.p99_ms)
        ],
    )
