"""Requirements on the choice between instances."""

import random
from collections import Counter

import pytest
from failover import Cause, EjectionPolicy, Instance, Member
from failover.group import Group
from hypothesis import given, strategies as st

POLICY = EjectionPolicy()


def member(port: int = 1, *, weight: float = 1.0, cost: float = 0.01) -> Member:
    return Member(Instance("10.0.0.1", port, weight=weight), POLICY, limit=99, cost=cost, now=0.0)


@given(
    weights=st.lists(st.floats(1e-3, 1e4), min_size=2, max_size=50),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_one_draw_gives_two_different_candidates(weights: list[float], draw: float):
    """Both indexes exist and differ, whatever the weights are."""
    members = [member(port, weight=weight) for port, weight in enumerate(weights, 1)]
    first, second, left = Group(members).draw_two(draw)

    assert 0 <= first < len(weights)
    assert 0 <= second < len(weights)
    assert first != second
    assert -1e-3 < left < 1.001


def test_pairs_are_drawn_by_weight():
    """On a fine grid of draws: the first by all weights, the second by those of the others."""
    weights, steps = (1, 2, 5), 40000
    group = Group(member(port, weight=weight) for port, weight in enumerate(weights, 1))
    pairs = Counter(group.draw_two(step / steps)[:2] for step in range(steps))

    assert len(pairs) == 6
    for (first, second), times in pairs.items():
        chance = weights[first] / 8 * weights[second] / (8 - weights[first])
        assert times == pytest.approx(steps * chance, rel=0.02)


def test_alike_answer_times_leave_the_choice_to_the_weights():
    """The one drawn first keeps the request, be the other one heavier or quicker by a little."""
    light, heavy = member(1, weight=1.0, cost=0.05), member(2, weight=3.0, cost=0.02)

    assert not light.yields_to(heavy, 0.0)
    assert not heavy.yields_to(light, 0.0)


def test_who_has_a_request_more_for_its_weight_yields():
    """Beside an idle one of three times the weight: 1 yields, beside a third of it 3 do."""
    light, heavy = member(1, weight=1.0), member(2, weight=3.0)
    light.in_flight = 1
    assert light.yields_to(heavy, 0.0)
    heavy.in_flight = 1
    assert not light.yields_to(heavy, 0.0)

    light.in_flight, heavy.in_flight = 0, 2
    assert not heavy.yields_to(light, 0.0)
    heavy.in_flight = 3
    assert heavy.yields_to(light, 0.0)


def test_a_slow_one_yields_while_the_other_has_room():
    """Ten times slower, it is worth ten times the queue; its weight does not make it quicker."""
    slow, fast = member(1, weight=9.0, cost=0.1), member(2, cost=0.01)
    fast.in_flight = 8
    assert slow.yields_to(fast, 0.0)
    assert not fast.yields_to(slow, 0.0)

    fast.in_flight = 10
    assert not slow.yields_to(fast, 0.0)
    assert fast.yields_to(slow, 0.0)


@given(
    one=st.tuples(st.integers(0, 50), st.floats(1e-4, 10), st.floats(0.01, 100)),
    other=st.tuples(st.integers(0, 50), st.floats(1e-4, 10), st.floats(0.01, 100)),
)
def test_two_never_yield_to_each_other(
    one: tuple[int, float, float], other: tuple[int, float, float]
):
    """Of two instances in any state at most one would clearly answer sooner."""
    pair = []
    for port, (in_flight, cost, weight) in enumerate((one, other), 1):
        pair.append(member(port, weight=weight, cost=cost))
        pair[-1].in_flight = in_flight

    assert not (pair[0].yields_to(pair[1], 0.0) and pair[1].yields_to(pair[0], 0.0))


@pytest.mark.parametrize("cost", [0.0001, 0.001, 0.1])
def test_one_failure_costs_an_instance_its_traffic(cost: float):
    """Failing fast must not look good, however quick the answers are."""
    failing, well = member(1, cost=cost), member(2, cost=cost)
    failing.fail(0.0, cost, 0.0)

    assert {Group([failing, well]).choose(0.1, step / 50) for step in range(50)} == {well}


def test_a_slower_answer_counts_at_once_and_fades():
    """Peak EWMA: up in one step, down by 63 % of the difference in 10 s."""
    one = member(cost=0.01)

    one.measure(1.0, 0.0)
    assert one.cost == 1.0
    one.measure(0.0, 10.0)
    assert 0.36 < one.cost < 0.37


def test_only_the_third_slow_answer_in_a_row_counts():
    """A pause hits one or two; what counts is the least of three."""
    one = member(cost=0.01)
    for _ in range(5):
        one.answer(0.01, 1.0, 1.0)
    one.answer(2.0, 1.0, 3.0)
    one.answer(3.0, 1.0, 4.0)
    assert one.cost == pytest.approx(0.01)

    one.answer(1.0, 4.0, 5.0)
    assert one.cost == 1.0


def test_attempts_from_before_the_fifth_answer_do_not_raise_the_cost():
    """A cold start takes all requests that wait for it; later ones tell the truth."""
    one = member(cost=0.01)
    for _ in range(20):
        one.answer(2.0, 0.0, 2.0)
    assert one.cost == 0.01

    one.answer(2.0, 2.0, 4.0)
    assert one.cost == 2.0
    one.assume(0.01)
    one.answer(2.0, 4.0, 6.0)
    assert one.cost == 0.01, "it starts over when it returns"


def test_a_returning_instance_is_spared_at_first():
    """In its slow start it gets a tenth of its share, then more and more of it."""
    returned, steady = member(1), member(2)
    returned.ejection.eject(Cause.CONSECUTIVE, 0.0, 0.0)
    returned.ejection.restore(10.0)

    def times(now: float) -> int:
        draws = (step / 2000 for step in range(2000))
        return sum(Group([returned, steady]).choose(now, draw) is returned for draw in draws)

    for now, share in ((10.0, 0.05), (12.5, 0.25), (15.0, 0.5)):
        assert times(now) == pytest.approx(2000 * share, abs=10)


def test_a_returning_instance_is_not_filled_at_once():
    """Its slow start counts for what it has in flight too: two requests are many beside nine."""
    returned, steady = member(1), member(2)
    returned.ejection.eject(Cause.CONSECUTIVE, 0.0, 0.0)
    returned.ejection.restore(10.0)
    returned.in_flight, steady.in_flight = 2, 9

    assert returned.yields_to(steady, 10.0)
    assert steady.yields_to(returned, 15.0)


def test_a_neglected_instance_gets_one_request_not_a_crowd():
    """Idle time lowers its load so that it is tried; once tried, it counts in full again."""
    slow, fast = member(1, cost=1.0), member(2, cost=0.01)
    fast.measure(0.01, 60.0)

    assert Group([slow, fast]).choose(60.0, 0.0) is slow
    slow.in_flight = 1
    assert Group([slow, fast]).choose(60.0, 0.0) is fast


def test_under_concurrency_weights_share_the_load():
    """With 30 requests always in flight, weights 1:2 hold about 1:2 of them."""
    dice = random.Random(7)  # noqa: S311 - a seeded simulation
    members = [member(1, weight=1.0), member(2, weight=2.0)]
    running: list[Member] = []
    counts = {1: 0, 2: 0}
    for _ in range(6000):
        if len(running) == 30:
            running.pop(dice.randrange(30)).in_flight -= 1
        chosen = Group(members).choose(0.0, dice.random())
        chosen.in_flight += 1
        running.append(chosen)
        counts[chosen.instance.port] += 1

    assert 1.7 < counts[2] / counts[1] < 2.3
