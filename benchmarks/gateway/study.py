"""The measurements: every gateway in turn under every load, several rounds, one machine."""

import math
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from benchmarks.gateway.calls import DECLARED, SERVICE
from benchmarks.measure import wrk
from benchmarks.measure.load import OpenLoop, percentile, post
from benchmarks.measure.process import Process
from benchmarks.measure.wrk import Load

PREFIX = f"/{SERVICE}"
SINGLE = Load("200 B, 1 connection", 1, PREFIX + DECLARED)
MAIN = Load("200 B, 32 connections", 32, PREFIX + DECLARED)
"""The load to whose cost per request most goals refer."""
MANY = Load("200 B, 256 connections", 256, PREFIX + DECLARED)
CROWD = Load("200 B, 1,024 connections", 1024, PREFIX + DECLARED)
UP = Load("64 KiB up, 32 connections", 32, f"{PREFIX}/upload", body_bytes=65536)
DOWN = Load("1 MiB down, 8 connections", 8, f"{PREFIX}/large", method="GET", body_bytes=0)
LOADS = (SINGLE, MAIN, MANY, CROWD, UP, DOWN)
MORE_TURNS = {MAIN: 4}
"""Further turns of a load in a round, for the gateways whose figures decide a goal: the machine's
noise is a tenth of a turn's cost and more."""
USUAL_MORE_TURNS = 2

HALF_LOAD_CLIENTS = 256
"""Connections at a constant rate, open beforehand: opening them in one burst is another load."""
HALF_LOAD_SECONDS = 1.0
HALF_LOAD_TURNS = 21
"""Turns of half load for each gateway, short and many: other work of the machine spoils the p99 of
the turn it falls into, and the median of a few long turns would be a matter of luck."""

HALF_LOAD_LIMIT_SECONDS = 3.0
"""Seconds after which a request at half load has failed: a stalled gateway ends its turn soon."""

STEADY_SHARE = 0.03
STEADY_CPU_SECONDS = 14.0
WARM_UP_LIMIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Runner:
    """A gateway that runs: its name, process and address."""

    name: str
    process: Process
    port: int

    @property
    def url(self) -> str:
        """Return the base address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Run:
    """One gateway under one closed-loop load, once.

    Attributes:
        cpu_us: CPU microseconds of the gateway's processes per answered request.
        system_us: the part of `cpu_us` spent in the kernel.
        core_busy: share of one core that was used; well below 1, the gateway was not the limit.
        rss_mb: resident memory of all its processes after the run, in 10^6 bytes.
        largest_rss_mb: that of the largest process.
    """

    gateway: str
    load: str
    cpu_us: float
    system_us: float
    core_busy: float
    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int
    requests: int
    rss_mb: float
    largest_rss_mb: float


def measure(runner: Runner, load: Load, *, seconds: float, core: int) -> Run:
    """Run one load against one gateway, with the load generator on `core`."""
    before = runner.process.usage()
    seen = wrk.run(runner.url, load, seconds=seconds, core=core)
    after = runner.process.usage()
    runner.process.log.write_bytes(b"")  # an access log of minutes would fill the disk
    cpu = after.cpu_seconds - before.cpu_seconds
    answered = max(seen.requests, 1)
    return Run(
        gateway=runner.name,
        load=load.name,
        cpu_us=cpu / answered * 1e6,
        system_us=(after.system_seconds - before.system_seconds) / answered * 1e6,
        core_busy=cpu / seen.seconds,
        rps=seen.rps,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        p999_ms=seen.p999_ms,
        errors=seen.errors,
        requests=seen.requests,
        rss_mb=after.rss_bytes / 1e6,
        largest_rss_mb=after.largest_rss_bytes / 1e6,
    )


def warm_up(runner: Runner, *, window: float, core: int) -> str:
    """Load a gateway until its best cost has not fallen by 3 % in 14 s of its CPU time.

    The best cost counts, because other work of the machine only adds to a cost, and CPU time,
    because a compiler at run time that got little of the core has done little. After five minutes
    the warm-up ends in any case. The text that is returned tells the result, for the report.
    """
    best: list[tuple[float, float]] = []
    lowest, spent = math.inf, 0.0
    for number in range(1, math.ceil(WARM_UP_LIMIT_SECONDS / window) + 1):
        run = measure(runner, MAIN, seconds=window, core=core)
        lowest, spent = min(lowest, run.cpu_us), spent + run.core_busy * window
        best.append((spent, lowest))
        earlier = [cost for at, cost in best if at <= spent - STEADY_CPU_SECONDS]
        if earlier and lowest >= (1 - STEADY_SHARE) * earlier[-1]:
            return f"steady after {number * window:.0f} s"
    return f"**not steady** after {WARM_UP_LIMIT_SECONDS:.0f} s"


@dataclass(frozen=True, slots=True)
class Turn:
    """A run that is to be made."""

    round: int
    load: Load
    runner: Runner


def turns(
    runners: Sequence[Runner],
    loads: Sequence[Load],
    *,
    rounds: int,
    compared: Callable[[Load], Collection[str]],
) -> list[Turn]:
    """List every run: in each round every gateway has its turn under every load.

    Each turn of a load starts with another gateway, so that drift hits all alike.

    Args:
        runners: the gateways.
        loads: each of them is put on every gateway.
        rounds: how often everything is repeated.
        compared: tells the gateways that have further turns under a load.
    """
    planned = []
    for number in range(rounds):
        for load in loads:
            again = [runner for runner in runners if runner.name in compared(load)]
            more = MORE_TURNS.get(load, USUAL_MORE_TURNS)
            for turn, takers in enumerate((runners, *[again] * more), start=number):
                shift = turn % max(len(takers), 1)
                rotated = (*takers[shift:], *takers[:shift])
                planned += [Turn(number + 1, load, runner) for runner in rotated]
    return planned


def median_runs(runs: Sequence[Run]) -> dict[tuple[str, str], Run]:
    """Return the median of every figure by (gateway, load); errors and requests are summed."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.gateway, run.load), []).append(run)
    return {key: _median(group) for key, group in grouped.items()}


