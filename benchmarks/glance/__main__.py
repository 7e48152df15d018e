"""Draws benchmarks/results/glance.svg from the other results. `make bench-picture` runs this."""

import json
from collections.abc import Mapping
from typing import Any

from stack.releases import NEWEST

from benchmarks.gateway.peers import GATEWAY
from benchmarks.gateway.study import MAIN
from benchmarks.measure.chart import Panel, PanelRow, panels
from benchmarks.measure.report import RESULTS
from benchmarks.nacos.peers import OURS

Results = Mapping[str, Any]


def away(nacos: Results) -> Panel:
    """Return how long an instance may be out of Nacos, with each library for Python."""
    run = nacos["servers"][NEWEST]
    patience = run["plan"]["patience_seconds"]
    rows = []
    for library, figures in run["figures"].items():
        seen = [figures["back after freeze"], *figures["back after restart"]]
        worst = patience if None in seen else max(seen)
        told = f"not within {patience:g} s" if None in seen else f"{worst:.2g} s"
        rows.append(PanelRow(library, worst, told))
    return Panel(
        "Out of Nacos, at worst",
        "after its process froze, or Nacos restarted",
        _sorted(rows),
        # Beside a bar of two minutes nobody would see the others; this one is cut off.
        full=2 * max(row.length for row in rows if row.length < patience),
    )


def failed(failover: Results) -> Panel:
    """Return the share of calls that fail behind each gateway, over the faults that all had."""
    trials = failover["trials"]
    gateways = list(dict.fromkeys(each["gateway"] for each in trials))
    had = {(each["fault"], each["gateway"]) for each in trials}
    faults = dict.fromkeys(each["fault"] for each in trials)
    shared = [fault for fault in faults if all((fault, gateway) in had for gateway in gateways)]
    rows = []
    for gateway in gateways:
        kinds = [
            each[kind]
            for each in trials
            if each["gateway"] == gateway and each["fault"] in shared
            for kind in ("declared", "undeclared")
        ]
        share = sum(each["failures"] for each in kinds) / sum(each["requests"] for each in kinds)
        rows.append(PanelRow(gateway, share, f"{share:.2%}"))
    return Panel("Calls that failed", f"over {len(shared)} faults of instances", _sorted(rows))


def cost(gateway: Results, failover: Results) -> Panel:
    """Return what a call costs in the gateways that had the faults."""
    compared = {each["gateway"] for each in failover["trials"]}
    rows = [
        PanelRow(each["gateway"], each["cpu_us"], f"{each['cpu_us']:.1f} µs")
        for each in gateway["medians"]
        if each["load"] == MAIN.name and each["gateway"] in compared
    ]
    return Panel("CPU of the gateway for a call", MAIN.name, _sorted(rows))


def _sorted(rows: list[PanelRow]) -> list[PanelRow]:
    return sorted(rows, key=lambda row: row.length)


def main() -> None:
    """Draw the picture."""
    nacos, failover, gateway = (
        json.loads((RESULTS / f"{name}.json").read_text())
        for name in ("nacos", "failover", "gateway")
    )
    drawn = panels([away(nacos), failed(failover), cost(gateway, failover)], ours=(OURS, GATEWAY))
    (RESULTS / "glance.svg").write_text(drawn)


if __name__ == "__main__":
    main()
