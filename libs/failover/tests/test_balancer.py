"""Requirements on one service's balancer, told as short stories on a virtual clock."""

from dataclasses import replace

import pytest
from failover import (
    Again,
    Balancer,
    Cause,
    EjectionPolicy,
    Instance,
    Member,
    NoInstance,
    Outcome,
    RetryPolicy,
    RetryState,
    Stop,
    Stopped,
    Subset,
)


def instances(count: int, **fields: object) -> list[Instance]:
    return [Instance("10.0.0.1", port, **fields) for port in range(1, count + 1)]  # type: ignore[arg-type]


def balancer_of(count: int, **options: object) -> Balancer:
    balancer = Balancer(**options)  # type: ignore[arg-type]
    balancer.sync(instances(count), 0.0)
    return balancer


def request(
    *, repeatable: bool = True, tried: tuple[Member, ...] = (), **options: object
) -> RetryState:
    one = RetryState(repeatable=repeatable, deadline=1000.0, **options)  # type: ignore[arg-type]
    one.tried = tried
    return one


def attempt(
    balancer: Balancer, one: RetryState, outcome: Outcome, now: float, **facts: float
) -> Member:
    member = balancer.pick(one, now, 0.0)
    assert isinstance(member, Member)
    balancer.record(one, outcome, now, 0.0, **facts)
    return member


def eject(balancer: Balancer, port: int, outcome: Outcome, now: float = 0.0) -> Member:
    """Let attempts end in `outcome` until the instance on `port` is out."""
    victim = balancer.members[f"10.0.0.1:{port}"]
    others = tuple(member for member in balancer.members.values() if member is not victim)
    for _ in range(5):
        if victim.ejection.cause is None:
            attempt(balancer, request(tried=others), outcome, now)
    assert victim.ejection.cause is not None
    return victim


def test_no_instance_and_all_tried_are_different_answers():
    """An empty service, and a request that has been everywhere."""
    assert balancer_of(0).pick(request(), 0.0, 0.5) is NoInstance.EMPTY

    balancer, one = balancer_of(1), request()
    attempt(balancer, one, Outcome.BROKEN, 0.0)
    assert balancer.pick(one, 0.0, 0.5) is NoInstance.TRIED


def test_a_request_visits_every_instance_before_it_gives_up():
    """All refuse: one pass over all of them, no pause, then the end."""
    balancer, one = balancer_of(3), request()
    visited = []
    for last in (False, False, True):
        visited.append(attempt(balancer, one, Outcome.REFUSED, 1.0))
        decision = balancer.decide(one, Outcome.REFUSED, 1.0, 0.9)
        assert decision == (Stop(Stopped.ATTEMPTS) if last else Again(0.0))

    assert len(set(visited)) == 3


