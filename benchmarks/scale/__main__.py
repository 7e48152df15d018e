"""Simulates a large fleet, compares ways of sharing out, measures costs: `make bench-scale`."""

import argparse
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from statistics import mean

from gateway.control.form import form

from benchmarks.measure import report
from benchmarks.measure.chart import Panel, PanelRow, panels
from benchmarks.measure.process import end_in_order_on_sigterm
from benchmarks.scale.costs import Costs, measured
from benchmarks.scale.fleet import (
    DEAD,
    PEACE,
    SICK,
    WARM_UP,
    ZONE,
    Fleet,
    Mode,
    Phase,
    Plan,
    gateways_of,
    instances_of,
    modes,
)
from benchmarks.scale.reckoning import rows
from benchmarks.scale.sharing import METHODS, UNEVEN, Balance, balance
from benchmarks.scale.text import TEXT

SHORT = Plan(
    gateways=20,
    instances=100,
    phases={WARM_UP: 2.0, PEACE: 4.0, SICK: 2.0, DEAD: 2.0, ZONE: 3.0},
)
PUSHES = 20
Figures = Mapping[str, float]


def simulated(plan: Plan, mode: Mode) -> dict[str, Figures]:
    """Simulate a mode; return the figures of each phase."""
    phases = Fleet(plan, mode).run()
    return {name: figures(plan, phase) for name, phase in phases.items()}


def figures(plan: Plan, phase: Phase) -> Figures:
    """Reduce the counts of a phase to figures."""
    took, asked = sorted(phase.took), phase.by_instance
    loads = sorted(asked.get(one.address, 0) for one in instances_of(plan, zones=False))
    everyone, of_gateway, of_instance = zip(*phase.open, strict=True)
    return {
        "requests": phase.requests,
        "failed": phase.failed,
        "bad attempts": phase.bad_attempts,
        "dials of 100 attempts": 100 * phase.dials / sum(asked.values()),
        "open": mean(everyone),
        "most open of a gateway": max(of_gateway),
        "most open of an instance": max(of_instance),
        "busiest instance": loads[-1] / mean(loads),
        "idlest instance": loads[0] / mean(loads),
        "p50 ms": 1000 * took[len(took) // 2],
        "p99 ms": 1000 * took[len(took) * 99 // 100],
    }


def shared_out(plan: Plan) -> list[Balance]:
    """Compare the methods over the whole fleet, and within a zone."""
    gateways = [name for name, _ in gateways_of(plan)]
    instances = [instance.address for instance in instances_of(plan, zones=False)]
    zone = gateways[:: plan.zones], instances[:: plan.zones]
    sizes = [plan.size, plan.instances // 10]
    cases = [(gateways, instances, size) for size in sizes] + [(*zone, sizes[0])]
    return [balance(method, *case) for case in cases for method in METHODS]


def peace(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Render the phase in which all is well."""
    names = (
        "open", "most open of a gateway", "most open of an instance", "dials of 100 attempts",
        "busiest instance", "idlest instance", "p50 ms", "p99 ms",
    )  # fmt: skip
    return report.table(
        ("mode", *names),
        [
            (mode, *(_round(phases[PEACE][name]) for name in names))
            for mode, phases in found.items()
        ],
    )


def faults(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Render what failed in each of the other phases."""
    return report.table(
        ("mode", *(f"{fault}: {what}" for fault in (SICK, DEAD, ZONE)
                   for what in ("bad attempts", "failed requests", "of"))),
        [
            (mode, *(
                f"{phases[fault][what]:,.0f}"
                for fault in (SICK, DEAD, ZONE)
                for what in ("bad attempts", "failed", "requests")
            ))
            for mode, phases in found.items()
        ],
    )  # fmt: skip


def sharing(found: Sequence[Balance]) -> str:
    """Render the comparison of methods."""
    return report.table(
        ("gateways x instances, size", "method", "connections", "busiest", "idlest",
         "busiest, gateways uneven", "new when an instance leaves", "new when a gateway leaves"),
        [
            (
                f"{one.gateways} x {one.instances:,}, {one.size}", one.method,
                f"{one.connections:,}", f"{one.most:.2f}", f"{one.least:.2f}",
                f"{one.most_uneven:.2f}", f"{one.instance_leaves:.0f}", f"{one.gateway_leaves:.0f}",
            )
            for one in found
        ],
    )  # fmt: skip


def units(costs: Costs) -> str:
    """Render the unit costs."""
    return report.table(
        ("unit", "cost"),
        [
            ("memory of a worker for an instance that it knows", _kb(costs.instance_bytes)),
            ("memory of a worker for an open connection", _kb(costs.connection_bytes)),
            (f"list of {costs.instances:,} instances, which each push carries",
             _kb(costs.listing_bytes)),
            ("CPU of a worker for a push", _ms(costs.push_cpu)),
            ("CPU for the first choice after a change", _ms(costs.choice_cpu)),
            ("the same with an aperture", _ms(costs.choice_cpu_aperture)),
        ],
    )  # fmt: skip


def _round(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}"


def _kb(size: float) -> str:
    return f"{size / 1000:,.1f} kB"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def picture(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Draw what an aperture changes."""

    def panel(title: str, what: str, phase: str, figure: str) -> Panel:
        bars = [
            PanelRow(mode, phases[phase][figure], _round(phases[phase][figure]))
            for mode, phases in found.items()
        ]
        return Panel(title, what, bars)

    return panels(
        [
            panel("Connections dialled", "of 100 requests", PEACE, "dials of 100 attempts"),
            panel("Attempts that failed", "until a sick instance was left", SICK, "bad attempts"),
            panel("The busiest instance", "times the mean", PEACE, "busiest instance"),
        ],
        ours=[mode for mode in found if "aperture" in mode],
    )


def main() -> None:
    """Measure everything; write the results of a whole run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a small fleet, printed and not kept")
    short = parser.parse_args().short
    end_in_order_on_sigterm()
    plan = SHORT if short else Plan()
    about = report.machine()
    compared = modes(plan)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(simulated, [plan] * len(compared), compared)
        found = dict(zip([mode.name for mode in compared], results, strict=True))
    balances = shared_out(plan)
    costs = measured(plan.instances, PUSHES)
    text = TEXT.format(
        facts=report.facts(about),
        plan=plan,
        load=plan.rate * plan.gateways * plan.work / plan.instances,
        uneven=UNEVEN,
        peace=peace(found),
        faults=faults(found),
        sharing=sharing(balances),
        units=units(costs),
        reckoning=report.table(("figure", "reckoned"), rows(plan, costs)),
        pushes=PUSHES,
        form=form(),
    )
    print(text)
    if not short:
        data = {
            "machine": about,
            "form": form(),
            "plan": asdict(plan),
            "modes": found,
            "sharing": [asdict(one) for one in balances],
            "costs": asdict(costs),
            "reckoning": dict(rows(plan, costs)),
        }
        report.write("scale", markdown=text, data=data, charts={"scale": picture(found)})


if __name__ == "__main__":
    main()
