"""Faults in a real Kubernetes that is built here: `make test-kubernetes`."""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from stack import ROOT
from stack.waiting import wait_until

from benchmarks.gateway.peers import GATEWAY
from benchmarks.kubernetes import faults, images, machines, programs, spring_gateway
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.kubernetes.faults import Fault
from benchmarks.kubernetes.findings import Findings
from benchmarks.kubernetes.installation import CPU, NEXT, Installation, next_of
from benchmarks.kubernetes.journal import Journal
from benchmarks.kubernetes.load import Load
from benchmarks.kubernetes.node import PAUSE
from benchmarks.kubernetes.notices import Elsewhere, without_metrics
from benchmarks.kubernetes.page import BRING_BACK, KEEP, WATCH, Operator
from benchmarks.kubernetes.trial import answers
from benchmarks.measure import report
from benchmarks.measure.process import end_in_order_on_sigterm

WARM_UP_SECONDS = 20.0
KEPT = "a-document"
ARCHIVES = ROOT / ".local" / "kubernetes" / "images"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="a few faults, results not kept")
    parser.add_argument(
        "--faults", default="", help="regular expression in their names; others stay as written"
    )
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second of a whole run")
    return parser.parse_args()


def chosen(options: argparse.Namespace) -> list[Fault]:
    """Return the faults that are wanted."""
    return [
        each
        for each in faults.ALL
        if re.search(options.faults, each.name) and (not options.short or each.name in faults.SHORT)
    ]


def trials(options: argparse.Namespace, work: Path, findings: Findings) -> None:
    """Build the cluster, bring every fault about, and leave nothing of the cluster."""
    cluster = Cluster(programs.made(), work)
    try:
        cluster.start(images.archive(ARCHIVES))
        print("the cluster is ready", flush=True)
        for node in cluster.nodes:
            for name in set(images.names()) - {PAUSE}:
                node.tag(name, next_of(name))
        logs = [node.pods_logs for node in cluster.nodes]
        with Operator(environment(cluster)) as operator, Journal(logs, work / "journal") as journal:
            install(cluster, operator, findings)
            product = Installation(cluster, images.tag(), operator)
            hosts = {GATEWAY: product.address()}
            if not options.short:
                hosts[spring_gateway.DEFAULTS] = spring(product, findings.rate)
            for fault in chosen(options):
                findings.attempt(product, fault, journal, hosts)
            if not (options.short or options.faults):
                beside(product, journal, findings, hosts)
            if not options.short:
                findings.note(*Elsewhere(product).notices())
                findings.write()
    finally:
        cluster.end()


def environment(cluster: Cluster) -> dict[str, str]:
    """Return what docs/deploy.md wants to be set."""
    return {
        "PATH": f"{programs.made()}:{os.environ['PATH']}",
        "KUBECONFIG": str(cluster.kubeconfig),
        "REGISTRY": "modelserve",
        "VERSION": images.tag(),
        "NEW_VERSION": NEXT,
        "NACOS_IMAGE": images.nacos(),
        "NEW_NACOS_IMAGE": next_of(images.nacos()),
        "CPU": CPU,
    }


def install(cluster: Cluster, operator: Operator, findings: Findings) -> None:
    """Do what docs/deploy.md says, but for the upgrade; return when calls are answered."""
    product = Installation(cluster, images.tag(), operator)
    product.install()
    operator.types(WATCH)
    prove_backup(product, operator)
    findings.note(without_metrics(product))
    cluster.start_metrics()
    host = product.address()
    wait_until(lambda: answers(host), seconds=120, what="the gateway's Service answers")
    print("the overlay ha answers", flush=True)


def prove_backup(product: Installation, operator: Operator) -> None:
    """Have a document kept and brought back as the page says.

    Raises:
        TimeoutError: it is not there again.
    """
    product.nacos().publish(KEPT, "kept: true\n")
    operator.types(KEEP)
    product.nacos().withdraw(KEPT)
    operator.types(BRING_BACK)
    wait_until(lambda: product.has_document(KEPT), seconds=60, what="the document is there again")


def spring(product: Installation, rate: float) -> str:
    """Start Spring Cloud Gateway and return its Service's address once it is warm."""
    host = spring_gateway.install(product, images.tag())
    wait_until(lambda: answers(host), seconds=180, what="Spring's Service answers")
    warm_up(host, rate)
    return host


def beside(
    product: Installation, journal: Journal, findings: Findings, hosts: Mapping[str, str]
) -> None:
    """Restart Spring itself, then bring those faults about again that its remedy is for."""
    host = hosts[spring_gateway.DEFAULTS]
    findings.attempt(product, spring_gateway.RESTARTED, journal, {spring_gateway.DEFAULTS: host})
    spring_gateway.apply_remedy(product)
    warm_up(host, findings.rate)
    for fault in spring_gateway.FAULTS:
        findings.attempt(product, fault, journal, {spring_gateway.REMEDY: host})
    findings.attempt(product, spring_gateway.RESTARTED, journal, {spring_gateway.REMEDY: host})


def warm_up(host: str, rate: float) -> None:
    """Offer load for a while, which a new JVM needs before it answers soon."""
    load = Load(host, "warm-up")
    load.start(rate)
    time.sleep(WARM_UP_SECONDS)
    load.stop()


def main() -> int:
    """Bring the faults about; return 1 if the goal was missed, 2 if this machine cannot try."""
    options = arguments()
    if not machines.inside():
        if reason := programs.obstacle() or images.obstacle():
            print(f"test-kubernetes: {reason}", file=sys.stderr)
            return 2
        images.build(programs.made())
        machines.enter()
    end_in_order_on_sigterm()
    machines.settle()
    if options.faults:
        findings = Findings.beside(chosen(options), report.machine())
    else:
        findings = Findings(report.machine(), options.rate, kept=not options.short)
    with tempfile.TemporaryDirectory(prefix="cluster-") as folder:
        trials(options, Path(folder), findings)
    return 0 if findings.good else 1


if __name__ == "__main__":
    sys.exit(main())