def test_a_refusal_takes_an_instance_out_at_once():
    """The next request already goes to the other one."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)

    assert all(attempt(balancer, request(), Outcome.ANSWERED, 0.1) is not victim for _ in range(20))


def test_judgement_never_takes_more_than_half_nor_the_last():
    """Five of five instances answer 503: two are out, three go on."""
    balancer = balancer_of(5)
    for _ in range(200):
        attempt(balancer, request(), Outcome.UNAVAILABLE, 1.0)

    assert sum(member.ejection.cause is not None for member in balancer.members.values()) == 2
    alone = balancer_of(1)
    for _ in range(20):
        attempt(alone, request(), Outcome.UNAVAILABLE, 1.0)
    assert alone.members["10.0.0.1:1"].ejection.cause is None


def test_an_instance_that_fails_too_often_is_out_though_never_in_a_row():
    """Every fourth attempt of at least 20 fails: under 80 % success, by judgement."""
    balancer = balancer_of(2)
    bad = balancer.members["10.0.0.1:1"]
    others = (balancer.members["10.0.0.1:2"],)

    for number in range(24):
        outcome = Outcome.ANSWERED if number % 4 else Outcome.UNAVAILABLE
        attempt(balancer, request(tried=others), outcome, number * 0.1)
        assert bad.ejection.consecutive < 2
        if bad.ejection.cause is not None:
            break

    assert bad.ejection.cause is Cause.SUCCESS_RATE
    assert balancer.ejected[Cause.SUCCESS_RATE] == 1


@pytest.mark.parametrize("attempts", [2, 3])
def test_the_last_attempt_goes_to_another_zone(attempts: int):
    """A zone that is lost all at once loses no request, though Nacos lists its instances yet."""
    balancer = Balancer(cluster="A")
    lost = [Instance("10.0.0.1", port, cluster="A") for port in range(1, 51)]
    balancer.sync([*lost, Instance("10.0.0.2", 1, cluster="B")], 0.0)
    one = request(policy=RetryPolicy(max_attempts=attempts))
    for _ in range(attempts - 1):
        assert attempt(balancer, one, Outcome.REFUSED, 1.0).instance.cluster == "A"
        assert balancer.decide(one, Outcome.REFUSED, 1.0, 0.5) == Again(0.0)

    assert attempt(balancer, one, Outcome.ANSWERED, 1.0).instance.cluster == "B"


def test_the_last_attempt_keeps_the_labels_that_were_asked_for():
    """It goes to another zone's instance of the same version before another version at home."""
    kinds = [("A", "1"), ("A", "2"), ("B", "1"), ("B", "2")]
    found = [
        Instance("10.0.0.1", port, cluster=cluster, metadata={"version": version})
        for port, (cluster, version) in enumerate(kinds, 1)
    ]
    balancer = Balancer(cluster="A")
    balancer.sync(found, 0.0)
    one = request(policy=RetryPolicy(max_attempts=2), subset=Subset((("version", "1"),)))
    attempt(balancer, one, Outcome.BROKEN, 1.0)

    last = attempt(balancer, one, Outcome.ANSWERED, 1.0).instance

    assert (last.cluster, last.metadata["version"]) == ("B", "1")


def test_refusals_may_take_out_any_number_and_the_rest_carries_on():
    """Two of three are dead: nothing is sent to them, panic or not."""
    balancer = balancer_of(3)
    dead = {eject(balancer, port, Outcome.REFUSED) for port in (1, 2)}

    for _ in range(20):
        assert attempt(balancer, request(), Outcome.ANSWERED, 0.1) not in dead


def test_a_probe_is_a_request_that_could_be_sent_again():
    """One that may not run twice, is streamed, or has no attempt left goes to others."""
    balancer = balancer_of(2)
    out = eject(balancer, 1, Outcome.REFUSED)
    due = out.ejection.until + 0.1
    last = request(policy=RetryPolicy(max_attempts=1))
    streamed = request()
    streamed.replayable = False

    for one in (request(repeatable=False), last, streamed):
        assert balancer.pick(one, due, 0.5) is not out
    assert balancer.pick(request(), due, 0.5) is out


def test_when_everybody_is_out_everybody_is_asked():
    """An ejection must never turn a service off."""
    balancer = balancer_of(2)
    for port in (1, 2):
        eject(balancer, port, Outcome.REFUSED)

    assert isinstance(balancer.pick(request(), 0.1, 0.0), Member)


def test_panic_brings_the_judged_back_and_leaves_the_refusing_out():
    """One judged, two refusing, of four: the judged one serves again."""
    balancer = balancer_of(4)
    judged = eject(balancer, 1, Outcome.UNAVAILABLE)
    refusing = {eject(balancer, port, Outcome.REFUSED) for port in (2, 3)}
    seen = set()
    for step in range(20):
        one = request()
        member = balancer.pick(one, 0.1, step / 20)
        assert isinstance(member, Member)
        seen.add(member)
        balancer.record(one, Outcome.UNAVAILABLE, 0.1, 0.0)

    assert judged in seen
    assert not seen & refusing


