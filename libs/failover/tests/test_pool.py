"""Requirements on one service's pool, told as short stories on a virtual clock."""

from dataclasses import replace

import pytest
from failover import (
    Again,
    Cause,
    EjectionPolicy,
    Instance,
    Member,
    Nobody,
    Outcome,
    Pool,
    RetryPolicy,
    Stop,
    Stopped,
    Subset,
    Tries,
)


def instances(count: int, **fields: object) -> list[Instance]:
    return [Instance("10.0.0.1", port, **fields) for port in range(1, count + 1)]  # type: ignore[arg-type]


def pool_of(count: int, **options: object) -> Pool:
    pool = Pool(**options)  # type: ignore[arg-type]
    pool.sync(instances(count), 0.0)
    return pool


def tries(*, repeatable: bool = True, tried: tuple[Member, ...] = (), **options: object) -> Tries:
    one = Tries(repeatable=repeatable, deadline=1000.0, **options)  # type: ignore[arg-type]
    one.tried = tried
    return one


def attempt(pool: Pool, one: Tries, outcome: Outcome, now: float, **facts: float) -> Member:
    member = pool.pick(one, now, 0.0)
    assert isinstance(member, Member)
    pool.record(one, outcome, now, 0.0, **facts)
    return member


def eject(pool: Pool, port: int, outcome: Outcome, now: float = 0.0) -> Member:
    """Let attempts end in `outcome` until the instance on `port` is out."""
    victim = pool.members[f"10.0.0.1:{port}"]
    others = tuple(member for member in pool.members.values() if member is not victim)
    for _ in range(5):
        if victim.conduct.cause is None:
            attempt(pool, tries(tried=others), outcome, now)
    assert victim.conduct.cause is not None
    return victim


def test_no_instance_and_all_tried_are_different_answers():
    """An empty service, and a request that has been everywhere."""
    assert pool_of(0).pick(tries(), 0.0, 0.5) is Nobody.EMPTY

    pool, one = pool_of(1), tries()
    attempt(pool, one, Outcome.BROKEN, 0.0)
    assert pool.pick(one, 0.0, 0.5) is Nobody.TRIED


def test_a_request_visits_every_instance_before_it_gives_up():
    """All refuse: one pass over all of them, no pause, then the end."""
    pool, one = pool_of(3), tries()
    visited = []
    for last in (False, False, True):
        visited.append(attempt(pool, one, Outcome.REFUSED, 1.0))
        decision = pool.decide(one, Outcome.REFUSED, 1.0, 0.9)
        assert decision == (Stop(Stopped.ATTEMPTS) if last else Again(0.0))

    assert len(set(visited)) == 3


