"""A trial: one fault with one gateway, and the verdict on it."""

import collections
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.failover.client import Client, Plan
from benchmarks.failover.faults import Fault
from benchmarks.failover.network import SAMPLE_SECONDS, Traffic
from benchmarks.failover.shares import left_after, settled
from benchmarks.failover.world import GATEWAY_PORT, World, journal
from benchmarks.gateway.calls import DECLARED, UNDECLARED
from benchmarks.measure.load import Sample, percentile

SETTLE_SECONDS = 90.0
"""Seconds in which an instance must have its share of the traffic back after an earlier fault."""
WARM_UP_SECONDS, WARM_UP_WINDOWS = 5.0, 24
WARM_SECONDS = 0.25
"""Seconds below which the 99th percentile of a warm gateway's latency stays without a fault."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of load before and after a fault, and the rate in requests per second."""

    before: float = 3.0
    after: float = 4.0
    rate: float = 150.0


@dataclass(frozen=True, slots=True)
class Kind:
    """The results of the requests of one kind.

    Attributes:
        failures: requests with no response, or a status of 500 and above.
        lost: requests answered well but never executed, which must happen with no gateway.
        repeated: requests executed more than once.
    """

    requests: int
    failures: int
    lost: int
    repeated: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a trial.

    Attributes:
        p99_ms: of all requests that became due while the fault lasted.
        declared_max_ms: of the declared ones among them.
        peace: share of the requests due before the fault that were executed more than once.
        left_after: seconds until traffic had left the bad instances; None: it had not by the end;
            -1: no instance is bad, or the gateway avoided a bad one before the fault already.
        recovered_after: seconds from the end of the load until all instances were used again.
        errors: number of each error, of declared requests only.
        examples: a few failures, with the seconds since the fault began.
    """

    gateway: str
    fault: str
    declared: Kind
    undeclared: Kind
    p50_ms: float
    p99_ms: float
    max_ms: float
    declared_max_ms: float
    peace: float
    left_after: float | None
    recovered_after: float
    errors: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """Return whether no declared request failed or got lost and no undeclared one ran twice."""
        kinds = (self.declared, self.undeclared)
        return not (
            self.declared.failures or self.undeclared.repeated or any(kind.lost for kind in kinds)
        )


def warm_up(world: World, timing: Timing) -> None:
    """Offer the load until a window of it is answered well and soon; a JVM needs minutes for that.

    Raises:
        TimeoutError: none of `WARM_UP_WINDOWS` windows was.
    """
    for number in range(WARM_UP_WINDOWS):
        client = Client(Plan(GATEWAY_PORT, timing.rate, f"warm-up-{time.monotonic_ns()}-{number}"))
        client.start()
        time.sleep(WARM_UP_SECONDS)
        samples = client.stop()
        latencies = [one.latency for one in samples]
        if not any(one.failed for one in samples) and percentile(latencies, 0.99) < WARM_SECONDS:
            return
    raise TimeoutError(f"{world.gateway_name} does not carry {timing.rate:g} requests a second")


def run(world: World, fault: Fault, timing: Timing) -> Verdict:
    """Bring the fault about under load, undo it, wait until all instances are used, and judge."""
    label = f"{world.gateway_name}-{fault.name}-{time.monotonic_ns()}".replace(" ", "-")
    client = Client(Plan(GATEWAY_PORT, timing.rate, "".join(filter(_harmless, label))))
    with Traffic() as traffic:
        client.start()
        settle(traffic, fault.bad, timing.before)
        begun = time.monotonic()
        fault.begin(world)
        if fault.seconds is not None:
            time.sleep(max(0.0, begun + fault.seconds - time.monotonic()))
        ended = time.monotonic()
        fault.end(world)
        time.sleep(timing.after)
        samples = client.stop()
    stopped = time.monotonic()
    world.wait_recovered()
    recovered_after = time.monotonic() - stopped
    ran = executions(world.site.work)
    during = [one for one in samples if begun <= one.due <= ended]
    before = [one for one in samples if one.due < begun]
    latencies = [one.latency * 1e3 for one in during]
    failed = [one for one in samples if one.failed]
    return Verdict(
        gateway=world.gateway_name,
        fault=fault.name,
        declared=results_of(samples, DECLARED, ran),
        undeclared=results_of(samples, UNDECLARED, ran),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        max_ms=max(latencies),
        declared_max_ms=max(one.latency * 1e3 for one in during if one.kind == DECLARED),
        peace=sum(ran.get(one.identity, 0) > 1 for one in before) / len(before),
        left_after=left_after(
            traffic.readings, fault.bad, since=begun - timing.before, begun=begun, ended=ended
        ),
        recovered_after=recovered_after,
        errors=dict(collections.Counter(error_of(one) for one in failed if one.kind == DECLARED)),
        examples=[
            f"{one.kind} {one.due - begun:+.3f} s, {one.latency:.3f} s: {error_of(one)}"
            for one in failed[:8]
        ],
    )


def settle(traffic: Traffic, bad: Sequence[str], seconds: float) -> None:
    """Let the load go on for `seconds`, and until the instances to go bad have traffic to lose.

    After an earlier fault a gateway may spare an instance for a while.
    """
    began = time.monotonic()
    time.sleep(seconds)
    while not settled(traffic.readings, bad, since=time.monotonic() - seconds):
        if time.monotonic() > began + SETTLE_SECONDS:
            return
        time.sleep(SAMPLE_SECONDS)


def executions(work: Path) -> Mapping[str, int]:
    """Count the executions of each request by its id, from the instances' journal."""
    return collections.Counter(line.split()[2] for line in journal(work).read_text().splitlines())


def results_of(samples: Sequence[Sample], kind: str, ran: Mapping[str, int]) -> Kind:
    """Count the results of the requests of one kind; `ran` has the executions by a request's id."""
    mine = [one for one in samples if one.kind == kind]
    return Kind(
        requests=len(mine),
        failures=sum(one.failed for one in mine),
        lost=sum(not one.failed and not ran.get(one.identity) for one in mine),
        repeated=sum(ran.get(one.identity, 0) > 1 for one in mine),
    )


def error_of(sample: Sample) -> str:
    """Return why a request failed."""
    return sample.error or f"status {sample.status}"


def _harmless(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "-.")
