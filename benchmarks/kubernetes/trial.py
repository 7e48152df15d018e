"""A trial: one fault under constant load, and the verdict on it."""

import collections
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.failover.trial import Kind, error_of, results_of
from benchmarks.gateway.calls import DECLARED, UNDECLARED
from benchmarks.kubernetes.faults import Fault
from benchmarks.kubernetes.installation import Installation
from benchmarks.kubernetes.journal import Journal
from benchmarks.kubernetes.load import Load
from benchmarks.measure.load import percentile

BEFORE_SECONDS, AFTER_SECONDS = 5.0, 10.0
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

    gateway: str
    fault: str
    why: str


def run(
    product: Installation, fault: Fault, journal: Journal, *, gateway: str, host: str, rate: float
) -> Verdict:
    """Bring the fault about under load, and judge."""
    load = Load(host, re.sub(r"[^a-z0-9]+", "-", f"{gateway}-{fault.name}".lower()))
    load.start(rate)
    time.sleep(BEFORE_SECONDS)
    begun = time.monotonic()
    try:
        fault.happen(product, load)
        ended = time.monotonic()
        time.sleep(AFTER_SECONDS)
    finally:
        samples = load.stop()
    time.sleep(JOURNAL_SECONDS)
    ran = journal.executions()
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
