"""The state of one service's instances: who is asked, what is learnt, whether to ask again.

One `Pool` per service, one `Tries` per request:

    tries = Tries(repeatable=True, deadline=now + 15)
    pool.admit(now)
    while isinstance(member := pool.pick(tries, now, draw), Member):
        ...send to member.instance...
        pool.record(tries, outcome, now, draw)
        if isinstance(decision := pool.decide(tries, outcome, now, draw), Stop):
            break
        ...wait decision.delay...

Clock and random draws are arguments. A pool belongs to one thread.
"""

from collections.abc import Iterable, Mapping

from failover.balance import FAILURE_FACTOR, SLOWEST, UNMEASURED, Member, choose, typical
from failover.budget import Budget, BudgetPolicy
from failover.ejection import Cause, EjectionPolicy
from failover.instance import Instance, one_each
from failover.outcome import TABLE, Outcome
from failover.retry import Again, Facts, Stop, Stopped, decide
from failover.tiers import EVERYBODY, Subset, Tiers, arrange
from failover.tries import Nobody, Tries


class Pool:
    """One service's instances and budget."""

    def __init__(
        self,
        *,
        cluster: str = "DEFAULT",
        max_in_flight: int = 1024,
        ejection: EjectionPolicy | None = None,
        budget: BudgetPolicy | None = None,
    ) -> None:
        """Start empty.

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
        self._awaited: set[str] = set()

    @property
    def members(self) -> Mapping[str, Member]:
        """Every member by `ip:port`, in or out of traffic."""
        return self._members

    def sync(self, instances: Iterable[Instance], now: float) -> tuple[Member, ...]:
        """Take over what discovery says; return the members that are gone.

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
                    limit=self._max_in_flight, cost=typical(known), now=now,
                )  # fmt: skip
                member.drained = instance.address in self._awaited
            elif member.instance != instance:
                member.describe(instance)
                if member.conduct.cause is not None:
                    self._restore(member, now)
            self._members[instance.address] = member
        if self._members:
            self._awaited.clear()
        self._changed()
        return tuple(before.values())

    def admit(self, now: float) -> None:
        """Count a client's request, which earns its service a share of a retry."""
        self.budget.deposit(now)

    def pick(self, tries: Tries, now: float, draw: float) -> Member | Nobody:
        """Choose the instance for the next attempt and count it as in flight there."""
        probed = self._due_probe(tries, now) if self._out else None
        member = probed or self._search(tries, now, draw)
        if isinstance(member, Nobody):
            return member
        self.again(tries, member, now)
        tries.attempts += 1
        if probed:
            tries.probe = probed.conduct.probing = True
        if member not in tries.tried:
            tries.tried += (member,)
        return member

    def again(self, tries: Tries, member: Member, now: float) -> None:
        """Start an attempt that does not count: on a fresh connection to the same member."""
        member.in_flight += 1
        tries.current = member
        tries.started = now
        tries.ejected = member.conduct.cause is not None
        tries.probe = False

    def vouch(self, tries: Tries, now: float) -> None:
        """Take the head of an answer as the proof that the instance serves, whatever follows it.

        A stream or a tunnel may last for hours.
        """
        member = tries.current
        if member is None or not tries.ejected:
            return
        tries.ejected = tries.probe = False  # it proves nothing about what comes later
        if member.conduct.cause is not None:
            self._restore(member, now)

    def record(
        self,
        tries: Tries,
        outcome: Outcome,
        now: float,
        draw: float,
        asked: float | None = None,
        *,
        took: float | None = None,
    ) -> None:
        """End the attempt under way and learn from it.

        Args:
            tries: the request.
            outcome: what the attempt proved.
            now: the clock.
            draw: uniform in [0, 1).
            asked: seconds from a `Retry-After` of the instance.
            took: seconds until the head or the end, by default until now; 0 says nothing.
        """
        member = tries.current
        if member is None:
            return
        member.in_flight -= 1
        tries.outcomes += (outcome,)
        strikes = TABLE[outcome].strikes
        if took is None:
            took = now - tries.started
        if outcome is Outcome.ANSWERED:
            if took > 0.0:
                member.measure(took, now)
            member.conduct.succeed(now)
            self.vouch(tries, now)
        elif outcome is Outcome.ABANDONED and took > member.cost:
            member.measure(took, now)
        elif strikes:
            self._blame(member, outcome, now, draw, asked=asked, probe=tries.probe)
            slow = min(member.cost * FAILURE_FACTOR, SLOWEST)
            member.measure(max(slow, took), now)
        if tries.probe:
            member.conduct.probing = False
        tries.current = None

    def decide(self, tries: Tries, outcome: Outcome, now: float, draw: float) -> Again | Stop:
        """Whether the request is tried again; an allowed retry is paid from the budget."""
        usable = [m for m in self._members.values() if m.usable]
        facts = Facts(
            outcome=outcome,
            repeatable=tries.repeatable,
            replayable=tries.replayable,
            attempts=tries.attempts,
            repeated=tries.outcomes.count(outcome),
            untried=any(member not in tries.tried for member in usable),
            alone=len(usable) == 1,
            left=tries.deadline - now,
            typical=min((member.cost for member in usable), default=UNMEASURED),
        )
        decision = decide(facts, tries.retry, draw)
        if isinstance(decision, Again):
            if not self.budget.withdraw(now):
                return Stop(Stopped.BUDGET)
            if not facts.untried and not decision.fresh:
                tries.tried = ()
        return decision

    def drain(self, address: str, *, drained: bool) -> bool:
        """Keep an instance out of traffic, or let it back; False if there is none."""
        self._awaited.discard(address)
        member = self._members.get(address)
        if member is None:
            return False
        member.drained = drained
        self._changed()
        return True

    def keep_drained(self, addresses: Iterable[str]) -> None:
        """Drain these, those that are not known yet as soon as there are instances at all."""
        self._awaited.update([one for one in addresses if not self.drain(one, drained=True)])

    def drained(self) -> list[str]:
        """Addresses that an operator keeps out of traffic."""
        return [*self._awaited, *(m.address for m in self._members.values() if m.drained)]

    def restore(self, address: str, now: float) -> bool:
        """End an instance's ejection; False if there is none."""
        member = self._members.get(address)
        if member is None or member.conduct.cause is None:
            return False
        self._restore(member, now)
        return True

    def _restore(self, member: Member, now: float) -> None:
        member.conduct.restore(now)
        member.cost = typical(other for other in self._members.values() if other is not member)
        self._changed()

    def _search(self, tries: Tries, now: float, draw: float) -> Member | Nobody:
        # A subset's hash is that of all its labels; by far the most requests have none.
        key = None if tries.subset is EVERYBODY else tries.subset
        tiers = self._tiers.get(key)
        if tiers is None:
            tiers = self._tiers[key] = arrange(
                [m for m in self._members.values() if m.usable],
                cluster=self._cluster, subset=tries.subset, panic=self._policy.panic,
            )  # fmt: skip
        full = False
        for place, tier in enumerate(tiers.groups):
            if full and place >= tiers.serving:
                break
            if not tries.tried:
                member = choose(tier, now, draw)
                if member.in_flight < member.limit:
                    return member
            untried = [member for member in tier if member not in tries.tried]
            open_ = [member for member in untried if member.in_flight < member.limit]
            if open_:
                return choose(open_, now, draw)
            full = full or bool(untried)
        if full:
            return Nobody.FULL
        return Nobody.TRIED if tries.tried else Nobody.EMPTY

    def _due_probe(self, tries: Tries, now: float) -> Member | None:
        """An ejected member whose time is up, if this request may be the one to try it.

        A request that could not be sent again leaves the probe to others, but not for ever: when
        none came for the length of a first ejection, it goes.
        """
        again = tries.repeatable and tries.replayable and tries.attempts + 1 < tries.retry.attempts
        for member in self._out:
            conduct = member.conduct
            busy = conduct.probing or member.in_flight >= member.limit
            if busy or now < conduct.until or member in tries.tried:
                continue
            if not (member.instance.healthy and tries.subset.matches(member.instance)):
                continue
            if again or now >= conduct.until + self._policy.base:
                return member
        return None

    def _blame(
        self, member: Member, outcome: Outcome, now: float, draw: float, *,
        asked: float | None, probe: bool,
    ) -> None:  # fmt: skip
        conduct = member.conduct
        cause = conduct.fail(now, TABLE[outcome].strikes)
        if outcome is Outcome.REFUSED:
            cause = Cause.REFUSED
        elif outcome is Outcome.DECLINED and asked is not None:
            cause = Cause.ASKED
        elif probe:
            cause = Cause.CONSECUTIVE
        if cause is None or (conduct.cause is not None and not probe):
            return
        if cause is not Cause.REFUSED and conduct.cause is None and not self._may_judge():
            return
        conduct.eject(cause, now, draw, asked if cause is Cause.ASKED else None)
        self.ejected[cause] += 1
        self._changed()

    def _may_judge(self) -> bool:
        """Whether judgement may take out one more: at most half, and never the last one."""
        total = sum(m.usable for m in self._members.values())
        most = min(max(1, int(total * self._policy.max_ejected)), total - 1)
        return len(self._out) < most

    def _changed(self) -> None:
        self._tiers.clear()
        self._out = tuple(
            member
            for member in self._members.values()
            if member.conduct.cause is not None and member.usable
        )