def _median(group: Sequence[Run]) -> Run:
    facts: dict[str, Any] = {"gateway": group[0].gateway, "load": group[0].load}
    for name in asdict(group[0]).keys() - facts.keys():
        figures = [getattr(run, name) for run in group]
        facts[name] = (sum if name in {"errors", "requests"} else statistics.median)(figures)
    return Run(**facts)


@dataclass(frozen=True, slots=True)
class HalfLoad:
    """Latency at a constant rate, counted from when each request was due."""

    gateway: str
    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    errors: int


def half_load(name: str, port: int, *, path: str, rate: float) -> HalfLoad:
    """Offer a constant rate of small requests for one turn."""
    body = b'"' + b"x" * 198 + b'"'
    wire = post(path, "half-load", kind="", body=body)
    loop = OpenLoop(
        "127.0.0.1",
        port,
        rate,
        HALF_LOAD_SECONDS,
        lambda _: wire,
        timeout=HALF_LOAD_LIMIT_SECONDS,
        connections=HALF_LOAD_CLIENTS,
    )
    samples = uvloop.run(loop.run())
    latencies = [sample.latency * 1e3 for sample in samples[len(samples) // 10 :]]
    return HalfLoad(
        gateway=name,
        rate=rate,
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        p999_ms=percentile(latencies, 0.999),
        errors=sum(sample.failed for sample in samples),
    )


def median_half_loads(runs: Sequence[HalfLoad]) -> dict[str, HalfLoad]:
    """Return the median of every latency by gateway."""
    grouped: dict[str, list[HalfLoad]] = {}
    for run in runs:
        grouped.setdefault(run.gateway, []).append(run)
    return {
        name: HalfLoad(
            gateway=name,
            rate=group[0].rate,
            p50_ms=statistics.median(run.p50_ms for run in group),
            p99_ms=statistics.median(run.p99_ms for run in group),
            p999_ms=statistics.median(run.p999_ms for run in group),
            errors=sum(run.errors for run in group),
        )
        for name, group in grouped.items()
    }