def test_a_refusal_takes_an_instance_out_at_once():
    """The next request already goes to the other one."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)

    assert all(attempt(pool, tries(), Outcome.ANSWERED, 0.1) is not victim for _ in range(20))


def test_judgement_never_takes_more_than_half_nor_the_last():
    """Five of five instances answer 503: two are out, three go on."""
    pool = pool_of(5)
    for _ in range(200):
        attempt(pool, tries(), Outcome.UNAVAILABLE, 1.0)

    assert sum(member.conduct.cause is not None for member in pool.members.values()) == 2
    alone = pool_of(1)
    for _ in range(20):
        attempt(alone, tries(), Outcome.UNAVAILABLE, 1.0)
    assert alone.members["10.0.0.1:1"].conduct.cause is None


def test_an_instance_that_fails_too_often_is_out_though_never_in_a_row():
    """Every fourth attempt of at least 20 fails: under 80 % success, by judgement."""
    pool = pool_of(2)
    bad = pool.members["10.0.0.1:1"]
    others = (pool.members["10.0.0.1:2"],)

    for number in range(24):
        outcome = Outcome.ANSWERED if number % 4 else Outcome.UNAVAILABLE
        attempt(pool, tries(tried=others), outcome, number * 0.1)
        assert bad.conduct.consecutive < 2
        if bad.conduct.cause is not None:
            break

    assert bad.conduct.cause is Cause.SUCCESS_RATE
    assert pool.ejected[Cause.SUCCESS_RATE] == 1


def test_refusals_may_take_out_any_number_and_the_rest_carries_on():
    """Two of three are dead: nothing is sent to them, panic or not."""
    pool = pool_of(3)
    dead = {eject(pool, port, Outcome.REFUSED) for port in (1, 2)}

    for _ in range(20):
        assert attempt(pool, tries(), Outcome.ANSWERED, 0.1) not in dead


def test_a_probe_is_a_request_that_could_be_sent_again():
    """One that may not run twice, is streamed, or has no attempt left goes to others."""
    pool = pool_of(2)
    out = eject(pool, 1, Outcome.REFUSED)
    due = out.conduct.until + 0.1
    last = tries(retry=RetryPolicy(attempts=1))
    streamed = tries()
    streamed.replayable = False

    for one in (tries(repeatable=False), last, streamed):
        assert pool.pick(one, due, 0.5) is not out
    assert pool.pick(tries(), due, 0.5) is out


def test_when_everybody_is_out_everybody_is_asked():
    """An ejection must never turn a service off."""
    pool = pool_of(2)
    for port in (1, 2):
        eject(pool, port, Outcome.REFUSED)

    assert isinstance(pool.pick(tries(), 0.1, 0.0), Member)


def test_panic_brings_the_judged_back_and_leaves_the_refusing_out():
    """One judged, two refusing, of four: the judged one serves again."""
    pool = pool_of(4)
    judged = eject(pool, 1, Outcome.UNAVAILABLE)
    refusing = {eject(pool, port, Outcome.REFUSED) for port in (2, 3)}
    seen = set()
    for step in range(20):
        one = tries()
        member = pool.pick(one, 0.1, step / 20)
        assert isinstance(member, Member)
        seen.add(member)
        pool.record(one, Outcome.UNAVAILABLE, 0.1, 0.0)

    assert judged in seen
    assert not seen & refusing


def test_one_probe_at_a_time_decides_the_return():
    """The second request does not go there while the first is still out; success brings it back."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)
    probe, other = tries(), tries()

    assert pool.pick(probe, 40.0, 0.9) is victim
    assert pool.pick(other, 40.0, 0.0) is not victim
    pool.record(probe, Outcome.ANSWERED, 40.0, 0.0)
    assert victim.conduct.cause is None
    assert victim.conduct.warmth(40.0) == 0.1


def test_a_failed_probe_keeps_it_out_longer():
    """1 s, then 2 s, then 4 s (all with the jitter at its least: half)."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)
    assert victim.conduct.until == 0.5

    assert attempt(pool, tries(), Outcome.REFUSED, 10.0) is victim
    assert victim.conduct.until == 11.0
    assert attempt(pool, tries(), Outcome.REFUSED, 20.0) is victim
    assert victim.conduct.until == 22.0


def test_a_probe_is_never_a_request_that_must_not_run_twice():
    """Unless nobody else came for the length of an ejection."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)

    assert attempt(pool, tries(repeatable=False), Outcome.ANSWERED, 9.0) is not victim
    assert attempt(pool, tries(repeatable=False), Outcome.ANSWERED, 11.0) is victim


def test_an_abandoned_probe_leaves_the_door_open():
    """The client left: nothing was learnt, the next request probes."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)

    assert attempt(pool, tries(), Outcome.ABANDONED, 40.0) is victim
    assert attempt(pool, tries(), Outcome.ANSWERED, 40.0) is victim


def test_an_attempt_from_before_the_ejection_does_not_end_it():
    """A straggler's success says nothing about now."""
    pool, straggler = pool_of(2), tries()
    victim = pool.pick(straggler, 0.0, 0.0)
    assert isinstance(victim, Member)
    eject(pool, victim.instance.port, Outcome.UNAVAILABLE)

    pool.record(straggler, Outcome.ANSWERED, 0.1, 0.0)
    assert victim.conduct.cause is Cause.CONSECUTIVE


def test_a_change_in_nacos_ends_an_ejection():
    """New metadata means a new run of the process; the same registration means nothing."""
    pool = pool_of(2)
    victim = eject(pool, 1, Outcome.REFUSED)

    pool.sync(instances(2), 0.2)
    assert victim.conduct.cause is Cause.REFUSED
    pool.sync(instances(2, metadata={"version": "2"}), 0.2)
    assert victim.conduct.cause is None


def test_sync_keeps_what_is_known_and_returns_what_is_gone():
    """Load and conduct survive; an instance that left can still end its attempts."""
    pool, one = pool_of(2), tries()
    gone = pool.pick(one, 0.0, 0.0)
    assert isinstance(gone, Member)
    kept = [instance for instance in instances(2) if instance != gone.instance]

    assert pool.sync(kept, 0.0) == (gone,)
    pool.record(one, Outcome.ANSWERED, 0.1, 0.0)
    assert gone.in_flight == 0


