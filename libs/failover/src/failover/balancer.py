"""The instances of one service: which one gets a request, what is learnt, when to try again.

One `Balancer` per service, one `RetryState` per request:

    state = RetryState(repeatable=True, deadline=now + 15)
    balancer.budget.deposit(now)
    while isinstance(member := balancer.pick(state, now, draw), Member):
        ...send the request to member.instance...
        balancer.record(state, outcome, now, draw)
        if isinstance(decision := balancer.decide(state, outcome, now, draw), Stop):
            break
        ...wait decision.delay...

Clock and random draws are arguments. A balancer belongs to one thread.
"""

from collections.abc import Iterable, Mapping

from failover.budget import Budget, BudgetPolicy
from failover.ejection import Cause, EjectionPolicy
from failover.instance import Instance, one_each
from failover.outcome import TABLE, Outcome
from failover.peak_ewma import UNMEASURED, Member, choose, median_cost
from failover.retry import Again, Facts, Stop, Stopped, decide
from failover.retry_state import NoInstance, RetryState
from failover.tiers import EVERYBODY, Subset, Tiers, arrange


class Balancer:
    """One service's instances and its retry budget."""

    def __init__(
        self,
        *,
        cluster: str = "DEFAULT",
        max_in_flight: int = 1024,
        ejection: EjectionPolicy | None = None,
        budget: BudgetPolicy | None = None,
    ) -> None:
        """Start without instances.

        Args:
            cluster: the caller's own Nacos cluster, preferred while it can serve.
            max_in_flight: attempts one instance may have under way; its metadata can say otherwise.
            ejection: thresholds.
            budget: size of the retry budget.
        """
        self.budget = Budget(budget)
        self.ejected: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self._cluster = cluster
        self._max_in_flight = max_in_flight
        self._policy = ejection or EjectionPolicy()
        self._members: dict[str, Member] = {}
        self._tiers: dict[Subset | None, Tiers] = {}
        self._out: tuple[Member, ...] = ()
        self._in_traffic: tuple[Member, ...] = ()
        self._drained_in_advance: set[str] = set()

    @property
    def members(self) -> Mapping[str, Member]:
        """Every member by `ip:port`, in or out of traffic."""
        return self._members

    def sync(self, instances: Iterable[Instance], now: float) -> tuple[Member, ...]:
        """Adopt the instances that discovery reports; return the members that left.

        A changed registration means a restarted or repaired instance, so it ends an ejection.
        Attempts under way keep their member and may still be recorded.
        """
        before, self._members = self._members, {}
        for instance in one_each(instances, self._cluster):
            member = before.pop(instance.address, None)
            if member is None:
                known = (*before.values(), *self._members.values())
                member = Member(
                    instance, self._policy,
                    limit=self._max_in_flight, cost=median_cost(known), now=now,
                )  # fmt: skip
                member.drained = instance.address in self._drained_in_advance
            elif member.instance != instance:
                member.describe(instance)
                if member.ejection.cause is not None:
                    self._restore(member, now)
            self._members[instance.address] = member
        if self._members:
            self._drained_in_advance.clear()
        self._changed()
        return tuple(before.values())

    def pick(self, state: RetryState, now: float, draw: float) -> Member | NoInstance:
        """Choose the instance for the next attempt and count the attempt as in flight there."""
        probed = self._due_probe(state, now) if self._out else None
        member = probed or self._search(state, now, draw)
        if isinstance(member, NoInstance):
            return member
        state.charged_attempts += 1
        if member not in state.tried:
            state.tried += (member,)
        self.start_attempt(state, member, now)
        if probed:
            state.probe = probed.ejection.probing = True
        return member

    def start_attempt(self, state: RetryState, member: Member, now: float) -> None:
        """Begin an attempt at a member; called directly, the attempt is not charged to the request.

        The uncharged attempt is the one on a fresh connection after a keep-alive race.
        """
        member.in_flight += 1
        state.current = member
        state.started = now
        state.ejected = member.ejection.cause is not None
        state.probe = False
        state.may_be_followed = self.may_go_elsewhere(state)

    def end_ejection_on_answer(self, state: RetryState, now: float) -> None:
        """End the member's ejection on the head of its answer, whatever follows the head.

        The head proves that the instance serves; a stream or a tunnel may then last for hours.
        """
        member = state.current
        if member is None or not state.ejected:
            return
        state.ejected = state.probe = False  # the head proves nothing about later failures
        if member.ejection.cause is not None:
            self._restore(member, now)

    def record(
        self,
        state: RetryState,
        outcome: Outcome,
        now: float,
        draw: float,
        retry_after: float | None = None,
        *,
        took: float | None = None,
    ) -> None:
        """End the attempt under way and learn from its outcome.

        Args:
            state: the request's.
            outcome: what the attempt proved.
            now: the clock.
            draw: uniform in [0, 1).
            retry_after: seconds from a `Retry-After` of the instance.
            took: seconds until the head or the end, by default until now; 0 says nothing.
        """
        member = state.current
        if member is None:
            return
        member.in_flight -= 1
        state.outcomes += (outcome,)
        strikes = TABLE[outcome].strikes
        if took is None:
            took = now - state.started
        if outcome is Outcome.ANSWERED:
            if took > 0.0:
                member.answer(took, state.started, now)
            member.ejection.succeed(now)
            self.end_ejection_on_answer(state, now)
        elif outcome is Outcome.ABANDONED and took > member.cost:
            member.measure(took, now)
        elif strikes:
            self._blame(member, outcome, now, draw, retry_after=retry_after, probe=state.probe)
            member.fail(took, median_cost(self._members.values()), now)
        if state.probe:
            member.ejection.probing = False
        state.current = None

    def may_go_elsewhere(self, state: RetryState) -> bool:
        """Return whether an attempt given up now could be followed by one on another instance.

        If not, to give it up before the request's deadline would only turn a slow answer into none.
        """
        if not (state.repeatable and state.replayable):
            return False
        if state.charged_attempts >= state.policy.max_attempts:
            return False
        for member in self._in_traffic:  # noqa: SIM110 - `any` costs each request twice as much
            if member not in state.tried:
                return True
        return False

    def hedge(self, state: RetryState, now: float, draw: float) -> RetryState | None:
        """Begin a second attempt beside the one under way, paid from the budget.

        Only an instance in traffic that has room and was not tried gets it, of the request's subset
        and, if there is one, of the own cluster.

        Returns:
            the attempt, which `record` ends like any other; None if it cannot be.
        """
        free = [
            member
            for member in self._in_traffic
            if member not in state.tried
            and member.in_flight < member.limit
            and state.subset.matches(member.instance)
        ]
        own = [member for member in free if member.instance.cluster == self._cluster]
        if not free or not self.budget.withdraw(now):
            return None
        member = choose(own or free, now, draw)
        state.tried += (member,)
        state.charged_attempts += 1
        attempt = RetryState(repeatable=True, deadline=state.deadline, policy=state.policy)
        self.start_attempt(attempt, member, now)
        return attempt

    def decide(self, state: RetryState, outcome: Outcome, now: float, draw: float) -> Again | Stop:
        """Say whether the request is tried again; an allowed retry is paid from the budget."""
        usable = [m for m in self._members.values() if m.usable]
        facts = Facts(
            outcome=outcome,
            repeatable=state.repeatable,
            replayable=state.replayable,
            charged_attempts=state.charged_attempts,
            repeated=state.outcomes.count(outcome),
            untried=any(member not in state.tried for member in usable),
            alone=len(usable) == 1,
            left=state.deadline - now,
            answer_seconds=min((member.cost for member in usable), default=UNMEASURED),
        )
        decision = decide(facts, state.policy, draw)
        if isinstance(decision, Again):
            if not self.budget.withdraw(now):
                return Stop(Stopped.BUDGET)
            if not facts.untried and not decision.fresh:
                state.tried = ()
        return decision

    def drain(self, address: str, *, drained: bool) -> bool:
        """Keep an instance out of traffic, or let it back; False if there is no such instance."""
        self._drained_in_advance.discard(address)
        member = self._members.get(address)
        if member is None:
            return False
        member.drained = drained
        self._changed()
        return True

    def keep_drained(self, addresses: Iterable[str]) -> None:
        """Drain instances; the unknown ones as soon as discovery reports any instance at all."""
        self._drained_in_advance.update(
            [address for address in addresses if not self.drain(address, drained=True)]
        )

    def drained(self) -> list[str]:
        """Return the addresses that an operator keeps out of traffic."""
        drained = (m.address for m in self._members.values() if m.drained)
        return [*self._drained_in_advance, *drained]

    def restore(self, address: str, now: float) -> bool:
        """End an instance's ejection; False if the instance is not there or not ejected."""
        member = self._members.get(address)
        if member is None or member.ejection.cause is None:
            return False
        self._restore(member, now)
        return True

    def _restore(self, member: Member, now: float) -> None:
        member.ejection.restore(now)
        others = (other for other in self._members.values() if other is not member)
        member.assume(median_cost(others))
        self._changed()

    def _search(self, state: RetryState, now: float, draw: float) -> Member | NoInstance:
        # A subset's hash is that of all its labels; by far the most requests have none.
        key = None if state.subset is EVERYBODY else state.subset
        tiers = self._tiers.get(key)
        if tiers is None:
            tiers = self._tiers[key] = arrange(
                [m for m in self._members.values() if m.usable],
                cluster=self._cluster, subset=state.subset, panic=self._policy.panic,
            )  # fmt: skip
        full = False
        for place, group in enumerate(tiers.groups):
            if full and place >= tiers.serving:
                break
            if not state.tried:
                member = group.choose(now, draw)
                if member.in_flight < member.limit:
                    return member
            untried = [member for member in group.members if member not in state.tried]
            open_ = [member for member in untried if member.in_flight < member.limit]
            if open_:
                return choose(open_, now, draw)
            full = full or bool(untried)
        if full:
            return NoInstance.FULL
        return NoInstance.TRIED if state.tried else NoInstance.EMPTY

    def _due_probe(self, state: RetryState, now: float) -> Member | None:
        """Return an ejected member whose time is up, if this request may be its probe.

        A request that could not be sent again leaves the probe to others, but not for ever: when
        no other came for the length of a first ejection, it probes.
        """
        could_retry = (
            state.repeatable
            and state.replayable
            and state.charged_attempts + 1 < state.policy.max_attempts
        )
        for member in self._out:
            ejection = member.ejection
            busy = ejection.probing or member.in_flight >= member.limit
            if busy or now < ejection.until or member in state.tried:
                continue
            if not (member.instance.healthy and state.subset.matches(member.instance)):
                continue
            if could_retry or now >= ejection.until + self._policy.base:
                return member
        return None

    def _blame(
        self, member: Member, outcome: Outcome, now: float, draw: float, *,
        retry_after: float | None, probe: bool,
    ) -> None:  # fmt: skip
        """Count a failure against a member, and eject the member if that is reason enough."""
        ejection = member.ejection
        cause = ejection.fail(now, TABLE[outcome].strikes)
        if outcome is Outcome.REFUSED:
            cause = Cause.REFUSED
        elif outcome is Outcome.DECLINED and retry_after is not None:
            cause = Cause.RETRY_AFTER
        elif probe:
            cause = Cause.CONSECUTIVE
        if cause is None or (ejection.cause is not None and not probe):
            return
        if cause is not Cause.REFUSED and ejection.cause is None and not self._may_judge():
            return
        ejection.eject(cause, now, draw, retry_after if cause is Cause.RETRY_AFTER else None)
        self.ejected[cause] += 1
        self._changed()

    def _may_judge(self) -> bool:
        """Return whether judgement may eject one more: at most half, and never the last one."""
        total = sum(m.usable for m in self._members.values())
        most = min(max(1, int(total * self._policy.max_ejected)), total - 1)
        return len(self._out) < most

    def _changed(self) -> None:
        self._tiers.clear()
        self._out = tuple(
            member
            for member in self._members.values()
            if member.ejection.cause is not None and member.usable
        )
        self._in_traffic = tuple(
            member
            for member in self._members.values()
            if member.usable and member.ejection.cause is None and member.instance.healthy
        )
