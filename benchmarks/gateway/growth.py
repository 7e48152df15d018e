"""How the gateway's cost grows with instances, routes, followed services and workers.

Every gateway of the study runs at the same time, beside one Nacos, and the loads take turns: what
the machine does besides falls on all alike. A growth is the median, over the rounds, of a load's
cost divided by that of the smallest case in the same round. Then nobody asks anything, and what an
idle gateway uses is read from the clocks of its processes.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

import httpx
from stack.ports import claim, free_port
from stack.waiting import wait_until

from benchmarks.gateway.__main__ import LOAD_CORE, PROXY_CORE, READY_SECONDS
from benchmarks.gateway.calls import METADATA
from benchmarks.gateway.crowd import INSTANCES, crowd, name_of
from benchmarks.gateway.peers import GATEWAY, HAPROXY, START, Site, start_backend
from benchmarks.gateway.study import Run, Runner, measure
from benchmarks.measure import chart, report
from benchmarks.measure.nacos import Account, own_or_given
from benchmarks.measure.process import end_in_order_on_sigterm
from benchmarks.measure.wrk import Load

CONNECTIONS = 32
SETTLE_SECONDS = 15.0
"""Seconds after the last load in which pools close their connections."""


@dataclass(frozen=True, slots=True)
class Extent:
    """The cases of a study; the first of each kind is the one to which the others are compared."""

    instances: Sequence[int] = (1, 4, 16, 64, 256)
    routes: Sequence[int] = (1, 100, 1000)
    services: Sequence[int] = (1, 50, 500)
    rounds: int = 5
    seconds: float = 2.0
    idle_seconds: float = 60.0


SHORT = Extent((1, 64), (1, 100), (1, 50), rounds=3, seconds=1.0, idle_seconds=5.0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A gateway of the study: how many routes its document has, what it follows, its workers."""

    routes: int = 1
    services: int = 1
    workers: int = 1

    @property
    def name(self) -> str:
        """Return the name in tables, also that of its namespace in Nacos."""
        return f"{self.routes} routes, {self.services} services, {self.workers} workers"

    @property
    def namespace(self) -> str:
        """Return the id of the namespace with this document and these services."""
        return f"growth-{self.routes}-{self.services}"

    def document(self) -> str:
        """Write the routes document: the last route is the one that is asked.

        Each of the services stands in a route, so that it is followed without being asked.
        """
        followed = [name_of(number) for number in range(1, self.services)]
        more = [target(1)] * (self.routes - self.services)
        others = [
            f"- {{path: /other/{number}, service: {service}}}"
            for number, service in enumerate((*followed, *more))
        ]
        return "\n".join(("routes:", *others, f"- {{path: /asked, service: {target(1)}}}"))


def target(instances: int) -> str:
    """Return the name of the service that has so many instances, all of which answer."""
    return f"backend-{instances}"


@dataclass(frozen=True, slots=True)
class Case:
    """A load; `kind` and `count` say which growth it belongs to.

    Attributes:
        shape: of the gateway; None: HAProxy takes the load, with `count` servers.
    """

    kind: str
    count: int
    shape: Shape | None
    path: str

    @property
    def taker(self) -> Shape | int:
        """Return who takes the load, the key of what was started."""
        return self.count if self.shape is None else self.shape

    @property
    def load(self) -> Load:
        """Return the load, named after the case."""
        return Load(f"{self.kind} {self.count}", CONNECTIONS, self.path)


def cases(extent: Extent) -> list[Case]:
    """Return every case; those with one worker, route and service share a gateway.

    HAProxy shows what growth comes from many instances themselves: their connections are used less
    often, so less of them is in the processor's caches.
    """
    plain, asked = Shape(), "/asked/predict"
    return [
        *(Case("instances", n, plain, f"/{target(n)}/predict") for n in extent.instances),
        *(Case(HAPROXY, n, None, "/predict") for n in extent.instances),
        *(Case("routes", n, replace(plain, routes=n), asked) for n in extent.routes),
        *(Case("services", n, Shape(n, n), asked) for n in extent.services),
        *(Case("workers", n, replace(plain, workers=n), asked) for n in (1, 2)),
    ]


def idle_shapes(extent: Extent) -> list[Shape]:
    """Return the gateways that are measured idle: those under load, the last with two workers."""
    most = extent.services[-1]
    loaded = [case.shape for case in cases(extent) if case.shape is not None]
    return list(dict.fromkeys((*loaded, Shape(most, most, 2))))


@dataclass(frozen=True, slots=True)
class Idle:
    """A gateway that nobody asks: its share of a core and its memory, all processes together."""

    shape: str
    core_percent: float
    rss_mb: float
    largest_rss_mb: float


@dataclass(frozen=True, slots=True)
class Row:
    """A case with its figures.

    Attributes:
        cpu_us: CPU microseconds of a request, the median of the rounds.
        growth: median of the cost over the first case's cost in the same round.
    """

    kind: str
    count: int
    cpu_us: float
    growth: float
    p99_ms: float
    errors: int


