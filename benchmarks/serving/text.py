"""The report on the model services' speed as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.measure.report import facts, table
from benchmarks.serving.goals import IMAGE_MB, Fit, Goal, Tensors, judge
from benchmarks.serving.peers import PEERS
from benchmarks.serving.study import CLIENTS, Cell, Life, medians

INTRODUCTION = """# Model services beside their peers

One machine, one run. Every server on one core, the load generator (wrk) on the other; one worker
process and one numeric thread each; access logs off; the same fitted support-vector classifier
everywhere, the same rows, every answer checked against the same class numbers before the load. CPU
is user and system time of all processes of a service divided by its good answers, from `/proc`, and
requests per second are good answers too. Each figure is the median of the rounds, in each of which
every classifier was started anew; the clusterer and the bare fits beside it start once and take
turns. Absolute figures drift from machine to machine; the ratios are what to quote."""

FAIRNESS = """## What may be compared with what

- *Like for like* are rows of the same kind. "DataFrame and Pipeline" is what the frameworks' own
  guides and the source article show: strings into a pandas DataFrame, through scikit-learn's
  pipeline. Between these rows the framework makes the difference.
- "same SVC, numpy" rows do without pandas: ours batches what waits and counts the votes itself from
  exported numbers; "FastAPI, numpy" is plain FastAPI with scikit-learn's own `SVC.predict`. Between
  these two, and from them to the rows above, it is mostly the design that differs.
- "precomputed answers" asks no model at all. It is possible because this model has only 1,728
  different inputs, and shows what a service costs around a model, not how fast a model is.
- The floor is an ASGI application on uvicorn that reads the request and answers a constant; it
  neither parses nor checks anything. Ours can cost less, where uvicorn makes no task for a request:
  the table's answers are made by the service's own protocol, in the turn in which requests arrive.
- Our service also does what the others do not: deadlines, request ids, metrics, drift counters, a
  registration kept alive in Nacos. Of the others only "FastAPI, numpy" refuses unknown categories.
- Peers run as their documentation shows, not tuned by their authors. Batched LitServe collects at
  most 64 requests for 2 ms; batched BentoML adapts by itself. MLServer runs without parallel
  workers, its cheapest setting on one core, and gets its rows by column, as its protocol has it.
- "Refused" are answers of 503 with `Retry-After` by a bounded queue, told apart from errors for
  more than one row. Ours lets 50,000 rows wait, and 64 clients with 1,000 rows each offer more. wrk
  asks again at once, so there may be many; what they cost is counted to the good answers, and their
  short latencies are in the percentiles: of such a cell compare the good answers per second.
- wrk is a closed loop: with one client a slow service is asked less. Where the load generator's
  core is the limit, requests per second say little; compare CPU per request."""


@dataclass(frozen=True, slots=True)
class Results:
    """The results of one run."""

    about: Mapping[str, str]
    versions: Mapping[str, str]
    cells: Sequence[Cell]
    lives: Sequence[Life]
    fits: Sequence[Fit]
    tensors: Sequence[Tensors]
    image_mb: float | None
    profile: str

    @property
    def goals(self) -> list[Goal]:
        """Judge the goals."""
        return judge(
            medians(self.cells), self.lives_by_peer, self.fits, self.tensors, self.image_mb
        )

    @property
    def lives_by_peer(self) -> list[Life]:
        """Return a life for each service, with its slowest start and its largest memory."""
        names = dict.fromkeys(life.peer for life in self.lives)
        return [
            Life(
                name,
                max(life.ready_seconds for life in self.lives if life.peer == name),
                max(life.rss_mb for life in self.lives if life.peer == name),
            )
            for name in names
        ]

    def as_json(self) -> dict[str, object]:
        """Return every figure of every round, the medians and the goals."""
        return {
            "machine": self.about,
            "versions": self.versions,
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals],
            "medians": [asdict(cell) for cell in medians(self.cells)],
            "cells": [asdict(cell) for cell in self.cells],
            "lives": [asdict(life) for life in self.lives],
            "clusterer": [asdict(fit) for fit in self.fits],
            "tensors": [asdict(one) for one in self.tensors],
            "image_mb": self.image_mb,
        }


def markdown(results: Results) -> str:
    """Render the whole report."""
    chosen, kinds = medians(results.cells), {peer.name: peer.kind for peer in PEERS}
    parts = [INTRODUCTION, facts({**results.about, **results.versions})]
    parts += ["![CPU per request](serving.svg)", "## Goals", _goals(results)]
    parts += [FAIRNESS]
    for rows in sorted({cell.rows for cell in chosen}):
        heading = "1 row" if rows == 1 else f"{rows:,} rows"
        mine = [cell for cell in chosen if cell.rows == rows]
        parts += [f"## {heading} a request", cells_table(mine, kinds)]
    parts += ["## Start and memory", LIVES, _lives(results.lives_by_peer)]
    if results.fits:
        parts += ["## The clusterer beside a bare fit", FITS, _fits(results.fits)]
    if results.tensors:
        parts += ["## Binary tensors beside JSON", TENSORS, _tensors(results.tensors)]
    if results.profile:
        parts += ["## Where the microseconds of a one-row table answer go", results.profile]
    return "\n\n".join(parts)


LIVES = """From the start of the process to the first right answer, model loaded and checked;
resident memory of all processes after the load. The worst of the rounds."""
FITS = """`bare` is one `KMeans(3, random_state=9, n_init=10).fit_predict` in a process of its own
on the same core, in CPU time; the service also reads and checks the points, and answers. Its fit
draws the first centres by code of its own and leaves out checks that were done before, to the same
result: so the ratio compares two designs as well, and does not say what HTTP adds to one and the
same fit. The costs are the medians of the turns, and the ratio is the median of the turns' ratios,
each of a request's cost to that of the bare fits right before and after it."""