def test_one_probe_at_a_time_decides_the_return():
    """The second request does not go there while the first is still out; success brings it back."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)
    probe, other = request(), request()

    assert balancer.pick(probe, 40.0, 0.9) is victim
    assert balancer.pick(other, 40.0, 0.0) is not victim
    balancer.record(probe, Outcome.ANSWERED, 40.0, 0.0)
    assert victim.ejection.cause is None
    assert victim.ejection.warmth(40.0) == 0.1


def test_probes_of_many_dead_instances_leave_retries_to_the_requests():
    """A zone's 200 instances go at once and stay in Nacos: no request of 100/s is lost.

    They are found out by the requests, and each request could then be a probe that fails.
    """
    balancer = Balancer(cluster="A")
    here = [Instance("10.0.0.1", port, cluster="A") for port in range(1, 201)]
    there = [Instance("10.0.0.2", port, cluster="B") for port in range(1, 41)]
    balancer.sync([*here, *there], 0.0)
    probes = []
    for number in range(2500):
        now, draw = number / 100, number * 0.618 % 1
        one = request()
        balancer.budget.deposit(now)
        while True:
            member = balancer.pick(one, now, draw)
            assert isinstance(member, Member)
            if one.probe:
                probes.append(now)
            gone = now >= 10.0 and member.instance.cluster == "A"
            outcome = Outcome.REFUSED if gone else Outcome.ANSWERED
            balancer.record(one, outcome, now, draw)
            if outcome is Outcome.ANSWERED:
                break
            assert isinstance(balancer.decide(one, outcome, now, draw), Again)

    assert {int(moment) for moment in probes} >= set(range(12, 24)), "one a second at least"


def test_a_failed_probe_keeps_it_out_longer():
    """1 s, then 2 s, then 4 s (all with the jitter at its least: half)."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)
    assert victim.ejection.until == 0.5

    assert attempt(balancer, request(), Outcome.REFUSED, 10.0) is victim
    assert victim.ejection.until == 11.0
    assert attempt(balancer, request(), Outcome.REFUSED, 20.0) is victim
    assert victim.ejection.until == 22.0


def test_a_probe_is_never_a_request_that_must_not_run_twice():
    """Unless nobody else came for the length of an ejection."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)

    assert attempt(balancer, request(repeatable=False), Outcome.ANSWERED, 9.0) is not victim
    assert attempt(balancer, request(repeatable=False), Outcome.ANSWERED, 11.0) is victim


def test_an_abandoned_probe_leaves_the_door_open():
    """The client left: nothing was learnt, the next request probes."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)

    assert attempt(balancer, request(), Outcome.ABANDONED, 40.0) is victim
    assert attempt(balancer, request(), Outcome.ANSWERED, 40.0) is victim


def test_an_attempt_from_before_the_ejection_does_not_end_it():
    """A straggler's success says nothing about now."""
    balancer, straggler = balancer_of(2), request()
    victim = balancer.pick(straggler, 0.0, 0.0)
    assert isinstance(victim, Member)
    eject(balancer, victim.instance.port, Outcome.UNAVAILABLE)

    balancer.record(straggler, Outcome.ANSWERED, 0.1, 0.0)
    assert victim.ejection.cause is Cause.CONSECUTIVE


def drain(balancer: Balancer, port: int, now: float = 0.0) -> Member:
    """Let the instance on `port` answer that it drains."""
    others = tuple(m for m in balancer.members.values() if m.instance.port != port)
    one = request(tried=others)
    member = balancer.pick(one, now, 0.0)
    assert isinstance(member, Member)
    balancer.note_draining(one, now, 0.0)
    balancer.record(one, Outcome.ANSWERED, now, 0.0)
    return member