def rows(extent: Extent, runs: Sequence[tuple[Case, Run]]) -> list[Row]:
    """Compare each case with the first of its kind, round by round."""
    first: dict[str, list[Run]] = {}
    found = []
    for case in cases(extent):
        mine = [run for other, run in runs if other == case]
        base = first.setdefault(case.kind, mine)
        found.append(
            Row(
                case.kind,
                case.count,
                median(run.cpu_us for run in mine),
                median(run.cpu_us / one.cpu_us for run, one in zip(mine, base, strict=True)),
                median(run.p99_ms for run in mine),
                sum(run.errors for run in mine),
            )
        )
    return found


@contextmanager
def gateways(extent: Extent, work: Path) -> Iterator[dict[Shape | int, Runner]]:
    """Start Nacos, the backend, all services and all gateways; wait until each knows its own."""
    most = extent.instances[-1]
    servers = [("127.0.0.1", free_port()) for _ in range(most)]
    shapes = idle_shapes(extent)
    with ExitStack() as stack:
        nacos = stack.enter_context(own_or_given(work / "nacos", "growth"))
        backend = stack.enter_context(start_backend(Site(work, servers, nacos, core=LOAD_CORE)))
        backend.listening(*servers[-1], timeout=10)
        accounts = {}
        for shape in shapes:
            account = replace(nacos, namespace=shape.namespace)
            if shape.namespace not in accounts:
                _fill(account, shape, extent, servers)
                stack.enter_context(crowd(account, shape.services - 1, work / shape.namespace))
            accounts[shape.namespace] = account
        started: dict[Shape | int, Runner] = {}
        for count in extent.instances:
            folder = work / f"haproxy-{count}"
            folder.mkdir()
            place = Site(folder, servers[:count], nacos, core=PROXY_CORE)
            port = _ports()
            process = stack.enter_context(START[HAPROXY](place, port))
            process.listening("127.0.0.1", port, READY_SECONDS)
            started[count] = Runner(f"{HAPROXY} {count}", process, port)
        for shape in shapes:
            folder = work / shape.name
            folder.mkdir()
            place = Site(folder, servers, accounts[shape.namespace], core=PROXY_CORE,
                         environment={"GATEWAY_WORKERS": str(shape.workers)})  # fmt: skip
            port = _ports()
            process = stack.enter_context(START[GATEWAY](place, port))
            process.listening("127.0.0.1", port, READY_SECONDS)
            started[shape] = Runner(shape.name, process, port)
        for case in cases(extent):
            runner = started[case.taker]
            wait_until(
                partial(_complete, case, runner),
                seconds=READY_SECONDS,
                what=f"{runner.name} knows its instances; its log: {runner.process.log_tail()}",
            )
        yield started


def _ports() -> int:
    """Return a free port whose next one, for the administrator, is free too."""
    return next(port for port in iter(free_port, 0) if claim(port + 1))


def _fill(
    account: Account, shape: Shape, extent: Extent, servers: Sequence[tuple[str, int]]
) -> None:
    """Make a gateway's namespace: its document, and the services that answer."""
    account.prepare()
    for size in extent.instances if shape == Shape() else (1,):
        account.clear(target(size))
        account.register_all(target(size), servers[:size], METADATA)
    account.publish("gateway", shape.document())


def _complete(case: Case, runner: Runner) -> bool:
    """Return whether a gateway knows every instance of the case, and the case is answered."""
    try:
        answered = httpx.post(runner.url + case.path, json={}, trust_env=False).status_code == 200
        if case.shape is None:
            return answered
        url = f"http://127.0.0.1:{runner.port + 1}/api/services"
        told = httpx.get(url, trust_env=False, timeout=30).json()
    except httpx.HTTPError:
        return False
    sizes = {one["name"]: [len(view["instances"]) for view in one["workers"]] for one in told}
    asked = sizes.get(case.path.split("/")[1])
    crowds = [one for name, one in sizes.items() if name.startswith(name_of(0)[:-1])]
    return (
        answered
        and (asked is None or asked == [case.count])
        and len(crowds) == case.shape.services - 1
        and all(size == INSTANCES for one in crowds for size in one)
    )


def under_load(extent: Extent, started: dict[Shape | int, Runner]) -> Iterator[tuple[Case, Run]]:
    """Yield a run of every case in each round; each round goes the other way than the last."""
    every = cases(extent)
    for case in every:  # caches and pools fill
        measure(started[case.taker], case.load, seconds=extent.seconds, core=LOAD_CORE)
    for number in range(extent.rounds):
        for case in every if number % 2 else every[::-1]:
            run = measure(started[case.taker], case.load, seconds=extent.seconds, core=LOAD_CORE)
            print(f"round {number + 1}  {case.load.name:16} {run.cpu_us:7.1f} us"
                  f"  errors {run.errors}", flush=True)  # fmt: skip
            yield case, run


