"""A service of `make new-service` beside its peers, all with one forest. `make bench-iris`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from string import Template

from sklearn.datasets import load_iris
from stack.origins import TEMPLATE

from benchmarks.measure import chart, report
from benchmarks.measure.nacos import own_or_given
from benchmarks.measure.process import Process, end_in_order_on_sigterm
from benchmarks.serving import bodies, peers
from benchmarks.serving.goals import MANY, Goal
from benchmarks.serving.study import CLIENTS, LOAD_CORE, Cell, medians, study
from benchmarks.serving.text import cells_table, goals_table

SERVER_CORE = 0
ROWS = (1, 100)
NAME = "iris"
FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
FOREST = "same forest"
OURS = "ours, as new-service writes it"
LIMIT = 10.0
TEXT = """# A declared service beside its peers

The service that `make new-service NAME=iris` writes, unchanged, beside MLServer, BentoML and
LitServe, each with the same random forest of ten trees on scikit-learn's iris data, and the floor:
an ASGI application that answers a constant. One machine, one run; every server on one core, wrk on
the other; one worker process and one numeric thread each; every answer's classes checked before the
load. CPU is user and system time of all processes of a service divided by its good answers. The
median of the rounds. Ours answers classes, labels and probabilities, the others classes.

{facts}

![Requests a second](iris.svg)

## Goal

{goals}

## Where the forest is the limit

One `predict_proba` of the forest alone, on the same core, takes {forest_one:,.0f} us of CPU for one
row and {forest_many:,.0f} us for {many} rows, which is {forest_share:,.1f} us a row. A service that
runs the forest for each request answers at most {alone:,.0f} requests a second on a core, whatever
is around it; one that runs it for {many} waiting requests at a time at most {together:,.0f}.

{tables}
"""


def _write_service(folder: Path) -> None:
    """Write the package that `make new-service NAME=iris` writes, without its project around it."""
    package = folder / NAME
    package.mkdir()
    (package / "__init__.py").touch()
    values = {"name": NAME, "package": NAME, "kind": "Iris", "port": "8002"}
    for source, target in (("example.py", "model.py"), ("__main__.py", "__main__.py")):
        text = (TEMPLATE / f"{source}.in").read_text()
        (package / target).write_text(Template(text).substitute(values))


def _ours(site: peers.Site, port: int) -> Process:
    return site.ours(NAME, port)


def _compared() -> Sequence[peers.Peer]:
    known = {peer.name: peer for peer in peers.PEERS}
    others = (
        replace(known[name], kind=FOREST)
        for name in (
            peers.MLSERVER,
            peers.BENTOML,
            peers.BENTOML_BATCHED,
            peers.LITSERVE,
            peers.LITSERVE_BATCHED,
        )
    )
    return (known[peers.FLOOR], peers.Peer(OURS, FOREST, _ours), *others)


def _rows(count: int) -> tuple[list[bodies.Row], list[int]]:
    """Return rows of the data set and the classes that the forest tells."""
    data = load_iris()
    chosen = [data.data[index * 7 % len(data.data)].tolist() for index in range(count)]
    classes = _forest_classes(chosen)
    return [dict(zip(FIELDS, row, strict=True)) for row in chosen], classes


def _in_peers_environment(*arguments: str | Path, given: str = "") -> str:
    python = peers.LOCAL / "fastapi" / "bin" / "python"
    argv = ["taskset", "-c", str(SERVER_CORE), python, peers.CODE / "forest.py", *arguments]
    env = {**os.environ, **peers.ONE_THREAD}
    return subprocess.run(
        argv, check=True, env=env, input=given, capture_output=True, text=True
    ).stdout


def _forest_classes(rows: Sequence[Sequence[float]]) -> list[int]:
    told: list[int] = json.loads(_in_peers_environment("classes", given=json.dumps(rows)))
    return told


def run_all(rounds: int, seconds: int, work: Path) -> list[Cell]:
    """Start and measure all services."""
    os.sched_setaffinity(0, {LOAD_CORE})
    _write_service(work)
    model = work / "forest.joblib"
    _in_peers_environment("fit", model)
    requests = {count: _rows(count) for count in ROWS}
    cells = []
    with own_or_given(work / "nacos", "bench-iris") as nacos:
        site = peers.Site(work, nacos, model, SERVER_CORE)
        for number in range(rounds):
            for peer in _compared():
                print(f"round {number + 1}: {peer.name}", flush=True)
                files = {
                    count: (bodies.write(work, peer.form, rows), right)
                    for count, (rows, right) in requests.items()
                }
                cells += study(peer, site, files, seconds)[1]
    return medians(cells)


def judged(cells: Sequence[Cell]) -> Goal:
    """Judge the requests a second of one row at `MANY` clients beside the best peer's."""
    rates = {cell.peer: cell.rps for cell in cells if (cell.rows, cell.clients) == (1, MANY)}
    best = max(rates.keys() - {OURS, peers.FLOOR}, key=lambda name: rates[name])
    what = f"1 row, {MANY} clients: requests/s / best peer's ({best})"
    return Goal(what, rates[OURS] / rates[best], LIMIT, at_least=True)


def rendered(cells: Sequence[Cell], about: dict[str, str], forest: Mapping[str, float]) -> str:
    """Render the report."""
    one, many = forest["one_us"], forest["many_us"]
    kinds = {peer.name: peer.kind for peer in _compared()}
    tables = []
    for rows in ROWS:
        chosen = [cell for cell in cells if cell.rows == rows]
        heading = f"## {rows} row{'' if rows == 1 else 's'} a request"
        tables += [heading, cells_table(chosen, kinds)]
    return TEXT.format(
        facts=report.facts(about),
        goals=goals_table([judged(cells)]),
        forest_one=one,
        forest_many=many,
        forest_share=many / MANY,
        many=MANY,
        alone=1e6 / one,
        together=1e6 / (many / MANY),
        tables="\n\n".join(tables),
    )


def main() -> int:
    """Measure everything and write the results; return 1 if the goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="length of one cell")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    end_in_order_on_sigterm()
    about = {**report.machine(), **peers.versions()}
    with tempfile.TemporaryDirectory() as folder:
        cells = run_all(options.rounds, options.seconds, Path(folder))
    forest: Mapping[str, float] = json.loads(_in_peers_environment("cost", str(MANY)))
    goal = judged(cells)
    found = [cell for cell in cells if (cell.rows, cell.clients) == (1, MANY)]
    bars = sorted(((cell.peer, cell.rps) for cell in found), key=lambda bar: -bar[1])
    title = f"Requests a second on one core, 1 row, {MANY} clients, the same forest"
    report.write(
        "iris",
        markdown=rendered(cells, about, forest),
        data={
            "machine": about,
            "goals": [{**asdict(goal), "met": goal.met}],
            "medians": [asdict(cell) for cell in cells],
            "forest": forest,
            "clients": CLIENTS,
        },
        charts={"iris": chart.bars(title, "requests a second", bars, ours="ours")},
    )
    return 0 if goal.met else 1


if __name__ == "__main__":
    sys.exit(main())