def test_an_instance_that_drains_gets_nothing_while_another_serves():
    """Three of four say so, which is more than judgement may take out: all requests go to one."""
    balancer = balancer_of(4)
    draining = {drain(balancer, port) for port in (1, 2, 3)}
    assert {member.ejection.cause for member in draining} == {Cause.DRAINING}
    assert balancer.ejected[Cause.DRAINING] == 3

    met = {attempt(balancer, request(), Outcome.ANSWERED, 0.1).instance.port for _ in range(50)}

    assert met == {4}


def test_where_all_drain_they_serve_and_their_answers_bring_none_back():
    """A service that is restarted as a whole answers to its end."""
    balancer = balancer_of(2)
    for port in (1, 2, 1, 2):
        drain(balancer, port)

    assert isinstance(balancer.pick(request(), 0.1, 0.0), Member)
    assert balancer.census == (2, 0, 0)
    assert balancer.ejected[Cause.DRAINING] == 2


def test_an_instance_that_drained_comes_back_by_a_probe_or_by_its_registration():
    """It was started again at its address before discovery had shown the gap."""
    balancer = balancer_of(2)
    victim = drain(balancer, 1)
    due = victim.ejection.until
    probe = request()
    assert balancer.pick(probe, due, 0.0) is victim
    balancer.note_draining(probe, due, 0.0)
    balancer.record(probe, Outcome.ANSWERED, due, 0.0)
    assert victim.ejection.until > due, "it still said that it drains"

    assert attempt(balancer, request(), Outcome.ANSWERED, victim.ejection.until) is victim
    assert victim.ejection.cause is None

    drain(balancer, 1, 100.0)
    balancer.sync([Instance("10.0.0.1", 1, weight=2.0), *instances(2)[1:]], 101.0)
    assert victim.ejection.cause is None


def test_a_change_in_nacos_ends_an_ejection():
    """New metadata means a new run of the process; the same registration means nothing."""
    balancer = balancer_of(2)
    victim = eject(balancer, 1, Outcome.REFUSED)

    balancer.sync(instances(2), 0.2)
    assert victim.ejection.cause is Cause.REFUSED
    balancer.sync(instances(2, metadata={"version": "2"}), 0.2)
    assert victim.ejection.cause is None


def test_sync_keeps_what_is_known_and_returns_what_is_gone():
    """Load and conduct survive; an instance that left can still end its attempts."""
    balancer, one = balancer_of(2), request()
    gone = balancer.pick(one, 0.0, 0.0)
    assert isinstance(gone, Member)
    kept = [instance for instance in instances(2) if instance != gone.instance]

    assert balancer.sync(kept, 0.0) == (gone,)
    balancer.record(one, Outcome.ANSWERED, 0.1, 0.0)
    assert gone.in_flight == 0


@pytest.mark.parametrize("fields", [{"enabled": False}, {"weight": 0.0}])
def test_what_nacos_keeps_out_is_out(fields: dict[str, object]):
    """Disabled or weightless instances get nothing, even when nobody else is there."""
    balancer = Balancer()
    balancer.sync(instances(1, **fields), 0.0)

    assert balancer.pick(request(), 0.0, 0.0) is NoInstance.EMPTY


def test_unhealthy_instances_are_the_last_resort():
    """Nacos pushes them when its protect threshold is reached; better than nothing."""
    balancer = Balancer()
    sick = Instance("10.0.0.1", 1, healthy=False)
    balancer.sync([sick, Instance("10.0.0.1", 2)], 0.0)

    assert attempt(balancer, request(), Outcome.ANSWERED, 0.0).instance.port == 2
    balancer.sync([sick], 0.0)
    assert attempt(balancer, request(), Outcome.ANSWERED, 0.0).instance.port == 1