def idle(extent: Extent, started: dict[Shape | int, Runner]) -> Iterator[Idle]:
    """Yield what each gateway uses while nobody asks, all in the same time."""
    time.sleep(SETTLE_SECONDS)
    before = {shape: started[shape].process.usage() for shape in idle_shapes(extent)}
    began = time.monotonic()
    time.sleep(extent.idle_seconds)
    for shape, then in before.items():
        after = started[shape].process.usage()
        used = after.cpu_seconds - then.cpu_seconds
        yield Idle(
            shape.name,
            100 * used / (time.monotonic() - began),
            after.rss_bytes / 1e6,
            after.largest_rss_bytes / 1e6,
        )


KINDS = {
    "instances": "instances of the service that is asked",
    HAPROXY: "servers of HAProxy",
    "routes": "routes in the document",
    "services": f"services followed, of {INSTANCES} instances each",
    "workers": "workers",
}
LIMITS = {"routes": 1.1, "services": 1.15, "workers": 1.25}
"""The most that the largest case of a kind may cost, the smallest being 1."""
BESIDE_HAPROXY = 1.2
"""The most that the cost may grow with the instances, HAProxy's growth being 1."""
SHORT_LIMIT = 4.0
"""The same in a short run, on a machine that does other work meanwhile."""
IDLE_PERCENT = 0.5
"""Per cent of a core that a gateway with one worker may use while nobody asks."""


def faults(found: Sequence[Row], idlers: Sequence[Idle], *, short: bool) -> Iterator[str]:
    """Yield a sentence for each figure that is beyond its limit."""
    haproxy = {row.count: row.growth for row in found if row.kind == HAPROXY}
    for row in found:
        limit = LIMITS.get(row.kind, math.inf)
        if row.kind == "instances":
            limit = BESIDE_HAPROXY * haproxy[row.count]
        if short:
            limit = max(limit, SHORT_LIMIT)
        if row.growth > limit:
            yield f"{row.kind} {row.count}: {row.growth:.2f} times the first, more than {limit:.2f}"
        if row.errors:
            yield f"{row.kind} {row.count}: {row.errors} requests failed"
    if not short:
        for one in idlers:
            if "1 workers" in one.shape and one.core_percent > IDLE_PERCENT:
                yield f"{one.shape}: idle at {one.core_percent:.2f} % of a core"


def tables(found: Sequence[Row], idlers: Sequence[Idle]) -> str:
    """Render the figures."""
    parts = []
    for kind, words in KINDS.items():
        parts.append(
            report.table(
                (words, "CPU us a request", "times the first", "p99 ms", "errors"),
                [
                    (row.count, f"{row.cpu_us:.1f}", f"{row.growth:.3f}", f"{row.p99_ms:.2f}",
                     row.errors)
                    for row in found if row.kind == kind
                ],
            )
        )  # fmt: skip
    parts.append(
        report.table(
            ("idle gateway", "% of a core", "RSS MB", "RSS MB of the largest process"),
            [
                (one.shape, f"{one.core_percent:.2f}", f"{one.rss_mb:.0f}",
                 f"{one.largest_rss_mb:.0f}")
                for one in idlers
            ],
        )
    )  # fmt: skip
    return "\n\n".join(parts)


def _keep(
    found: Sequence[Row], idlers: Sequence[Idle], wrong: Sequence[str], about: dict[str, str]
) -> None:
    parts = [
        "# How the gateway's cost grows",
        __doc__.partition("\n\n")[2],
        report.facts({**about, GATEWAY: version("modelserve-gateway")}),
        "\n".join(wrong) or "Result: every figure is within its limit.",
        "![CPU a request](growth.svg)",
        tables(found, idlers),
    ]
    lines = {
        words: [(row.count, row.cpu_us) for row in found if row.kind == kind]
        for kind, words in KINDS.items()
        if kind != "workers"
    }
    title = f"CPU a request of the gateway, {CONNECTIONS} connections"
    data = {
        "machine": about,
        "cost": [asdict(row) for row in found],
        "idle": [asdict(one) for one in idlers],
        "faults": list(wrong),
    }
    svg = chart.growth(title, "microseconds", lines)
    report.write("growth", markdown="\n\n".join(parts), data=data, charts={"growth": svg})


def main() -> int:
    """Measure, write the report of a whole run; return 1 if a figure is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="few cases, printed and not kept")
    short = parser.parse_args().short
    end_in_order_on_sigterm()
    extent = SHORT if short else Extent()
    about = report.machine()
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, {LOAD_CORE})
        with gateways(extent, Path(folder)) as started:
            found = rows(extent, list(under_load(extent, started)))
            idlers = list(idle(extent, started))
    wrong = list(faults(found, idlers, short=short))
    print(tables(found, idlers), *wrong, sep="\n")
    if not short:
        _keep(found, idlers, wrong, about)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
