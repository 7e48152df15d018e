"""A fleet on a virtual clock: many gateways before many instances, in zones, with faults.

Each gateway has the balancer that the real one has, and it picks, records, ejects and retries as
the real one does. Simulated are the arrivals (at random moments), the work of an instance (one
request at a time, others wait there), connections that are closed after some idle seconds, and what
fails. Nacos never takes a bad instance out, so all that helps is what the gateways decide.
"""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Any

from failover import Again, Aperture, Balancer, Instance, Member, NoInstance, Outcome, RetryState

IDLE_SECONDS = 4.0
"""Seconds after which an idle connection is closed: the default of GATEWAY_UPSTREAM_IDLE."""
DEADLINE_SECONDS = 15.0
REFUSAL_SECONDS = 0.0005
BAD_ANSWER_SECONDS = 0.002
WARM_UP, PEACE, SICK, DEAD, ZONE = (
    "warm-up", "peace", "one instance answers 503", "one instance is gone", "a zone is gone",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mode:
    """A way of sharing out; with `size` 0 each gateway takes every instance it may."""

    name: str
    zones: bool
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The fleet's extent.

    Attributes:
        gateways: in all zones together.
        instances: in all zones together.
        zones: how many zones there are.
        rate: requests a second of each gateway.
        work: seconds that an instance works on a request, on average.
        phases: the seconds of each phase, in order.
    """

    gateways: int = 100
    instances: int = 1000
    zones: int = 5
    rate: float = 100.0
    work: float = 0.04
    phases: Mapping[str, float] = field(
        default_factory=lambda: {WARM_UP: 5.0, PEACE: 20.0, SICK: 5.0, DEAD: 5.0, ZONE: 10.0}
    )

    @property
    def size(self) -> int:
        """Return the size of an aperture with which three gateways prefer each instance."""
        return 3 * self.instances // self.gateways


class Health(Enum):
    """The behaviour of an instance."""

    WELL = "answers"
    SICK = "answers 503 at once"
    GONE = "refuses connections"


class Server:
    """An instance: works on one request at a time."""

    __slots__ = ("busy", "health", "queue")

    def __init__(self) -> None:
        self.health = Health.WELL
        self.busy = False
        self.queue: deque[Request] = deque()


class Gateway:
    """A gateway: the real balancer, and when each idle connection was last used."""

    __slots__ = ("balancer", "idle", "name", "zone")

    def __init__(self, name: str, zone: str) -> None:
        self.name, self.zone = name, zone
        self.balancer = Balancer(cluster=zone)
        self.idle: dict[Member, list[float]] = {}


class Request:
    """A request at its gateway."""

    __slots__ = ("born", "gateway", "member", "state")

    def __init__(self, gateway: Gateway, born: float) -> None:
        self.gateway, self.born = gateway, born
        self.state = RetryState(repeatable=True, deadline=born + DEADLINE_SECONDS)
        self.member: Member | None = None


@dataclass
class Phase:
    """Counts of one phase.

    Attributes:
        requests: that ended.
        failed: requests that ended without an answer.
        bad_attempts: attempts that failed.
        dials: connections that were opened.
        took: answer times in seconds.
        by_instance: attempts, by address.
        open: connections at each second: of all, most of a gateway, most of an instance.
    """

    requests: int = 0
    failed: int = 0
    bad_attempts: int = 0
    dials: int = 0
    took: list[float] = field(default_factory=list)
    by_instance: Counter[str] = field(default_factory=Counter)
    open: list[tuple[int, int, int]] = field(default_factory=list)


def gateways_of(plan: Plan) -> list[tuple[str, int]]:
    """Return the address of each gateway, and the number of its zone."""
    zones = plan.zones
    return [(f"10.0.{n % zones}.{n // zones}:8000", n % zones) for n in range(plan.gateways)]


def instances_of(plan: Plan, *, zones: bool) -> list[Instance]:
    """Return the instances, in their zones or all in one."""
    return [
        Instance(
            f"10.1.{n % plan.zones}.{n // plan.zones % 250}",
            8000 + n // plan.zones // 250,
            cluster=f"zone-{n % plan.zones}" if zones else "DEFAULT",
        )
        for n in range(plan.instances)
    ]


class Fleet:
    """The simulation of one mode: `run` returns the counts of each phase."""

    def __init__(self, plan: Plan, mode: Mode, seed: int = 7) -> None:
        self.plan = plan
        self.now = 0.0
        self.phases: dict[str, Phase] = {}
        self.phase = Phase()
        self._dice = random.Random(seed)
        self._order = count()
        self._agenda: list[tuple[float, int, Callable[[Any], None], Any]] = []
        found = instances_of(plan, zones=mode.zones)
        self.servers = {instance.address: Server() for instance in found}
        self.gateways = []
        for name, number in gateways_of(plan):
            gateway = Gateway(name, f"zone-{number}" if mode.zones else "DEFAULT")
            gateway.balancer.sync(found, 0.0)
            self.gateways.append(gateway)
        if mode.size:
            for gateway in self.gateways:
                own_zone = [one.name for one in self.gateways if one.zone == gateway.zone]
                aperture = Aperture.among(own_zone, gateway.name, size=mode.size)
                gateway.balancer.narrow(aperture)

    def run(self) -> dict[str, Phase]:
        """Let the phases pass, one after the other."""
        end = 0.0
        for name, seconds in self.plan.phases.items():
            self._later(end, self._begin, name)
            end += seconds
        for second in range(1, int(end)):
            self._later(second - 0.001, self._look, None)
        for gateway in self.gateways:
            self._later(self._dice.expovariate(self.plan.rate), self._arrive, gateway)
        agenda = self._agenda
        while agenda[0][0] < end:
            self.now, _, act, what = heapq.heappop(agenda)
            act(what)
        return self.phases

    def _later(self, delay: float, act: Callable[[Any], None], what: object) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._order), act, what))

    def _begin(self, name: str) -> None:
        self.phase = self.phases[name] = Phase()
        servers = list(self.servers.values())
        faults = {
            SICK: (Health.SICK, servers[:1]),
            DEAD: (Health.GONE, servers[1:2]),
            ZONE: (Health.GONE, servers[:: self.plan.zones]),
        }
        health, hit = faults.get(name, (Health.WELL, servers))
        for server in servers:
            server.health = Health.WELL
        for server in hit:
            server.health = health
            while health is Health.GONE and len(server.queue) > 1:  # the first one ends in `_done`
                self._failed(server.queue.pop(), Outcome.BROKEN)

    def _look(self, _: None) -> None:
        """Count the connections that are open."""
        each: Counter[str] = Counter()
        most = everyone = 0
        for gateway in self.gateways:
            mine = 0
            for member in gateway.balancer.members.values():
                idle = gateway.idle.get(member, ())
                fresh = sum(self.now - since <= IDLE_SECONDS for since in idle)
                each[member.address] += fresh + member.in_flight
                mine += fresh + member.in_flight
            most, everyone = max(most, mine), everyone + mine
        self.phase.open.append((everyone, most, max(each.values())))

    def _arrive(self, gateway: Gateway) -> None:
        self._later(self._dice.expovariate(self.plan.rate), self._arrive, gateway)
        gateway.balancer.budget.deposit(self.now)
        self._attempt(Request(gateway, self.now))

    def _attempt(self, request: Request) -> None:
        gateway, phase = request.gateway, self.phase
        member = gateway.balancer.pick(request.state, self.now, self._dice.random())
        if isinstance(member, NoInstance):
            phase.requests += 1
            phase.failed += 1
            return
        request.member = member
        phase.by_instance[member.address] += 1
        server = self.servers[member.address]
        idle = gateway.idle.get(member)
        if not (idle and self.now - idle.pop() <= IDLE_SECONDS):
            phase.dials += 1
        if server.health is Health.GONE:
            self._later(REFUSAL_SECONDS, self._refused, request)
        elif server.health is Health.SICK:
            self._later(BAD_ANSWER_SECONDS, self._unavailable, request)
        else:
            server.queue.append(request)
            self._work(server)

    def _work(self, server: Server) -> None:
        if server.queue and not server.busy:
            server.busy = True
            self._later(self._dice.expovariate(1 / self.plan.work), self._done, server)

    def _done(self, server: Server) -> None:
        request = server.queue.popleft()
        server.busy = False
        if server.health is Health.GONE:
            self._failed(request, Outcome.BROKEN)
            return
        self._work(server)
        self._record(request, Outcome.ANSWERED)
        self._put(request)
        self.phase.requests += 1
        self.phase.took.append(self.now - request.born)

    def _refused(self, request: Request) -> None:
        self._failed(request, Outcome.REFUSED)

    def _unavailable(self, request: Request) -> None:
        self._put(request)
        self._failed(request, Outcome.UNAVAILABLE)

    def _failed(self, request: Request, outcome: Outcome) -> None:
        self.phase.bad_attempts += 1
        self._record(request, outcome)
        decision = request.gateway.balancer.decide(
            request.state, outcome, self.now, self._dice.random()
        )
        if isinstance(decision, Again):
            self._later(decision.delay, self._attempt, request)
        else:
            self.phase.requests += 1
            self.phase.failed += 1

    def _record(self, request: Request, outcome: Outcome) -> None:
        request.gateway.balancer.record(request.state, outcome, self.now, self._dice.random())

    def _put(self, request: Request) -> None:
        """Keep the connection."""
        if request.member is not None:
            request.gateway.idle.setdefault(request.member, []).append(self.now)


def modes(plan: Plan) -> Sequence[Mode]:
    """Return what is compared: with and without zones, with and without an aperture."""
    size = plan.size
    return (
        Mode("every instance", zones=False, size=0),
        Mode(f"aperture {size}", zones=False, size=size),
        Mode("own zone", zones=True, size=0),
        Mode(f"own zone, aperture {size}", zones=True, size=size),
    )
