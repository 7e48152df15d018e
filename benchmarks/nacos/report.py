"""The figures of one run for each server, as Markdown, JSON and a chart."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from stack.releases import NEWEST, RELEASES

from benchmarks.measure import report
from benchmarks.measure.chart import grid
from benchmarks.measure.load import percentile
from benchmarks.nacos.peers import OURS, PEERS, Peer
from benchmarks.nacos.phases import CHANGE_SECONDS, Figures, Plan

MEASURES = {
    "registration": "registration",
    "first config change": "config",
    "config changes": "config",
    "pushes": "push",
    "back after freeze": "registration",
    "back after restart": "registration",
    "idle RSS bytes": "registration",
    "idle CPU share": "registration",
    "scale complete": "scale",
    "scale RSS bytes": "scale",
    "scale idle CPU share": "scale",
}
"""Figures that a library can have, with the ability that each of them needs."""

HOW = """\
One run for each server: a Nacos with authentication on, started and restarted by the run,
everything on one machine. Each library runs in a process and a virtual environment of its own, with
its default settings, as its README shows. A party of its own changes the server and looks at it
over plain HTTP every 10 ms, so no library reports on itself:

* **visible registration**: from the first call into the library (connect, log in, register) until
  the server hands the instance out; a fresh process each time. The next row has the import too.
* **config change**: from sending the publish request until the library hands out the new content.
  The server itself waits about 100 ms before it pushes. The first change after the watch began is
  told apart, since libraries differ most there.
* **push**: from sending a change of an instance until a subscribed library hands out the change.
  The server itself waits about 500 ms before it pushes.
* **back after freeze**: the process is stopped (SIGSTOP) and continued; the server drops it
  meanwhile. From SIGCONT until the server hands it out again, and still does ten seconds later.
* **back after restart**: from the first answer of the restarted server until it hands it out again.
  Where a library repairs itself by a slow timer, luck decides how slow: the worst of all is shown.
* **idle**: one instance registered, nothing else to do. CPU as a share of one core.
* **scale**: every service of a full server subscribed by one process: seconds until all are known,
  the CPU of the process by then, its start included, then memory and CPU with nothing changing.
