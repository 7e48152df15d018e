"""The clusterer's cost of a request, beside the same fits with nothing around them."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.serving import bodies
from benchmarks.serving.goals import Fit
from benchmarks.serving.peers import CODE, Peer, Site
from benchmarks.serving.study import started

CLIENTS = (1, 16)
TURNS = 12
"""Turns of a whole run. The machine's speed drifts by a fifth within seconds, so turns are short,
and each figure is compared with the bare fits right before and right after it."""
SECONDS = 1
NAME = "clusterer"
EXPECTED = [1, 1, 1, 1, 2, 0, 0, 0, 0]  # the source article's answer for its nine points


def _start(site: Site, port: int):  # noqa: ANN202 - as Peer.start has it
    document = "clusters: 3\nn_init: 10\nrandom_state: 9\n"
    site.nacos.publish("skl-kmeans", document)
    return site.ours("kmeans", port)


PEER = Peer(NAME, "", _start, "/api/skl-kmeans", answer=lambda document: document["results"])


class Bare:
    """A process on the server's core that fits on demand."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asks, self._answers = process.stdin, process.stdout

    @classmethod
    @contextmanager
    def running(cls, site: Site, file: Path) -> "Iterator[Bare]":
        """Start the process for the points of a file; it ends with the block."""
        argv = ["taskset", "-c", str(site.core), sys.executable, CODE / "bare.py", file]
        with subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process:
            yield cls(process)

    def cost_us(self) -> float:
        """Measure the CPU of a fit now, in microseconds."""
        self._asks.write(f"{SECONDS}\n")
        return float(self._answers.readline()) * 1e6


def fits(site: Site, turns: int) -> Iterator[Fit]:
    """Run bare fits and requests in turn; yield medians for each number of points."""
    files = {count: bodies.write_points(site.work, count) for count in bodies.POINTS}
    found: dict[tuple[int, int], list[Fit]] = {}
    first = files[bodies.POINTS[0]].read_bytes()
    with ExitStack() as stack:
        service = stack.enter_context(started(PEER, site, first, EXPECTED))
        bare = {
            count: stack.enter_context(Bare.running(site, file)) for count, file in files.items()
        }
        for _, (count, file) in product(range(turns), files.items()):
            before = bare[count].cost_us()
            for clients in CLIENTS:
                cell = service.measure(file, count, clients, SECONDS)
                if cell.errors or cell.refused:
                    raise RuntimeError(f"the clusterer failed: {cell}")
                after = bare[count].cost_us()
                beside = (before + after) / 2
                turn = Fit(count, clients, cell.cpu_us, beside, cell.cpu_us / beside)
                found.setdefault((count, clients), []).append(turn)
                before = after
    yield from map(typical, found.values())


def typical(turns: Sequence[Fit]) -> Fit:
    """Return the median of each figure over turns of one size."""
    return Fit(
        turns[0].points,
        turns[0].clients,
        median(turn.service_us for turn in turns),
        median(turn.bare_us for turn in turns),
        median(turn.ratio for turn in turns),
    )
