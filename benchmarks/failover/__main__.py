"""Faults under load: `make bench-failover` compares, `make bench-failover-short` checks ours."""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from stack import jars

from benchmarks.failover import faults, network
from benchmarks.failover.text import left, markdown, picture
from benchmarks.failover.trial import Timing, Verdict, run, warm_up
from benchmarks.failover.world import World
from benchmarks.gateway.peers import GATEWAY, versions
from benchmarks.measure import report
from benchmarks.measure.process import end_in_order_on_sigterm


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few faults, results not kept")
    parser.add_argument("--only", default="", help="gateways, comma-separated; default all")
    parser.add_argument("--faults", default="", help="part of a fault's name; default all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for logs and journals")
    return parser.parse_args()


def trials(options: argparse.Namespace, work: Path, timing: Timing) -> list[Verdict]:
    """Run every fault with every gateway that it concerns."""
    chosen = [
        fault
        for fault in (faults.SHORT if options.short else faults.ALL)
        if options.faults in fault.name
    ]
    gateways = options.only.split(",") if options.only else list(faults.EVERYONE)
    found = []
    with World(work) as world:
        for gateway in (GATEWAY,) if options.short else gateways:
            world.start_gateway(gateway)
            warm_up(world, timing)
            for fault in chosen * options.rounds:
                if gateway in fault.gateways:
                    found.append(run(world, fault, timing))
                    print(_line(found[-1]), flush=True)
            world.stop_gateway()
    return found


def _line(one: Verdict) -> str:
    text = (
        f"{one.gateway:21} {one.fault:36} {one.declared.failures:4} failed of"
        f" {one.declared.requests}, {one.declared.repeated} repeated; undeclared"
        f" {one.undeclared.failures} failed, {one.undeclared.repeated} repeated;"
        f" p99 {one.p99_ms:.0f} ms, declared at worst {one.declared_max_ms:.0f} ms;"
        f" {one.peace:.2%} twice in peace; left {left(one.left_after)};"
        f" recovered {one.recovered_after:.0f} s"
    )
    return "\n    ".join((text, *one.examples))


def main() -> int:
    """Write the report; return 1 if our gateway missed its goal."""
    options = arguments()
    jars.fetch()  # while the machine's own network is still within reach
    network.enter()
    end_in_order_on_sigterm()
    about = report.machine()
    timing = Timing(before=2.0, after=2.0) if options.short else Timing()
    with tempfile.TemporaryDirectory() as folder:
        verdicts = trials(options, options.keep or Path(folder), timing)
    ours = [one for one in verdicts if one.gateway == GATEWAY]
    if not (options.short or options.only or options.faults):
        report.write(
            "failover",
            markdown=markdown(verdicts, timing, about, versions()),
            data={
                "machine": about,
                "versions": versions(),
                "timing": asdict(timing),
                "trials": [{**asdict(one), "good": one.good} for one in verdicts],
            },
            charts={"failover": picture(verdicts)},
        )
    return 0 if all(one.good for one in ours) else 1


if __name__ == "__main__":
    sys.exit(main())
