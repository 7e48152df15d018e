"""A trial: one fault under constant load, and the verdict on it."""

import collections
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from stack.waiting import wait_until

from benchmarks.failover.trial import Kind, error_of, results_of
from benchmarks.gateway.calls import DECLARED, SERVICE, UNDECLARED
from benchmarks.kubernetes.faults import Fault
from benchmarks.kubernetes.installation import Installation
from benchmarks.kubernetes.journal import Journal
from benchmarks.kubernetes.load import Load
from benchmarks.measure.load import Sample, percentile

BEFORE_SECONDS, AFTER_SECONDS = 5.0, 10.0
SETTLE_SECONDS, SETTLED_CALLS = 120.0, 30
JOURNAL_SECONDS = 5.0
"""Seconds until the log of a pod has what its program wrote."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a trial.

    Attributes:
        seconds: how long the fault took.
        errors: number of each error, of declared requests only.
        examples: a few failures, with the seconds since the fault began.
    """

    gateway: str
    fault: str
    seconds: float
    declared: Kind
    undeclared: Kind
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """Return whether no declared request failed or got lost and no undeclared one ran twice."""
        kinds = (self.declared, self.undeclared)
        return not (
            self.declared.failures or self.undeclared.repeated or any(kind.lost for kind in kinds)
        )


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A trial without a verdict, and why: the cluster did not come to where the fault ends."""

    fault: str
    why: str


def run(
    product: Installation,
    fault: Fault,
    journal: Journal,
    *,
    hosts: Mapping[str, str],
    rate: float,
) -> list[Verdict]:
    """Bring the fault about under load on each gateway at the same time, and judge each.

    `hosts` has the address of the Service of each gateway by its name; a fault that offers more
    load offers it to the first.
    """
    for host in hosts.values():
        settle(host)
    loads = {name: Load(host, _label(name, fault)) for name, host in hosts.items()}
    for load in loads.values():
        load.start(rate)
    time.sleep(BEFORE_SECONDS)
    begun = time.monotonic()
    try:
        fault.happen(product, next(iter(loads.values())))
        ended = time.monotonic()
        time.sleep(AFTER_SECONDS)
    finally:
        samples = {name: load.stop() for name, load in loads.items()}
    time.sleep(JOURNAL_SECONDS)
    ran = journal.executions()
    while_it_lasts = (begun, ended)
    return [_verdict(name, fault, mine, ran, while_it_lasts) for name, mine in samples.items()]


def settle(host: str) -> None:
    """Return when a gateway has got over the fault before, or has not for a long time."""
    with suppress(TimeoutError):
        wait_until(
            lambda: answers(host, SETTLED_CALLS), seconds=SETTLE_SECONDS, what="all is well again"
        )


def answers(host: str, calls: int = 1) -> bool:
    """Return whether so many calls in a row are answered well, each within a second."""
    url = f"http://{host}/{SERVICE}{DECLARED}"
    with httpx.Client(trust_env=False, timeout=1) as client:
        try:
            given = [
                client.post(url, json={}, headers={"X-Request-Id": "settling"})
                for _ in range(calls)
            ]
        except httpx.HTTPError:
            return False
    return all(one.status_code == httpx.codes.OK for one in given)


def _label(gateway: str, fault: Fault) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{gateway}-{fault.name}".lower())


def _verdict(
    gateway: str,
    fault: Fault,
    samples: Sequence[Sample],
    ran: Mapping[str, int],
    while_it_lasts: tuple[float, float],
) -> Verdict:
    begun, ended = while_it_lasts
    latencies = [one.latency * 1e3 for one in samples if begun <= one.due <= ended]
    failed = [one for one in samples if one.failed]
    return Verdict(
        gateway=gateway,
        fault=fault.name,
        seconds=ended - begun,
        declared=results_of(samples, DECLARED, ran),
        undeclared=results_of(samples, UNDECLARED, ran),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        max_ms=max(latencies),
        errors=dict(collections.Counter(error_of(one) for one in failed if one.kind == DECLARED)),
        examples=[
            f"{one.kind} {one.due - begun:+.3f} s, {one.latency:.3f} s: {error_of(one)}"
            for one in failed[:8]
        ],
    )
