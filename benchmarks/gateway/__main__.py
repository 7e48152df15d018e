"""Compares gateways. `make bench-gateway` prepares the peers, then runs this."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from stack.ports import free_port
from stack.waiting import wait_until

from benchmarks.gateway import peers
from benchmarks.gateway.calls import DECLARED, METADATA, SERVICE
from benchmarks.gateway.goals import compared
from benchmarks.gateway.peers import ENVOY, GATEWAY, HAPROXY, START, Site
from benchmarks.gateway.profile import where_time_goes
from benchmarks.gateway.progress import Progress
from benchmarks.gateway.sampling import Sampling, sampled, section, with_section
from benchmarks.gateway.study import (
    HALF_LOAD_TURNS,
    LOADS,
    MAIN,
    PREFIX,
    HalfLoad,
    Run,
    Runner,
    half_load,
    measure,
    median_runs,
    turns,
    warm_up,
)
from benchmarks.gateway.text import Results, markdown
from benchmarks.measure import chart, report
from benchmarks.measure.nacos import own_or_given
from benchmarks.measure.process import end_in_order_on_sigterm

PROXY_CORE, LOAD_CORE = 0, 1
READY_SECONDS = 240.0
USUAL_WARM_UP_SECONDS, USUAL_HALF_LOAD_SECONDS = 25.0, 1.3
"""Seconds that a gateway's warm-up, and a turn at half load, take as a rule: for the time left."""
SAMPLING_ROUNDS = 3
"""Turns of each share of samples for one round of the gateways: small differences want many."""
SHORT = (GATEWAY, HAPROXY, ENVOY)
"""The gateways of a short run."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="gateways, comma-separated; default all")
    parser.add_argument(
        "--short",
        action="store_true",
        help="one load, the default form beside HAProxy and Envoy; printed and not kept",
    )
    parser.add_argument(
        "--sampling",
        action="store_true",
        help="only what traces cost; takes the place of that part in the results",
    )
    return parser.parse_args()


@contextmanager
def site(work: Path) -> Iterator[Site]:
    """Start the backend, and a Nacos server that knows it."""
    servers = [("127.0.0.1", free_port()) for _ in range(3)]
    with own_or_given(work / "nacos", "bench-gateway") as nacos:
        place = Site(work, servers, nacos, core=PROXY_CORE)
        backend = peers.start_backend(Site(work, servers, nacos, core=LOAD_CORE))
        with backend:
            backend.listening(*servers[-1], timeout=10)
            nacos.clear(SERVICE)
            for host, port in servers:
                nacos.register(SERVICE, host, port, METADATA)
            wait_until(
                lambda: nacos.healthy(SERVICE) >= len(servers),
                seconds=READY_SECONDS,
                what="Nacos finds the backend healthy",
            )
            yield place


@contextmanager
def runner(name: str, place: Site) -> Iterator[Runner]:
    """Start a gateway and wait until it answers."""
    port = free_port()
    with START[name](place, port) as process:
        process.listening("127.0.0.1", port, READY_SECONDS)
        started = Runner(name, process, port)
        wait_until(
            lambda: _answers(started),
            seconds=READY_SECONDS,
            what=f"{name} answers; its log: {process.log_tail()}",
        )
        yield started


def _answers(started: Runner) -> bool:
    url = started.url + PREFIX + DECLARED
    try:
        return len(httpx.post(url, json={}, trust_env=False, timeout=5).content) == 130
    except httpx.HTTPError:
        return False


def at_half_load(
    runners: Sequence[Runner], place: Site, runs: Sequence[Run], progress: Progress
) -> Iterator[HalfLoad]:
    """Load every gateway, and the backend alone, at half the rate that our gateway can carry."""
    carried = {
        name: run.rps for (name, load), run in median_runs(runs).items() if load == MAIN.name
    }
    half = carried.get(GATEWAY, min(carried.values())) / 2
    through = PREFIX + DECLARED
    paths = [("none", place.servers[0][1], DECLARED, half)]
    paths += [(one.name, one.port, through, min(half, carried[one.name] / 2)) for one in runners]
    for turn in range(HALF_LOAD_TURNS):
        for name, port, path, rate in paths:
            run = half_load(name, port, path=path, rate=round(rate))
            progress.step(
                USUAL_HALF_LOAD_SECONDS,
                f"half load {turn + 1}/{HALF_LOAD_TURNS}  {name:31} {run.rate:.0f}/s"
                f"  p99 {run.p99_ms:.2f} ms",
            )
            yield run


def run_all(options: argparse.Namespace, work: Path) -> Results:
    """Start and measure all gateways."""
    names = options.only.split(",") if options.only else SHORT if options.short else list(START)
    about, versions = report.machine(), peers.versions()
    os.sched_setaffinity(0, {LOAD_CORE})
    with ExitStack() as stack:
        place = stack.enter_context(site(work))
        runners = []
        for name in names:
            print(f"starting {name}", flush=True)
            runners.append(stack.enter_context(runner(name, place)))
        loads = (MAIN,) if options.short else LOADS
        planned = turns(runners, loads, rounds=options.rounds, compared=compared)
        seconds = USUAL_WARM_UP_SECONDS * len(runners) + options.seconds * len(planned)
        if not options.short:
            seconds += USUAL_HALF_LOAD_SECONDS * HALF_LOAD_TURNS * (len(runners) + 1)
        progress = Progress(seconds)
        warm = {}
        for one in runners:
            warm[one.name] = warm_up(one, window=min(options.seconds, 4.0), core=LOAD_CORE)
            progress.step(USUAL_WARM_UP_SECONDS, f"{one.name}: {warm[one.name]}")
        runs = []
        for turn in planned:
            run = measure(turn.runner, turn.load, seconds=options.seconds, core=LOAD_CORE)
            runs.append(run)
            progress.step(
                options.seconds,
                f"round {turn.round}/{options.rounds}  {run.load:26} {run.gateway:31}"
                f" {run.cpu_us:8.1f} us {run.rps:8.0f}/s  p99 {run.p99_ms:8.2f} ms"
                f"  errors {run.errors}",
            )
        half = [] if options.short else list(at_half_load(runners, place, runs, progress))
        mine = [one for one in runners if one.name == GATEWAY and not options.short]
        profile = where_time_goes(mine[0], core=LOAD_CORE) if mine else ""
        traced = None if options.short or options.only else _sampling(options, place)
    return Results(about, versions, warm, tuple(runs), tuple(half), profile, traced)


def _sampling(options: argparse.Namespace, place: Site) -> Sampling:
    rounds, seconds = SAMPLING_ROUNDS * options.rounds, options.seconds
    return sampled(place, runner, rounds=rounds, seconds=seconds, core=LOAD_CORE)


def run_sampling(options: argparse.Namespace, work: Path) -> None:
    """Measure what traces cost, and put that in the results of the last whole run."""
    os.sched_setaffinity(0, {LOAD_CORE})
    with site(work) as place:
        traced = _sampling(options, place)
    file, data = report.RESULTS / "gateway.md", report.RESULTS / "gateway.json"
    report.write(
        "gateway",
        markdown=with_section(file.read_text(), section(traced)),
        data={**json.loads(data.read_text()), "sampling": traced.as_json()},
    )


def main() -> int:
    """Write the report of a whole run, or print that of a part; return 1 if a goal was missed."""
    options = arguments()
    end_in_order_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        if options.sampling:
            run_sampling(options, Path(folder))
            return 0
        results = run_all(options, Path(folder))
    text = markdown(results)
    if options.short or options.only:
        print(text[text.index("## Goals") :])
    else:
        costs = sorted(
            (run.cpu_us, name) for (name, load), run in results.medians.items() if load == MAIN.name
        )
        bars = [(name, cost) for cost, name in costs]
        title = f"CPU per request, {MAIN.name}"
        svg = chart.bars(title, "microseconds", bars, ours=GATEWAY, logarithmic=True)
        report.write("gateway", markdown=text, data=results.as_json(), charts={"gateway": svg})
    return 0 if all(goal.met for goal in results.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
