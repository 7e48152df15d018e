"""The measurements, each over all libraries in one run against one server."""

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stack.nacos import NacosServer

from benchmarks.nacos.observer import Observer
from benchmarks.nacos.peers import HERE, Peer
from benchmarks.nacos.subject import Subject

READY_SECONDS = 60.0
CHANGE_SECONDS = 15.0
"""Seconds after which a change that no library reported counts as missed."""
Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The extent of the measurements."""

    starts: int = 10
    config_changes: int = 200
    pushes: int = 100
    idle_seconds: float = 60.0
    frozen_seconds: float = 45.0
    restarts: int = 5
    patience_seconds: float = 120.0
    services: int = 500
    instances: int = 20
    scale_seconds: float = 60.0


SHORT = Plan(
    starts=1,
    config_changes=5,
    pushes=3,
    idle_seconds=2.0,
    frozen_seconds=2.0,
    restarts=1,
    patience_seconds=40.0,
    services=5,
    instances=3,
    scale_seconds=2.0,
)


@dataclass
class Bench:
    """The server, its observer, and the libraries with the Python of each."""

    server: NacosServer
    observer: Observer
    pythons: dict[Peer, Path]
    env: dict[str, str]
    home: Path
    plan: Plan
    figures: dict[str, Figures] = field(default_factory=dict)
    _ports: Iterator[int] = field(default_factory=lambda: itertools.count(9100))

    def note(self, peer: Peer, name: str, value: object) -> None:
        """Keep one figure."""
        print(f"  {peer.name}: {name} = {value}", flush=True)
        self.figures.setdefault(peer.name, {})[name] = value

    def able(self, what: str) -> list[Peer]:
        """Return the libraries that can take part in a measurement."""
        return [peer for peer in self.pythons if what not in peer.cannot]

    @contextmanager
    def subject(self, peer: Peer, name: str, *arguments: str) -> Iterator[Subject]:
        """Start a process of a library, which ends with the block."""
        one = Subject(
            self.pythons[peer],
            peer.program,
            *arguments,
            env=self.env,
            home=self.home / f"{peer.name}-{name}",
        )
        try:
            yield one
        finally:
            one.stop()

    def registering(self, name: str) -> tuple[str, str]:
        """Return the arguments that register an instance of the service `name`."""
        return "--register", f"{name}:{next(self._ports)}"


def guarded(measure: Callable[[Bench, Peer], None]) -> Callable[[Bench, Peer], None]:
    """Report a library's failure in a measurement; the library takes part in the others."""

    def measured(bench: Bench, peer: Peer) -> None:
        try:
            measure(bench, peer)
        except RuntimeError as error:
            bench.note(peer, f"{measure.__name__} failed", str(error))

    return measured


@guarded
def registration(bench: Bench, peer: Peer) -> None:
    """Measure the seconds from a library's first call until the server hands it out."""
    from_call, from_start = [], []
    for number in range(bench.plan.starts):
        service = f"start-{peer.name}-{number}"
        started = time.monotonic()
        with bench.subject(peer, f"start-{number}", *bench.registering(service)) as one:
            visible = bench.observer.wait_visible(service, READY_SECONDS)
            if visible is None:
                raise RuntimeError(f"not visible within {READY_SECONDS:g} s")
            from_call.append(visible - one.need("calling", READY_SECONDS)["at"])
            from_start.append(visible - started)
    bench.note(peer, "registration", from_call)
    bench.note(peer, "registration from process start", from_start)


@guarded
def configuration(bench: Bench, peer: Peer) -> None:
    """Measure the seconds from publishing a document until the library hands out the new text."""
    data_id = f"config-{peer.name}.yaml"
    bench.observer.publish(data_id, 0)
    with bench.subject(peer, "config", "--config", data_id) as one:
        one.need("watching config", READY_SECONDS)
        took: list[float | None] = []
        for seq in range(1, bench.plan.config_changes + 2):
            sent = bench.observer.publish(data_id, seq)
            found = one.wait("config", CHANGE_SECONDS, where=lambda e, seq=seq: e["seq"] >= seq)
            took.append(found["at"] - sent if found else None)
    bench.note(peer, "first config change", took[0])
    bench.note(peer, "config changes", took[1:])