@pytest.mark.parametrize("fields", [{"enabled": False}, {"weight": 0.0}])
def test_what_nacos_keeps_out_is_out(fields: dict[str, object]):
    """Disabled or weightless instances get nothing, even when nobody else is there."""
    pool = Pool()
    pool.sync(instances(1, **fields), 0.0)

    assert pool.pick(tries(), 0.0, 0.0) is Nobody.EMPTY


def test_unhealthy_instances_are_the_last_resort():
    """Nacos pushes them when its protect threshold is reached; better than nothing."""
    pool = Pool()
    sick = Instance("10.0.0.1", 1, healthy=False)
    pool.sync([sick, Instance("10.0.0.1", 2)], 0.0)

    assert attempt(pool, tries(), Outcome.ANSWERED, 0.0).instance.port == 2
    pool.sync([sick], 0.0)
    assert attempt(pool, tries(), Outcome.ANSWERED, 0.0).instance.port == 1


def test_the_own_cluster_comes_first_and_spills_over():
    """Other clusters serve when the own one is full, tried or gone."""
    pool = Pool(cluster="A", max_in_flight=1)
    pool.sync([Instance("10.0.0.1", 1, cluster="A"), Instance("10.0.0.1", 2, cluster="B")], 0.0)
    first, second, third = tries(), tries(), tries()

    near, far = pool.pick(first, 0.0, 0.9), pool.pick(second, 0.0, 0.0)
    assert isinstance(near, Member)
    assert isinstance(far, Member)
    assert (near.instance.port, far.instance.port) == (1, 2)
    assert pool.pick(third, 0.0, 0.0) is Nobody.FULL


def test_an_instance_says_how_much_it_takes():
    """Its metadata replace the caller's limit, in both directions and while it runs."""

    def told(number: str) -> Instance:
        return Instance("10.0.0.1", 1, metadata={"gateway.max-in-flight": number})

    pool = Pool(max_in_flight=2)
    taken = 0
    for number, most in (("1", 1), ("5", 5), ("3", 3), ("0", 2), ("-1", 2), ("many", 2), ("", 2)):
        pool.sync([told(number)], 0.0)
        (member,) = pool.members.values()
        while isinstance(pool.pick(tries(), 0.0, 0.5), Member):
            taken += 1
        assert member.limit == most
        assert member.in_flight == taken == max(taken, most)


def test_a_subset_is_a_preference():
    """Canary requests go to the canary; without one they are still answered."""
    canary = Subset(labels=(("model_version", "2"),))
    pool = Pool()
    new, old = Instance("10.0.0.1", 1, metadata={"model_version": "2"}), Instance("10.0.0.1", 2)
    pool.sync([new, old], 0.0)

    for _ in range(5):
        chosen = attempt(pool, tries(subset=canary), Outcome.ANSWERED, 0.0)
        assert chosen.instance is new
        rest = Subset(without=(canary.labels,))
        assert attempt(pool, tries(subset=rest), Outcome.ANSWERED, 0.0).instance is old
    pool.sync([old], 0.0)
    assert attempt(pool, tries(subset=canary), Outcome.ANSWERED, 0.0).instance is old


def test_an_operator_can_drain_and_restore():
    """By address; unknown addresses are told apart."""
    pool = pool_of(2)
    assert pool.drain("10.0.0.1:1", drained=True)
    assert all(attempt(pool, tries(), Outcome.ANSWERED, 0.0).instance.port == 2 for _ in range(9))
    assert pool.drain("10.0.0.1:1", drained=False)
    victim = eject(pool, 1, Outcome.REFUSED)

    assert pool.restore("10.0.0.1:1", 0.1)
    assert victim.conduct.cause is None
    assert not pool.restore("10.0.0.1:1", 0.1)
    assert not pool.drain("10.0.0.9:9", drained=True)


def test_retries_end_with_the_budget():
    """Every request fails: past the floor, retries stay at a fifth of the requests."""
    pool = Pool(ejection=EjectionPolicy(consecutive=10**9, volume=10**9))
    pool.sync(instances(3), 0.0)
    reasons = []
    for _ in range(1000):
        one = tries()
        pool.admit(5.0)
        attempt(pool, one, Outcome.BROKEN, 5.0)
        reasons.append(pool.decide(one, Outcome.BROKEN, 5.0, 0.0))

    assert sum(isinstance(reason, Again) for reason in reasons) == 300
    assert Stop(Stopped.BUDGET) in reasons


