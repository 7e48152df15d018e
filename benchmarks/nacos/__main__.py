"""Measure all libraries in one run and write benchmarks/results/nacos.*; other servers' runs stay.

NACOS_VERSION names the server.
"""

import argparse
import tempfile
from pathlib import Path

from stack import STATE
from stack.nacos import NacosServer

from benchmarks.measure.report import machine
from benchmarks.nacos import phases, report
from benchmarks.nacos.observer import Observer
from benchmarks.nacos.peers import PEERS, Peer
from benchmarks.nacos.phases import SHORT, Bench, Plan
from benchmarks.nacos.subject import environment_of

NAMESPACE = "bench"
SDK = "nacos-sdk-python"


def main() -> None:
    """Parse arguments, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a minute's smoke; writes no results")
    parser.add_argument("--only", nargs="+", default=[peer.name for peer in PEERS])
    parser.add_argument("--again", action="store_true", help="only write the report again")
    arguments = parser.parse_args()
    if arguments.again:
        report.write_again()
        return
    before = machine()
    pythons, missing = environments([peer for peer in PEERS if peer.name in arguments.only])
    with tempfile.TemporaryDirectory() as folder:
        bench = start(Path(folder), pythons, SHORT if arguments.short else Plan())
        try:
            measure(bench)
        finally:
            bench.server.stop()
    bench.figures |= missing
    report.complete(bench.figures)
    version, run = bench.server.release.version, report.Run(before, bench.plan, bench.figures)
    if arguments.short:
        print(report.markdown({version: run}))
    else:
        report.write(version, run)


def environments(peers: list[Peer]) -> tuple[dict[Peer, Path], dict[str, phases.Figures]]:
    """Make the virtual environments; return those made, and the reasons why others could not be."""
    pythons: dict[Peer, Path] = {}
    missing: dict[str, phases.Figures] = {}
    for peer in peers:
        try:
            pythons[peer] = environment_of(peer, STATE / "bench-nacos")
        except RuntimeError as error:
            missing[peer.name] = {"not measured": str(error)}
    return pythons, missing


def start(home: Path, pythons: dict[Peer, Path], plan: Plan) -> Bench:
    """Start a Nacos server with a namespace for the benchmark."""
    server = NacosServer(home / "nacos")
    server.start()
    server.wait_ready()
    access = server.access.new_namespace(NAMESPACE)
    return Bench(server, Observer(access), pythons, dict(access.environment), home, plan)


def measure(bench: Bench) -> None:
    """Run every phase."""
    for title, phase, what in (
        ("registration", phases.registration, "registration"),
        ("configuration", phases.configuration, "config"),
    ):
        print(title, flush=True)
        for peer in bench.able(what):
            phase(bench, peer)
    print("pushes", flush=True)
    phases.pushes(bench)
    print("idle, freeze, restart", flush=True)
    phases.residence(bench)
    print("scale", flush=True)
    sdk = next(peer for peer in bench.pythons if peer.name == SDK)
    with phases.filled(bench, sdk):
        for peer in bench.able("scale"):
            phases.scale(bench, peer)


if __name__ == "__main__":
    main()
