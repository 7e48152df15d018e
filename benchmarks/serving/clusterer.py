"""The clusterer's cost a request, beside the same fits with nothing around them."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.serving import bodies
from benchmarks.serving.goals import Fit
from benchmarks.serving.peers import CODE, Peer, Site
from benchmarks.serving.study import started

CLIENTS = (1, 16)
TURNS = 5
"""Least number of turns: between two of them the cost of a bare fit drifts by a fifth."""
NAME = "clusterer"
EXPECTED = [1, 1, 1, 1, 2, 0, 0, 0, 0]  # the source article's answer for its nine points


def _start(site: Site, port: int):  # noqa: ANN202 - as Peer.start has it
    document = "clusters: 3\nn_init: 10\nrandom_state: 9\n"
    site.nacos.publish("skl-kmeans", document)
    return site.ours("kmeans", port)


PEER = Peer(NAME, "", _start, "/api/skl-kmeans", answer=lambda document: document["results"])


def fits(site: Site, rounds: int, seconds: int) -> Iterator[Fit]:
    """Bare fits and requests in turn for each number of points; medians over the turns."""
    files = {count: bodies.write_points(site.work, count) for count in bodies.POINTS}
    bare: dict[int, list[float]] = {count: [] for count in files}
    asked: dict[tuple[int, int], list[float]] = {}
    first = files[bodies.POINTS[0]].read_bytes()
    with started(PEER, site, first, EXPECTED) as service:
        for _, (count, file) in product(range(max(rounds, TURNS)), files.items()):
            bare[count].append(_bare_us(site, file, seconds))
            for clients in CLIENTS:
                cell = service.measure(file, count, clients, seconds)
                if cell.errors or cell.refused:
                    raise RuntimeError(f"the clusterer failed: {cell}")
                asked.setdefault((count, clients), []).append(cell.cpu_us)
    for (count, clients), costs in asked.items():
        yield Fit(count, clients, median(costs), median(bare[count]))


def _bare_us(site: Site, file: Path, seconds: int) -> float:
    argv = ["taskset", "-c", str(site.core), sys.executable, CODE / "bare.py", str(seconds), file]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return float(done.stdout) * 1e6