"""


@dataclass(frozen=True, slots=True)
class Run:
    """The last run on one server.

    Attributes:
        machine: facts about the machine.
        plan: the extent of the measurements.
        figures: by the library's name.
    """

    machine: dict[str, str]
    plan: Plan
    figures: Mapping[str, Figures]

    @classmethod
    def read(cls, kept: Mapping[str, Any]) -> Self:
        """Read a run from the file of results."""
        return cls(kept["machine"], Plan(**kept["plan"]), kept["figures"])


def write(version: str, run: Run) -> None:
    """Write Markdown, JSON and charts: the new run of one server, the last runs of the others."""
    publish({**_kept(), version: run})


def write_again() -> None:
    """Write the text and the charts again from the figures of the last runs."""
    publish(_kept())


def publish(runs: Mapping[str, Run]) -> None:
    """Write what is known of each server."""
    data = {"servers": {version: asdict(run) for version, run in runs.items()}}
    charts = {_chart_of(version): _chart(version, run) for version, run in runs.items()}
    report.write("nacos", markdown=markdown(runs), data=data, charts=charts)


def _kept() -> dict[str, Run]:
    file = report.RESULTS / "nacos.json"
    servers = json.loads(file.read_text())["servers"] if file.exists() else {}
    return {version: Run.read(kept) for version, kept in servers.items()}


def _chart_of(version: str) -> str:
    return "nacos" if version == NEWEST else f"nacos-{version}"


def _chart(version: str, run: Run) -> str:
    return grid(
        f"Nacos clients in Python, one run on Nacos {version} (green: within the goal of {OURS})",
        ["config, first", "config, p99", "push, p50", "after freeze", "after restart"],
        [(peer.name, [cell(run.figures.get(peer.name, {})) for cell in CELLS]) for peer in PEERS],
    )


def markdown(runs: Mapping[str, Run]) -> str:
    """Render the report, a part for each server."""
    parts = ["# Nacos clients in Python, side by side", HOW]
    for version in filter(runs.__contains__, RELEASES):
        parts += _part(version, runs[version])
    peers = [peer for peer in PEERS if any(peer.name in run.figures for run in runs.values())]
    notes = [f"* {peer.name}: {peer.notes}." for peer in peers if peer.notes]
    for peer in peers:
        notes += [f"* {peer.name}, {what}: {why}." for what, why in peer.cannot.items()]
    parts += ["## Notes", "\n".join(notes)]
    return "\n\n".join(part.rstrip() for part in parts)


def _part(version: str, run: Run) -> list[str]:
    peers = [peer for peer in PEERS if peer.name in run.figures]
    table = report.table(
        ["", *(peer.name for peer in peers)],
        [
            [title, *(tell(run.figures[peer.name], peer) for peer in peers)]
            for title, tell in _rows(run.plan)
        ],
    )
    missing = [
        f"* {peer.name}: {reason}" for peer in peers for reason in _reasons(run.figures[peer.name])
    ]
    lists = ["\n".join(missing)] if missing else []
    return [f"## Nacos {version}", table, *lists, report.facts(run.machine)]


def complete(figures: Mapping[str, Figures]) -> None:
    """Check that no figure of our library is missing, and none of a peer's without a reason.

    Raises:
        SystemExit: a figure is missing; the message names it.
    """
    gaps = [
        f"{peer.name}: {name}"
        for peer in PEERS
        if peer.name in figures and (peer.name == OURS or not _reasons(figures[peer.name]))
        for name, ability in MEASURES.items()
        if ability not in peer.cannot and name not in figures[peer.name]
    ]
    if gaps:
        raise SystemExit("\n".join(("not measured, so no results are kept:", *gaps)))


def _reasons(figures: Figures) -> list[str]:
    """Return the reasons why figures of a library are missing."""
    return [
        f"{name}: {' '.join(str(value).split())[-200:]}"
        for name, value in figures.items()
        if name.endswith("failed") or name == "not measured"
    ]


Teller = Callable[[Figures, Peer], str]


def _rows(plan: Plan) -> list[tuple[str, Teller]]:
    large = f"{plan.services} services x {plan.instances} instances"
    return [
        ("transport", lambda _, peer: peer.transport),
        (f"visible registration, median of {plan.starts}", _share("registration", 0.5)),
        ("the same from process start", _share("registration from process start", 0.5)),
        ("first config change", _change),
        (f"config change, p50 of {plan.config_changes}", _share("config changes", 0.5)),
        ("config change, p99", _share("config changes", 0.99)),
        ("config changes missed", _missed("config changes")),
        (f"push, p50 of {plan.pushes}", _share("pushes", 0.5)),
        ("push, p99", _share("pushes", 0.99)),
        ("pushes missed", _missed("pushes")),
        (
            f"back after a freeze of {plan.frozen_seconds:g} s",
            _return("back after freeze", plan),
        ),
        (
            f"back after restart of Nacos, worst of {plan.restarts}",
            _return("back after restart", plan),
        ),
        ("idle CPU", _one("idle CPU share", _percent)),
        ("idle memory (RSS)", _one("idle RSS bytes", _mebibytes)),
        (f"{large}: all known after", _one("scale complete", _seconds)),
        ("CPU seconds for it", _one("scale CPU seconds to complete", _seconds)),
        ("memory with it", _one("scale RSS bytes", _mebibytes)),
        ("CPU with it, nothing changing", _one("scale idle CPU share", _percent)),
    ]


def _seconds(value: float) -> str:
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _mebibytes(value: float) -> str:
    return f"{value / 2**20:,.0f} MiB"


def _one(name: str, form: Callable[[float], str]) -> Teller:
    def tell(figures: Figures, _: Peer) -> str:
        value = figures.get(name)
        return "-" if value is None else form(value)

    return tell


def _share(name: str, share: float) -> Teller:
    def tell(figures: Figures, _: Peer) -> str:
        seen = [value for value in figures.get(name, ()) if value is not None]
        return _seconds(percentile(seen, share)) if seen else "-"

    return tell


def _missed(name: str) -> Teller:
    def tell(figures: Figures, _: Peer) -> str:
        return str(figures[name].count(None)) if name in figures else "-"

    return tell


def _change(figures: Figures, _: Peer) -> str:
    if "first config change" not in figures:
        return "-"
    value = figures["first config change"]
    return f"missed ({CHANGE_SECONDS:g} s)" if value is None else _seconds(value)


def _return(name: str, plan: Plan) -> Teller:
    def tell(figures: Figures, _: Peer) -> str:
        if name not in figures:
            return "-"
        value = _worst(figures[name])
        return f"not within {plan.patience_seconds:g} s" if value is None else _seconds(value)

    return tell


def _worst(value: float | list[float | None] | None) -> float | None:
    """Return the largest of the values, or None if one is None, which is worse than any."""
    values = value if isinstance(value, list) else [value]
    return None if None in values else max(each for each in values if each is not None)


Cell = Callable[[Figures], tuple[str, bool] | None]


def _cell(name: str, goal: float, share: float | None = None) -> Cell:
    def of(figures: Figures) -> tuple[str, bool] | None:
        value: Any = figures.get(name, ())
        if value == ():
            return None
        if share is not None:
            value = percentile([each for each in value if each is not None], share)
        value = _worst(value)
        return ("not back", False) if value is None else (_seconds(value), value <= goal)

    return of


CELLS = (
    _cell("first config change", 0.25),
    _cell("config changes", 0.25, 0.99),
    _cell("pushes", 1.0, 0.5),
    _cell("back after freeze", 5.0),
    _cell("back after restart", 3.0),
)

assert PEERS[0].name == OURS, "ours stands first in every table"
