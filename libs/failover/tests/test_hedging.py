"""Hedging: when a second attempt begins, how often, and where."""

import random

import pytest
from failover import AnswerTimes, Balancer, Budget, BudgetPolicy, Hedging, Instance, Outcome
from failover.hedging import HALF_WINDOW, LEAST_DELAY, MAX_KINDS, NEVER
from failover.retry_state import RetryState
from hypothesis import given, strategies as st

SECONDS = st.floats(0.0, 60.0)


@given(answers=st.lists(SECONDS, min_size=20, max_size=300))
def test_fewer_than_one_in_a_hundred_takes_longer_than_the_delay(answers: list[float]):
    """Nothing is hedged before the least delay, nor much later than the quantile says."""
    times = AnswerTimes()
    for seconds in answers:
        times.count(seconds, 1.0)
    for _ in range(32):  # the delay is worked out again after so many
        times.count(0.0, 1.0)
    answers = [*answers, *[0.0] * 32]

    longer = sum(seconds > times.delay for seconds in answers)
    assert longer <= len(answers) * 0.01
    assert times.delay >= LEAST_DELAY
    near = times.delay / 1.21
    assert times.delay == LEAST_DELAY or sum(one > near for one in answers) > len(answers) * 0.01


def test_a_service_that_nobody_knows_yet_is_not_hedged():
    """Too few answers say nothing about the hundredth."""
    times = AnswerTimes()

    for _ in range(19):
        times.count(0.001, 1.0)
    assert times.delay == NEVER
    times.count(0.001, 1.0)
    assert times.delay == LEAST_DELAY


def test_a_service_that_became_slow_is_soon_not_hedged_at_its_old_pace():
    """The delay follows: within 40 answers that took longer."""
    times = AnswerTimes()
    for _ in range(1000):
        times.count(0.001, 1.0)

    for _ in range(40):
        times.count(0.4, 2.0)

    assert 0.4 <= times.delay <= 0.5


def test_old_answers_are_forgotten():
    """After a minute an earlier pace says nothing."""
    times = AnswerTimes()
    for _ in range(100):
        times.count(10.0, 1.0)

    for later in (1, 2, 3):
        for _ in range(100):
            times.count(0.001, 1.0 + later * HALF_WINDOW)

    assert times.delay == LEAST_DELAY


def test_kinds_are_bounded():
    """A stranger's paths do not fill memory; beyond the bound they are one kind."""
    hedging = Hedging()

    kinds = {id(hedging.times(b"GET", f"/{number}")) for number in range(MAX_KINDS + 50)}

    assert len(kinds) == MAX_KINDS + 1
    assert hedging.times(b"GET", "/0") is hedging.times(b"GET", "/0")


def test_a_scan_of_paths_does_not_keep_the_places_for_ever():
    """A path that is asked for again and again finds a place when the scan is over."""
    hedging = Hedging()
    for number in range(MAX_KINDS):
        hedging.times(b"GET", f"/{number}").count(0.001, 1.0)
    others = hedging.times(b"GET", "/wanted")
    assert others is hedging.times(b"GET", "/too")

    hedging.times(b"GET", "/0").count(0.001, 100.0)

    assert hedging.times(b"GET", "/wanted") is not others
    assert hedging.times(b"GET", "/0").turn_at > 100.0


def under_way(balancer: Balancer, now: float = 1.0) -> RetryState:
    state = RetryState(repeatable=True, deadline=now + 15)
    balancer.budget.deposit(now)
    balancer.pick(state, now, 0.0)
    return state


@pytest.mark.parametrize("seed", range(5))
def test_a_hedge_goes_to_another_instance_in_traffic(seed: int):
    """Of the own cluster if one is there, with room, not ejected, and never the same."""
    balancer = Balancer(cluster="here", max_in_flight=2)
    places = [("10.0.0.1", "here"), ("10.0.0.2", "here"), ("10.0.0.3", "there")]
    balancer.sync([Instance(ip, 80, cluster=cluster) for ip, cluster in places], 0.0)
    draw = random.Random(seed).random()  # noqa: S311 - a seeded choice
    state = under_way(balancer)

    attempt = balancer.hedge(state, 1.0, draw)

    assert attempt is not None
    assert attempt.current is not None
    assert attempt.current is not state.current
    assert attempt.current.instance.cluster == "here"
    assert (state.charged_attempts, len(state.tried)) == (2, 2)
    assert [member.in_flight for member in state.tried] == [1, 1]


def test_a_hedge_is_paid_from_the_budget_and_needs_an_instance():
    """Without a retry left, or another instance, there is none, and nothing is in flight."""
    balancer = Balancer()
    balancer.sync([Instance("10.0.0.1", 80)], 0.0)
    assert balancer.hedge(under_way(balancer), 1.0, 0.5) is None
    balancer.sync([Instance("10.0.0.1", 80), Instance("10.0.0.2", 80)], 0.0)
    balancer.budget = Budget(BudgetPolicy(ratio=0.0, floor=0.1))

    first, second = under_way(balancer), under_way(balancer)

    assert balancer.hedge(first, 1.0, 0.5) is not None
    assert balancer.hedge(second, 1.0, 0.5) is None
    assert sum(member.in_flight for member in balancer.members.values()) == 4


def test_the_request_goes_on_with_the_hedge():
    """What the balancer knows of the second attempt becomes the request's own."""
    balancer = Balancer()
    balancer.sync([Instance("10.0.0.1", 80), Instance("10.0.0.2", 80)], 0.0)
    state = under_way(balancer)
    attempt = balancer.hedge(state, 1.5, 0.5)
    assert attempt is not None
    balancer.record(state, Outcome.ABANDONED, 2.0, 0.5)

    state.adopt(attempt)
    balancer.record(state, Outcome.ANSWERED, 2.0, 0.5)

    assert (attempt.current, state.current) == (None, None)
    assert [member.in_flight for member in balancer.members.values()] == [0, 0]