def test_the_free_retry_stays_on_its_instance_and_does_not_count():
    """The keep-alive race is nobody's fault."""
    pool, one = pool_of(1), tries()
    member = attempt(pool, one, Outcome.STALE, 0.0)

    assert pool.decide(one, Outcome.STALE, 0.0, 0.0) == Again(0.0, fresh=True)
    pool.again(one, member, 0.0)
    pool.record(one, Outcome.ANSWERED, 0.1, 0.0)
    assert one.attempts == 1
    assert member.in_flight == 0


def test_who_is_drained_before_it_is_known():
    """An order for an address that is not there yet waits for it, unless it is taken back."""
    pool = Pool()
    pool.keep_drained(["10.0.0.1:1", "10.0.0.1:2"])
    assert not pool.drain("10.0.0.1:2", drained=False), "there is no such member yet"
    assert pool.drained() == ["10.0.0.1:1"]

    pool.sync(instances(2), 0.0)

    assert pool.drained() == ["10.0.0.1:1"]
    assert attempt(pool, tries(), Outcome.ANSWERED, 0.0).instance.port == 2


@pytest.mark.parametrize("how", ["ejected", "unhealthy"])
def test_who_finds_all_full_waits_and_does_not_go_to_the_last_resort(how: str):
    """Instances out of traffic are for when no other is left, not for when the others are busy."""
    well, ill = instances(2, metadata={"gateway.max-in-flight": "1"})
    pool = Pool()
    if how == "unhealthy":
        ill = replace(ill, healthy=False)
    pool.sync([well, ill], 0.0)
    if how == "ejected":
        eject(pool, 2, Outcome.REFUSED)

    member = pool.pick(tries(), 0.0, 0.5)
    assert isinstance(member, Member)
    assert member.instance is well
    assert pool.pick(tries(), 0.0, 0.5) is Nobody.FULL


def test_an_address_that_is_listed_twice_is_one_instance():
    """What was learnt stays, in whatever order the two are listed; the callable one wins."""
    (one,) = instances(1)
    pool = Pool()
    twice = [replace(one, cluster="A", healthy=False), replace(one, cluster="B")]
    assert pool.sync(twice, 0.0) == ()
    member = eject(pool, 1, Outcome.REFUSED)

    for listed in (twice, twice[::-1]):
        assert pool.sync(listed, 1.0) == ()
        assert list(pool.members.values()) == [member]
        assert member.instance.cluster == "B"
        assert member.conduct.cause is Cause.REFUSED


def test_the_head_of_an_answer_ends_an_ejection():
    """A probe may become a stream of hours: it is back in traffic when the answer begins."""
    pool = pool_of(2)
    member = eject(pool, 1, Outcome.REFUSED)
    probe = tries()
    assert pool.pick(probe, 60.0, 0.0) is member
    pool.vouch(probe, 60.1)
    assert member.conduct.cause is None

    pool.record(probe, Outcome.ABANDONED, 3600.0, 0.0)
    assert member.conduct.cause is None
    assert member.in_flight == 0


def test_the_end_of_an_answer_does_not_end_an_ejection_that_came_after_its_head():
    """What began hours ago proves nothing now."""
    pool = pool_of(2)
    member = eject(pool, 1, Outcome.REFUSED)
    stream = tries()
    assert pool.pick(stream, 60.0, 0.0) is member
    pool.vouch(stream, 60.1)

    eject(pool, 1, Outcome.REFUSED, 70.0)
    pool.record(stream, Outcome.ANSWERED, 70.1, 0.0, took=0.1)
    assert member.conduct.cause is Cause.REFUSED


def test_an_attempt_that_was_left_says_how_slow_the_instance_is_at_least():
    """A hung instance loses its traffic though no client waits long; a quick one loses nothing."""
    pool = pool_of(2)
    member, other = pool.members.values()
    for _ in range(20):
        attempt(pool, tries(tried=(member,)), Outcome.ANSWERED, 1.0, took=0.1)
    before = other.cost
    attempt(pool, tries(tried=(member,)), Outcome.ABANDONED, 1.0, took=before / 2)
    assert other.cost == before

    attempt(pool, tries(tried=(other,)), Outcome.ABANDONED, 1.0, took=2.0)
    assert member.load(1.0) > 10 * other.load(1.0)
    assert member.conduct.cause is None