def test_the_own_cluster_comes_first_and_spills_over():
    """Other clusters serve when the own one is full, tried or gone."""
    balancer = Balancer(cluster="A", max_in_flight=1)
    balancer.sync([Instance("10.0.0.1", 1, cluster="A"), Instance("10.0.0.1", 2, cluster="B")], 0.0)
    first, second, third = request(), request(), request()

    near, far = balancer.pick(first, 0.0, 0.9), balancer.pick(second, 0.0, 0.0)
    assert isinstance(near, Member)
    assert isinstance(far, Member)
    assert (near.instance.port, far.instance.port) == (1, 2)
    assert balancer.pick(third, 0.0, 0.0) is NoInstance.FULL


def test_an_instance_says_how_much_it_takes():
    """Its metadata replace the caller's limit, in both directions and while it runs."""

    def told(number: str) -> Instance:
        return Instance("10.0.0.1", 1, metadata={"gateway.max-in-flight": number})

    balancer = Balancer(max_in_flight=2)
    taken = 0
    for number, most in (("1", 1), ("5", 5), ("3", 3), ("0", 2), ("-1", 2), ("many", 2), ("", 2)):
        balancer.sync([told(number)], 0.0)
        (member,) = balancer.members.values()
        while isinstance(balancer.pick(request(), 0.0, 0.5), Member):
            taken += 1
        assert member.limit == most
        assert member.in_flight == taken == max(taken, most)


def test_a_subset_is_a_preference():
    """Canary requests go to the canary; without one they are still answered."""
    canary = Subset(labels=(("model_version", "2"),))
    balancer = Balancer()
    new, old = Instance("10.0.0.1", 1, metadata={"model_version": "2"}), Instance("10.0.0.1", 2)
    balancer.sync([new, old], 0.0)

    for _ in range(5):
        chosen = attempt(balancer, request(subset=canary), Outcome.ANSWERED, 0.0)
        assert chosen.instance is new
        rest = Subset(without=(canary.labels,))
        assert attempt(balancer, request(subset=rest), Outcome.ANSWERED, 0.0).instance is old
    balancer.sync([old], 0.0)
    assert attempt(balancer, request(subset=canary), Outcome.ANSWERED, 0.0).instance is old


def test_an_operator_can_drain_and_restore():
    """By address; unknown addresses are told apart."""
    balancer = balancer_of(2)
    assert balancer.drain("10.0.0.1:1", drained=True)
    assert all(
        attempt(balancer, request(), Outcome.ANSWERED, 0.0).instance.port == 2 for _ in range(9)
    )
    assert balancer.drain("10.0.0.1:1", drained=False)
    victim = eject(balancer, 1, Outcome.REFUSED)

    assert balancer.restore("10.0.0.1:1", 0.1)
    assert victim.ejection.cause is None
    assert not balancer.restore("10.0.0.1:1", 0.1)
    assert not balancer.drain("10.0.0.9:9", drained=True)


def test_retries_end_with_the_budget():
    """Every request fails: past the floor, retries stay at a fifth of the requests."""
    balancer = Balancer(ejection=EjectionPolicy(consecutive=10**9, volume=10**9))
    balancer.sync(instances(3), 0.0)
    reasons = []
    for _ in range(1000):
        one = request()
        balancer.budget.deposit(5.0)
        attempt(balancer, one, Outcome.BROKEN, 5.0)
        reasons.append(balancer.decide(one, Outcome.BROKEN, 5.0, 0.0))

    assert sum(isinstance(reason, Again) for reason in reasons) == 300
    assert Stop(Stopped.BUDGET) in reasons


def test_the_free_retry_stays_on_its_instance_and_does_not_count():
    """The keep-alive race is nobody's fault."""
    balancer, one = balancer_of(1), request()
    member = attempt(balancer, one, Outcome.STALE, 0.0)

    assert balancer.decide(one, Outcome.STALE, 0.0, 0.0) == Again(0.0, fresh=True)
    balancer.start_attempt(one, member, 0.0)
    balancer.record(one, Outcome.ANSWERED, 0.1, 0.0)
    assert one.charged_attempts == 1
    assert member.in_flight == 0