def pushes(bench: Bench) -> None:
    """Measure the seconds from changing an instance until each subscribed library reports it."""
    service = "pushed"
    bench.observer.change(service, 9000, 0)
    with ExitStack() as running:
        watching: dict[Peer, Subject] = {}
        for peer in bench.able("push"):
            one = running.enter_context(bench.subject(peer, "push", "--instances", service))
            try:
                one.need("watching instances", READY_SECONDS)
                watching[peer] = one
            except RuntimeError as error:
                bench.note(peer, "pushes failed", str(error))
        took: dict[Peer, list[float | None]] = {peer: [] for peer in watching}
        for seq in range(1, bench.plan.pushes + 1):
            sent = bench.observer.change(service, 9000, seq)
            for peer, one in watching.items():
                left = max(0.0, sent + CHANGE_SECONDS - time.monotonic())
                found = one.wait("instances", left, where=lambda e, seq=seq: e["seq"] >= seq)
                took[peer].append(found["at"] - sent if found else None)
    for peer, each in took.items():
        bench.note(peer, "pushes", each)


def residence(bench: Bench) -> None:
    """Register all libraries at once: measure idle cost, a freeze, a restart of the server."""
    with ExitStack() as running:
        there: dict[Peer, Subject] = {}
        for peer in bench.pythons:
            name = f"stays-{peer.name}"
            one = running.enter_context(bench.subject(peer, "stays", *bench.registering(name)))
            if bench.observer.wait_visible(name, READY_SECONDS) is None:
                bench.note(peer, "residence failed", "never visible")
            else:
                there[peer] = one
        _idle(bench, there)
        _freeze(bench, there)
        _restart(bench, there)


def _idle(bench: Bench, there: dict[Peer, Subject]) -> None:
    before = {peer: one.process.usage() for peer, one in there.items()}
    time.sleep(bench.plan.idle_seconds)
    for peer, one in there.items():
        after = one.process.usage()
        cpu = (after.cpu_seconds - before[peer].cpu_seconds) / bench.plan.idle_seconds
        bench.note(peer, "idle CPU share", cpu)
        bench.note(peer, "idle RSS bytes", after.rss_bytes)


def _freeze(bench: Bench, there: dict[Peer, Subject]) -> None:
    for one in there.values():
        one.process.signal(signal.SIGSTOP)
    time.sleep(bench.plan.frozen_seconds)
    for peer in there:
        bench.note(peer, "dropped while frozen", not bench.observer.visible(f"stays-{peer.name}"))
    resumed = time.monotonic()
    for one in there.values():
        one.process.signal(signal.SIGCONT)
    for peer, seconds in _returns(bench, there, resumed).items():
        bench.note(peer, "back after freeze", seconds)


def _restart(bench: Bench, there: dict[Peer, Subject]) -> None:
    each: dict[Peer, list[float | None]] = {peer: [] for peer in there}
    for _ in range(bench.plan.restarts):
        bench.server.stop()
        bench.server.start()
        while not bench.observer.answers():
            time.sleep(0.05)
        for peer, seconds in _returns(bench, there, time.monotonic()).items():
            each[peer].append(seconds)
    for peer, found in each.items():
        bench.note(peer, "back after restart", found)


def _returns(bench: Bench, there: dict[Peer, Subject], since: float) -> dict[Peer, float | None]:
    """Return the seconds until each is handed out again, for ten seconds at least; or None."""
    back: dict[Peer, float] = {}
    while time.monotonic() < since + bench.plan.patience_seconds:
        for peer in there:
            if not bench.observer.visible(f"stays-{peer.name}"):
                back.pop(peer, None)
            else:
                back.setdefault(peer, time.monotonic())
        if len(back) == len(there) and max(back.values()) < time.monotonic() - 10:
            break
        time.sleep(0.05)
    return {peer: back[peer] - since if peer in back else None for peer in there}


@guarded
def scale(bench: Bench, peer: Peer) -> None:
    """Subscribe to all services of a large server: measure time, memory and CPU."""
    plan = bench.plan
    many = f"many-:{plan.services}:{plan.instances}"
    with bench.subject(peer, "scale", "--many", many) as one:
        calling = one.need("calling", READY_SECONDS)["at"]
        complete = one.need("complete", plan.patience_seconds)["at"]
        one.need("ready", READY_SECONDS)
        at_start = one.process.usage()
        time.sleep(plan.scale_seconds)
        after = one.process.usage()
    bench.note(peer, "scale complete", complete - calling)
    bench.note(peer, "scale CPU seconds to complete", at_start.cpu_seconds)
    bench.note(peer, "scale RSS bytes", after.rss_bytes)
    share = (after.cpu_seconds - at_start.cpu_seconds) / plan.scale_seconds
    bench.note(peer, "scale idle CPU share", share)


@contextmanager
def filled(bench: Bench, sdk: Peer) -> Iterator[None]:
    """Fill the server with the services of the scale measurement while the block runs."""
    plan = bench.plan
    holder = Subject(
        bench.pythons[sdk],
        HERE / "subjects" / "fill.py",
        f"many-:{plan.services}:{plan.instances}",
        env=bench.env,
        home=bench.home / "fill",
    )
    try:
        holder.need("filled", 300)
        yield
    finally:
        holder.stop()
