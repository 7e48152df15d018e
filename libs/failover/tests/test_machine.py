"""A random life of a balancer: whatever happens in whatever order, these things hold."""

from collections.abc import Iterable

from failover import Again, Aperture, Balancer, Instance, Member, NoInstance, Outcome, RetryState
from hypothesis import settings, strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

DRAWS = st.floats(0, 1, exclude_max=True)
LIMIT = 3
INSTANCES = st.builds(
    Instance,
    ip=st.just("10.0.0.1"),
    port=st.integers(1, 5),
    weight=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    healthy=st.booleans(),
    enabled=st.booleans(),
    cluster=st.sampled_from(["A", "B"]),
    metadata=st.sampled_from([{}, {"gateway.max-in-flight": "1"}]),
)


class LifeOfAPool(RuleBasedStateMachine):
    """Instances come and go, requests are sent, fail, are retried; time passes."""

    running = Bundle("running")
    failed = Bundle("failed")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.balancer = Balancer(cluster="A", max_in_flight=LIMIT)
        self.ever: set[Member] = set()
        self.live: list[RetryState] = []
        self.admitted: list[float] = []
        self.retried: list[float] = []

    @rule(seconds=st.sampled_from([0.01, 0.5, 3.0, 20.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        """Nothing else happens."""
        self.now += seconds

    @rule(found=st.lists(INSTANCES, max_size=5, unique_by=lambda instance: instance.port))
    def discovery_pushes(self, found: list[Instance]) -> None:
        """The balancer shows exactly what discovery says."""
        self.balancer.sync(found, self.now)

        assert set(self.balancer.members) == {instance.address for instance in found}
        self.ever |= set(self.balancer.members.values())

    @rule(size=st.integers(1, 4), place=st.integers(0, 2))
    def another_gateway_comes(self, *, size: int, place: int) -> None:
        """Three gateways share the instances out now."""
        self.balancer.narrow(Aperture(size, place, 3))

    @rule(target=running, repeatable=st.booleans(), draw=DRAWS)
    def a_request_arrives(self, *, repeatable: bool, draw: float) -> RetryState:
        """A client asks."""
        request = RetryState(repeatable=repeatable, deadline=self.now + 15)
        self.balancer.budget.deposit(self.now)
        self.admitted.append(self.now)
        self.send(request, draw)
        return request

    @rule(request=running, draw=DRAWS)
    def an_instance_says_that_it_drains(self, request: RetryState, draw: float) -> None:
        """It is out of traffic from its answer on."""
        member = request.current
        self.balancer.note_draining(request, self.now, draw)
        if member in self.balancer.members.values():
            assert member.ejection.cause is not None

    @rule(target=failed, request=consumes(running), outcome=st.sampled_from(Outcome), draw=DRAWS)
    def an_attempt_ends(self, request: RetryState, outcome: Outcome, draw: float) -> RetryState:
        """A refusal ejects at once."""
        asked = 3.0 if outcome is Outcome.DECLINED else None
        member = request.current
        self.balancer.record(request, outcome, self.now, draw, asked)
        self.live = [one for one in self.live if one is not request]
        if outcome is Outcome.REFUSED and member in self.balancer.members.values():
            assert member.ejection.cause is not None
        return request

    @rule(target=running, request=consumes(failed), draw=DRAWS)
    def the_gateway_decides(self, request: RetryState, draw: float) -> RetryState:
        """A retry is sent at once."""
        if request.outcomes:
            decision = self.balancer.decide(request, request.outcomes[-1], self.now, draw)
            if isinstance(decision, Again):
                self.retried.append(self.now)
                if decision.fresh:
                    self.balancer.start_attempt(request, request.tried[-1], self.now)
                    self.live.append(request)
                else:
                    self.send(request, draw)
        return request

    def send(self, request: RetryState, draw: float) -> None:
        """Whoever is picked was allowed to be."""
        if request.current is not None:
            return
        before = set(request.tried)
        member = self.balancer.pick(request, self.now, draw)
        if isinstance(member, NoInstance):
            untried = {m for m in self.balancer.members.values() if serves(m)} - before
            free = {m for m in untried if m.in_flight < m.limit}
            if member is NoInstance.FULL:
                assert untried - free, "somebody is waited for"
            assert not (free if member is not NoInstance.FULL else free & in_traffic(untried))
            return
        self.live.append(request)
        assert serves(member), "disabled and weightless instances get nothing"
        assert member not in before, "never the same instance while an untried one exists"
        assert member.in_flight <= member.limit
        better = in_traffic(
            m for m in self.balancer.members.values() if serves(m) and m not in before
        )
        if better and not request.probe:
            assert member.instance.healthy, "who has no room is waited for"
        if better and member.ejection.cause is not None and not request.probe:
            out = [m for m in self.balancer.members.values() if m.ejection.cause is not None]
            assert len(out) * 2 > sum(map(serves, self.balancer.members.values())) or any(
                not m.instance.healthy or not serves(m) for m in self.balancer.members.values()
            ), "an ejected instance is used beside a good one only in panic"
        if request.probe:
            assert self.now >= member.ejection.until

    @invariant()
    def load_is_what_is_running(self) -> None:
        """In-flight counts neither leak nor go negative."""
        for member in self.ever:
            assert member.in_flight == sum(one.current is member for one in self.live)

    @invariant()
    def one_probe_at_a_time(self) -> None:
        """An ejected member is tried by one request."""
        for member in self.ever:
            assert sum(one.probe and one.current is member for one in self.live) <= 1

    @invariant()
    def retries_stay_in_their_budget(self) -> None:
        """In any ten seconds: 20 % of the requests + 10 a second."""
        start = int(self.now) - 9
        earned = 0.2 * sum(moment >= start for moment in self.admitted) + 100
        assert sum(moment >= start for moment in self.retried) <= earned

    @invariant()
    def costs_are_sane(self) -> None:
        """Averages stay finite."""
        for member in self.ever:
            assert 0 <= member.cost < float("inf")


def serves(member: Member) -> bool:
    instance = member.instance
    return instance.enabled and instance.weight > 0 and not member.drained


def in_traffic(members: Iterable[Member]) -> set[Member]:
    return {m for m in members if m.instance.healthy and m.ejection.cause is None}


TestLifeOfAPool = LifeOfAPool.TestCase
TestLifeOfAPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