TENSORS = """The classifier's table by the Open Inference Protocol: the same rows as six BYTES
tensors in JSON, answered in JSON, and as binary tensors, answered in bytes, in turns. All three
outputs are asked for. The ratio is the median of the turns' ratios."""


def goals_table(goals: Sequence[Goal], *more: Sequence[str]) -> str:
    """Render goals, and lines about goals that were not measured."""
    rows: list[Sequence[str]] = [
        (
            goal.what,
            f"{goal.figure:,.3g}",
            f"{'≥' if goal.at_least else '≤'} {goal.limit:g}",
            "yes" if goal.met else "**no**",
        )
        for goal in goals
    ]
    return table(("goal", "figure", "limit", "met"), [*rows, *more])


def _goals(results: Results) -> str:
    if results.image_mb is not None:
        return goals_table(results.goals)
    absent = ("classifier image, MB", "not measured: no Docker engine", f"≤ {IMAGE_MB:g}", "")
    return goals_table(results.goals, absent)


def cells_table(cells: Sequence[Cell], kinds: Mapping[str, str]) -> str:
    """Render the cells of one number of rows, a line for each service."""
    headers = ["service", "kind"]
    for clients in CLIENTS:
        headers += [f"{clients}: CPU us", "rps", "p50 ms", "p99 ms"]
    rows = []
    for name in dict.fromkeys(cell.peer for cell in cells):
        mine = [cell for cell in cells if cell.peer == name]
        line: list[object] = [name, kinds[name]]
        for cell in mine:
            line += [
                f"{cell.cpu_us:,.0f}",
                f"{cell.rps:,.0f}",
                f"{cell.p50_ms:.3g}",
                f"{cell.p99_ms:.3g}",
            ]
        line += [f"{sum(cell.refused for cell in mine):,}", sum(cell.errors for cell in mine)]
        rows.append(line)
    return table((*headers, "refused", "errors"), rows)


def _lives(lives: Sequence[Life]) -> str:
    rows = [(life.peer, f"{life.ready_seconds:.1f}", f"{life.rss_mb:.0f}") for life in lives]
    return table(("service", "ready after s", "RSS MB"), rows)


def _tensors(found: Sequence[Tensors]) -> str:
    rows = [
        (f"{t.rows:,}", t.clients, f"{t.json_us:,.0f}", f"{t.binary_us:,.0f}", f"{t.ratio:.3f}")
        for t in found
    ]
    return table(("rows", "clients", "JSON, CPU us/request", "binary, CPU us", "ratio"), rows)


def _fits(fits: Sequence[Fit]) -> str:
    rows = [
        (f"{f.points:,}", f.clients, f"{f.service_us:,.0f}", f"{f.bare_us:,.0f}", f"{f.ratio:.3f}")
        for f in fits
    ]
    headers = ("points", "clients", "service, CPU us/request", "bare, CPU us", "ratio")
    return table(headers, rows)
