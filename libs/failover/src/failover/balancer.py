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

Clock and random draws are arguments. A balancer belongs to one thread. What it does for a request
takes about as long with a thousand instances as with ten; what it does for a change of an instance
may look at all of them.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Final

from failover.aperture import Aperture
from failover.budget import Budget, BudgetPolicy
from failover.ejection import PROOF, Cause, EjectionPolicy
from failover.group import Group
from failover.instance import Instance, one_each
from failover.outcome import TABLE, Outcome
from failover.peak_ewma import UNMEASURED, Member, median_cost
from failover.retry import Again, Facts, Stop, Stopped, decide
from failover.retry_state import NoInstance, RetryState
from failover.tiers import (
    EVERYBODY,
    Subset,
    Tiers,
    arrange,
    by_cluster,
    eligible,
    narrowed,
)

PROBE_SECONDS: Final = 1.0
"""Seconds between two probes of a service while half of its retry budget is spent."""
SAMPLE: Final = 8
"""Instances that are looked at where one of them, or their median, stands for all."""


class Balancer:
    """One service's instances and its retry budget.

    Attributes:
        budget: of retries.
        ejected: how often instances were ejected, by cause.
        in_flight: attempts under way, also at instances that left.
    """

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
        self.in_flight = 0
        self._cluster = cluster
        self._aperture: Aperture | None = None
        self._max_in_flight = max_in_flight
        self._policy = ejection or EjectionPolicy()
        self._members: dict[str, Member] = {}
        self._tiers: dict[Subset | None, Tiers] = {}
        self._hedging: dict[Subset | None, tuple[Group, ...]] = {}
        self._everyone: tuple[Member, ...] = ()
        self._usable: tuple[Member, ...] = ()
        # Of these, the ones that requests without a subset may meet: all but canaries.
        self._default: tuple[Member, ...] = ()
        self._only_canaries = False
        self._out: tuple[Member, ...] = ()
        self._in_traffic: tuple[Member, ...] = ()
        # The ejected members that a probe may bring back, the first due first, and when each is.
        self._probes: tuple[Member, ...] = ()
        self._probe_times: list[float] = []
        self._probed_at = -math.inf
        self._drained: set[str] = set()

    @property
    def members(self) -> Mapping[str, Member]:
        """Every member by `ip:port`, in or out of traffic."""
        return self._members

    @property
    def out(self) -> tuple[Member, ...]:
        """Return the members that are ejected, of those that may get requests."""
        return self._out

    @property
    def census(self) -> tuple[int, int, int]:
        """Return how many members may get requests, are canaries among these, and are in traffic.

        The members in traffic are those that requests without a subset meet first.
        """
        canaries = 0 if self._only_canaries else len(self._usable) - len(self._default)
        return len(self._usable), canaries, len(self._in_traffic)

    def tiers(self, subset: Subset) -> Tiers:
        """Return the groups of members in the order in which requests for a subset get them."""
        # A subset's hash is that of all its labels; by far the most requests have none.
        tiers = self._tiers.get(None if subset is EVERYBODY else subset)
        return self._arranged(subset) if tiers is None else tiers

    def sync(self, instances: Iterable[Instance], now: float) -> tuple[Member, ...]:
        """Adopt the instances that discovery reports; return the members that left.

        A changed registration means a restarted or repaired instance, so it ends an ejection.
        Attempts under way keep their member and may still be recorded.
        """
        before, self._members = self._members, {}
        usual = median_cost(before.values())
        for instance in one_each(instances, self._cluster):
            member = before.pop(instance.address, None)
            if member is None:
                member = Member(
                    instance, self._policy, limit=self._max_in_flight, cost=usual, now=now
                )
                member.drained = instance.address in self._drained
            elif member.instance != instance:
                member.describe(instance)
                if member.ejection.cause is not None:
                    self._restore(member, now)
            self._members[instance.address] = member
        self._changed()
        return tuple(before.values())

    def narrow(self, aperture: Aperture | None) -> None:
        """Prefer the instances of an aperture, or all alike; the others get what these cannot."""
        if aperture != self._aperture:
            self._aperture = aperture
            self._changed()

    @property
    def preferred(self) -> tuple[Member, ...]:
        """The members that requests without a subset meet first."""
        tiers = self._tiers.get(None) or self._arranged(EVERYBODY)
        return tiers.groups[0].members if tiers.groups else ()

    def pick(self, state: RetryState, now: float, draw: float) -> Member | NoInstance:
        """Choose the instance for the next attempt and count the attempt as in flight there."""
        probed = None
        if self._probes and now >= self._probe_times[0]:
            probed = self._due_probe(state, now, draw)
        member = probed or self._search(state, now, draw)
        if isinstance(member, NoInstance):
            return member
        state.charged_attempts += 1
        if member not in state.tried:
            state.tried += (member,)
        self.start_attempt(state, member, now)
        if probed:
            state.probe = probed.ejection.probing = True
            self._probed_at = now
        return member

    def start_attempt(self, state: RetryState, member: Member, now: float) -> None:
        """Begin an attempt at a member; called directly, the attempt is not charged to the request.

        The uncharged attempt is the one on a fresh connection after a keep-alive race.
        """
        self.in_flight += 1
        member.in_flight += 1
        if member.in_flight == member.limit:
            self._note_room(member)
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

    def note_draining(self, state: RetryState, now: float, draw: float) -> None:
        """Take the member out of traffic that says in its answer that its process ends soon.

        It gets requests only while no other is left, until discovery reports it gone or changed, or
        a probe is answered without that word.
        """
        member = state.current
        if member is None:
            return
        ejection = member.ejection
        if state.probe or not (ejection.probing or ejection.cause in PROOF):
            ejection.eject(Cause.DRAINING, now, draw)
            self.ejected[Cause.DRAINING] += 1
            self._changed()
        state.ejected = state.probe = False  # this answer does not bring it back

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
        self.in_flight -= 1
        member.in_flight -= 1
        if member.in_flight == member.limit - 1:
            self._note_room(member)
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
            member.fail(took, median_cost(_some(self._everyone, draw)), now)
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
        member = None
        for group in self._groups_for_hedging(state):
            member = group.choose(now, draw, state.tried)
            if member is not None:
                break
        if member is None or not self.budget.withdraw(now):
            return None
        state.tried += (member,)
        state.charged_attempts += 1
        attempt = RetryState(repeatable=True, deadline=state.deadline, policy=state.policy)
        self.start_attempt(attempt, member, now)
        return attempt

    def decide(self, state: RetryState, outcome: Outcome, now: float, draw: float) -> Again | Stop:
        """Say whether the request is tried again; an allowed retry is paid from the budget."""
        usable = self._default
        untried = False
        for member in usable:
            if member not in state.tried:
                untried = True
                break
        facts = Facts(
            outcome=outcome,
            repeatable=state.repeatable,
            replayable=state.replayable,
            charged_attempts=state.charged_attempts,
            repeated=state.outcomes.count(outcome),
            untried=untried,
            alone=len(usable) == 1,
            left=state.deadline - now,
            answer_seconds=min([m.cost for m in _some(usable, draw)], default=UNMEASURED),
        )
        decision = decide(facts, state.policy, draw)
        if isinstance(decision, Again):
            if not self.budget.withdraw(now):
                return Stop(Stopped.BUDGET)
            if not facts.untried and not decision.fresh:
                state.tried = ()
        return decision

    def drain(self, address: str, *, drained: bool) -> bool:
        """Keep an instance out of traffic, or let it back; False if there is no such instance.

        It stays drained when it leaves and comes again.
        """
        member = self._members.get(address)
        if drained and member is not None:
            self._drained.add(address)
        elif not drained:
            self._drained.discard(address)
        if member is None:
            return False
        member.drained = drained
        self._changed()
        return True

    def keep_drained(self, addresses: Iterable[str]) -> None:
        """Drain instances; the unknown ones as soon as discovery reports them."""
        for address in addresses:
            self.drain(address, drained=True)
            self._drained.add(address)

    def drained(self) -> list[str]:
        """Return the addresses that an operator keeps out of traffic, there or not."""
        return sorted(self._drained)

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
        tiers = self.tiers(state.subset)
        groups = tiers.groups
        if state.tried and state.charged_attempts + 1 >= state.policy.max_attempts:
            groups = tiers.last
        full = False
        for place, group in enumerate(groups):
            if full and place >= tiers.serving:
                break
            member = group.choose(now, draw, state.tried)
            if member is not None:
                return member
            full = full or group.has_untried(state.tried)
        if full:
            return NoInstance.FULL
        return NoInstance.TRIED if state.tried else NoInstance.EMPTY

    def _arranged(self, subset: Subset) -> Tiers:
        tiers = arrange(
            self._usable,
            cluster=self._cluster,
            subset=subset,
            aperture=self._aperture,
            panic=self._policy.panic,
        )
        self._tiers[None if subset is EVERYBODY else subset] = tiers
        return tiers

    def _groups_for_hedging(self, state: RetryState) -> tuple[Group, ...]:
        """Return the instances in traffic of the request's subset: own cluster, other clusters."""
        key = None if state.subset is EVERYBODY else state.subset
        groups = self._hedging.get(key)
        if groups is None:
            members = [
                m
                for m in eligible(self._usable, state.subset)
                if _is_in_traffic(m) and state.subset.matches(m.instance)
            ]
            parts = [
                part
                for group in by_cluster(members, self._cluster)
                for part in narrowed(group, self._aperture)
            ]
            groups = self._hedging[key] = tuple([Group(part) for part in parts if part])
        return groups

    def _note_room(self, member: Member) -> None:
        """Tell every group that a member is full or has room again."""
        for tiers in self._tiers.values():
            for group in tiers.groups:
                group.note(member)
        for groups in self._hedging.values():
            for group in groups:
                group.note(member)

    def _due_probe(self, state: RetryState, now: float, draw: float) -> Member | None:
        """Return an ejected member whose time is up, if this request may be its probe.

        If there are many, a few of them are looked at, from a drawn place on. A request that could
        not be sent again leaves the probe to others, but not for ever: when no other came for the
        length of a first ejection, it probes.

        A probe that fails costs a retry. Where many instances are gone, their probes take half of
        the budget at most, and one a second when that is spent: the rest is for the requests.
        """
        if now < self._probed_at + PROBE_SECONDS and not self.budget.plenty(now):
            return None
        could_retry = (
            state.repeatable
            and state.replayable
            and state.charged_attempts + 1 < state.policy.max_attempts
        )
        due = bisect_right(self._probe_times, now)
        first = int(draw * due) if due > SAMPLE else 0
        for step in range(min(due, SAMPLE)):
            member = self._probes[(first + step) % due]
            ejection = member.ejection
            if ejection.probing or member.in_flight >= member.limit or member in state.tried:
                continue
            if member.instance.canary and not (state.subset.labels or self._only_canaries):
                continue
            if not state.subset.matches(member.instance):
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
        if cause is not Cause.REFUSED and ejection.cause is None and not self._may_judge(member):
            return
        ejection.eject(cause, now, draw, retry_after if cause is Cause.RETRY_AFTER else None)
        self.ejected[cause] += 1
        self._changed()

    def _may_judge(self, member: Member) -> bool:
        """Return whether judgement may eject a member: at most half, and never the last one.

        The last one that default traffic may meet, that is: it may not go because canaries stay.
        """
        among = self._usable if member.instance.canary else self._default
        out = len([one for one in among if one.ejection.cause is not None])
        total = len(among)
        return out < min(max(1, int(total * self._policy.max_ejected)), total - 1)

    def _changed(self) -> None:
        self._tiers.clear()
        self._hedging.clear()
        self._everyone = tuple(self._members.values())
        self._usable = tuple([member for member in self._everyone if member.usable])
        self._default = tuple(eligible(self._usable))
        self._only_canaries = not [m for m in self._default if not m.instance.canary]
        self._out = tuple([m for m in self._usable if m.ejection.cause is not None])
        self._in_traffic = tuple([m for m in self._default if _is_in_traffic(m)])
        probes = [(m.ejection.until, place, m) for place, m in enumerate(self._out)
                  if m.instance.healthy]  # fmt: skip
        probes.sort()
        self._probes = tuple([member for _, _, member in probes])
        self._probe_times = [until for until, _, _ in probes]


def _is_in_traffic(member: Member) -> bool:
    return member.ejection.cause is None and member.instance.healthy


def _some(members: tuple[Member, ...], draw: float) -> tuple[Member, ...]:
    """Return the members, of many only a few neighbours from a drawn place on."""
    if len(members) <= SAMPLE:
        return members
    first = int(draw * len(members))
    return (*members[first : first + SAMPLE], *members[: max(0, first + SAMPLE - len(members))])
