"""The measurements: one started service, and the cost of its answers."""

import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import httpx
from stack.ports import free_port
from stack.waiting import wait_until

from benchmarks.measure import wrk
from benchmarks.measure.process import Process, family
from benchmarks.serving.peers import Peer, Site

CLIENTS = (1, 16, 64)
LOAD_CORE = 1
READY_SECONDS = 120.0
ANSWER_SECONDS = 60
IDLE_SHARE = 0.1  # of a core; a service below that has finished its work
ENOUGH_ANSWERS = 100
MOST_TIMES_LONGER = 3  # a slow service's cell takes longer than any other


@dataclass(frozen=True, slots=True)
class Cell:
    """The figures of one service, one number of rows a request, one number of clients.

    Attributes:
        rps: good answers a second.
        cpu_us: CPU of all work of the service, divided by the good answers.
        p50_ms: latency of all answers, those that refuse included; so is `p99_ms`.
        refused: answers of status 503, by which a full queue says "come back later".
        errors: requests without a good answer for any other reason.
    """

    peer: str
    rows: int
    clients: int
    rps: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    refused: int
    errors: int


@dataclass(frozen=True, slots=True)
class Life:
    """The figures of one service from start to end.

    Attributes:
        ready_seconds: from the start of the process to its first right answer.
        rss_mb: resident memory of all its processes after the load.
    """

    peer: str
    ready_seconds: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    peer: Peer
    process: Process
    port: int
    ready_seconds: float = 0.0

    @property
    def url(self) -> str:
        """Return the base address."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self, body: bytes, expected: Sequence[int]) -> bool:
        """Return whether the service answers.

        Raises:
            ValueError: the class numbers of its answer are not the expected ones.
        """
        headers = {"Content-Type": "application/json", **self.peer.fields}
        url = self.url + self.peer.path
        try:
            answer = httpx.post(
                url, content=body, headers=headers, trust_env=False, timeout=ANSWER_SECONDS
            )
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        if self.peer.answer and self.peer.answer(answer.json()) != list(expected):
            raise ValueError(f"{self.peer.name} answers wrongly: {answer.text[:300]}")
        return True

    def settle(self) -> None:
        """Wait until the service has finished what earlier load left in its queues."""
        wait_until(self._idle, seconds=READY_SECONDS, what=f"{self.peer.name} comes to rest")

    def _idle(self) -> bool:
        before, begun = self.process.usage().cpu_seconds, time.monotonic()
        time.sleep(0.3)
        used = self.process.usage().cpu_seconds - before
        return used / (time.monotonic() - begun) < IDLE_SHARE

    def measure(self, file: Path, rows: int, clients: int, seconds: int) -> Cell:
        """Offer one body by `clients` clients and read the cost.

        Refusals are counted apart from errors if there is more than one row: a queue is bounded in
        rows, and no number of clients here fills a queue with a row each.
        """
        self.settle()
        load = wrk.Load(
            f"{rows} rows, {clients} clients",
            clients,
            self.peer.path,
            body_file=file,
            timeout=ANSWER_SECONDS,
            tells_refusals=rows > 1,
            fields=self.peer.fields,
        )
        before = self.process.usage().cpu_seconds
        seen = wrk.run(self.url, load, seconds=seconds, core=LOAD_CORE)
        used = self.process.usage().cpu_seconds - before
        good = seen.requests - seen.bad_statuses
        return Cell(
            peer=self.peer.name,
            rows=rows,
            clients=clients,
            rps=good / seen.seconds,
            cpu_us=used / max(good, 1) * 1e6,
            p50_ms=seen.p50_ms,
            p99_ms=seen.p99_ms,
            refused=seen.refused,
            errors=seen.errors,
        )


@contextmanager
def started(peer: Peer, site: Site, body: bytes, expected: Sequence[int]) -> Iterator[Service]:
    """Start a service and wait for its first right answer; all its processes end with the block."""
    port, begun = free_port(), time.monotonic()
    with peer.start(site, port) as process:
        service = Service(peer, process, port)
        process.listening("127.0.0.1", port, READY_SECONDS)
        while not service.answers(body, expected):
            if time.monotonic() - begun > READY_SECONDS:
                raise TimeoutError(f"{peer.name} does not answer: {process.log_tail()}")
            time.sleep(0.02)
        descendants = list(family(process.pid))
        yield replace(service, ready_seconds=time.monotonic() - begun)
    for pid in descendants:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def study(
    peer: Peer, site: Site, files: Mapping[int, tuple[Path, Sequence[int]]], seconds: int
) -> tuple[Life, list[Cell]]:
    """Measure all cells of one service; `files` has body and right answer by number of rows."""
    (body, right), *_ = files.values()
    with started(peer, site, body.read_bytes(), right) as service:
        cells = []
        for rows, (file, expected) in files.items():
            if not service.answers(file.read_bytes(), expected):
                raise RuntimeError(f"{peer.name} refuses {rows} rows")
            first = service.measure(
                file, rows, CLIENTS[-1], 1
            )  # a warm-up, in which batchers learn too
            longer = _enough(seconds, first.rps)
            cells += [service.measure(file, rows, clients, longer) for clients in CLIENTS]
            for cell in cells[-len(CLIENTS) :]:
                print(f"  {cell}", flush=True)
        rss_mb = service.process.usage().rss_bytes / 2**20
    return Life(peer.name, service.ready_seconds, rss_mb), cells


def _enough(seconds: int, rps: float) -> int:
    """Return the whole seconds of a cell: more than `seconds` for a slow service."""
    wanted = math.ceil(ENOUGH_ANSWERS / max(rps, 1))
    return min(max(seconds, wanted), seconds * MOST_TIMES_LONGER)


def medians(cells: Sequence[Cell]) -> list[Cell]:
    """Return a cell for each peer, rows and clients: medians, but sums of the failures."""
    grouped: dict[tuple[str, int, int], list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((cell.peer, cell.rows, cell.clients), []).append(cell)
    return [
        replace(
            group[0],
            **{
                figure: median(getattr(cell, figure) for cell in group)
                for figure in ("rps", "cpu_us", "p50_ms", "p99_ms")
            },
            refused=sum(cell.refused for cell in group),
            errors=sum(cell.errors for cell in group),
        )
        for group in grouped.values()
    ]