def test_who_is_drained_before_it_is_known():
    """An order for an address that is not there yet waits for it, unless it is taken back."""
    balancer = Balancer()
    balancer.keep_drained(["10.0.0.1:1", "10.0.0.1:2"])
    assert not balancer.drain("10.0.0.1:2", drained=False), "there is no such member yet"
    assert balancer.drained() == ["10.0.0.1:1"]

    balancer.sync(instances(2), 0.0)

    assert balancer.drained() == ["10.0.0.1:1"]
    assert attempt(balancer, request(), Outcome.ANSWERED, 0.0).instance.port == 2


@pytest.mark.parametrize("how", ["ejected", "unhealthy"])
def test_who_finds_all_full_waits_and_does_not_go_to_the_last_resort(how: str):
    """Instances out of traffic are for when no other is left, not for when the others are busy."""
    well, ill = instances(2, metadata={"gateway.max-in-flight": "1"})
    balancer = Balancer()
    if how == "unhealthy":
        ill = replace(ill, healthy=False)
    balancer.sync([well, ill], 0.0)
    if how == "ejected":
        eject(balancer, 2, Outcome.REFUSED)

    member = balancer.pick(request(), 0.0, 0.5)
    assert isinstance(member, Member)
    assert member.instance is well
    assert balancer.pick(request(), 0.0, 0.5) is NoInstance.FULL


def test_an_address_that_is_listed_twice_is_one_instance():
    """What was learnt stays, in whatever order the two are listed; the callable one wins."""
    (one,) = instances(1)
    balancer = Balancer()
    twice = [replace(one, cluster="A", healthy=False), replace(one, cluster="B")]
    assert balancer.sync(twice, 0.0) == ()
    member = eject(balancer, 1, Outcome.REFUSED)

    for listed in (twice, twice[::-1]):
        assert balancer.sync(listed, 1.0) == ()
        assert list(balancer.members.values()) == [member]
        assert member.instance.cluster == "B"
        assert member.ejection.cause is Cause.REFUSED


def test_the_head_of_an_answer_ends_an_ejection():
    """A probe may become a stream of hours: it is back in traffic when the answer begins."""
    balancer = balancer_of(2)
    member = eject(balancer, 1, Outcome.REFUSED)
    probe = request()
    assert balancer.pick(probe, 60.0, 0.0) is member
    balancer.end_ejection_on_answer(probe, 60.1)
    assert member.ejection.cause is None

    balancer.record(probe, Outcome.ABANDONED, 3600.0, 0.0)
    assert member.ejection.cause is None
    assert member.in_flight == 0


def test_the_end_of_an_answer_does_not_end_an_ejection_that_came_after_its_head():
    """What began hours ago proves nothing now."""
    balancer = balancer_of(2)
    member = eject(balancer, 1, Outcome.REFUSED)
    stream = request()
    assert balancer.pick(stream, 60.0, 0.0) is member
    balancer.end_ejection_on_answer(stream, 60.1)

    eject(balancer, 1, Outcome.REFUSED, 70.0)
    balancer.record(stream, Outcome.ANSWERED, 70.1, 0.0, took=0.1)
    assert member.ejection.cause is Cause.REFUSED


def test_an_attempt_that_was_left_says_how_slow_the_instance_is_at_least():
    """A hung instance loses its traffic though no client waits long; a quick one loses nothing."""
    balancer = balancer_of(2)
    member, other = balancer.members.values()
    for _ in range(20):
        attempt(balancer, request(tried=(member,)), Outcome.ANSWERED, 1.0, took=0.1)
    before = other.cost
    attempt(balancer, request(tried=(member,)), Outcome.ABANDONED, 1.0, took=before / 2)
    assert other.cost == before

    attempt(balancer, request(tried=(other,)), Outcome.ABANDONED, 1.0, took=2.0)
    assert member.yields_to(other, 1.0)
    assert member.cost > 10 * other.cost
    assert member.ejection.cause is None
