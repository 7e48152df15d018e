"""Requirements on the choice between instances."""

import random

import pytest
from failover import Cause, EjectionPolicy, Instance, Member
from failover.peak_ewma import choose, pick_two
from hypothesis import given, strategies as st

POLICY = EjectionPolicy()


def member(port: int = 1, *, weight: float = 1.0, cost: float = 0.01) -> Member:
    return Member(Instance("10.0.0.1", port, weight=weight), POLICY, limit=9, cost=cost, now=0.0)


@given(count=st.integers(2, 50), draw=st.floats(0, 1, exclude_max=True))
def test_one_draw_gives_two_different_candidates(count: int, draw: float):
    """Both indexes exist and differ."""
    first, second = pick_two(count, draw)

    assert 0 <= first < count
    assert 0 <= second < count
    assert first != second


def test_every_pair_is_as_likely():
    """A fine grid of draws meets all ordered pairs equally often."""
    pairs = [pick_two(4, step / 12000) for step in range(12000)]

    assert {pairs.count(pair) for pair in set(pairs)} <= set(range(990, 1011))
    assert len(set(pairs)) == 12


def test_the_less_loaded_of_two_wins():
    """In flight, answer time and weight all count."""
    busy, idle = member(1), member(2)
    busy.in_flight = 3
    slow, fast = member(3, cost=0.1), member(4, cost=0.01)
    light, heavy = member(5, weight=0.5), member(6, weight=2.0)

    for draw in (0.0, 0.6):
        assert choose([busy, idle], 0.0, draw) is idle
        assert choose([slow, fast], 0.0, draw) is fast
        assert choose([light, heavy], 0.0, draw) is heavy


def test_a_slower_answer_counts_at_once_and_fades():
    """Peak EWMA: up in one step, down by 63 % of the difference in 10 s."""
    one = member(cost=0.01)

    one.measure(1.0, 0.0)
    assert one.cost == 1.0
    one.measure(0.0, 10.0)
    assert 0.36 < one.cost < 0.37


def test_a_returning_instance_is_spared_at_first():
    """During its slow start it counts as more loaded than it is, less and less so."""
    returned, steady = member(1), member(2)
    returned.ejection.eject(Cause.CONSECUTIVE, 0.0, 0.0)
    returned.ejection.restore(10.0)
    returned.in_flight = steady.in_flight = 1

    loads = [returned.load(now) for now in (10.0, 11.0, 14.0, 15.0)]

    assert loads == sorted(loads, reverse=True)
    assert loads[0] == pytest.approx(10 * steady.load(10.0), rel=0.01), "a tenth of its weight"
    assert loads[-1] == steady.load(15.0)


def test_a_neglected_instance_gets_one_request_not_a_crowd():
    """Idle time lowers its load so that it is tried; once tried, it counts in full again."""
    slow, fast = member(1, cost=1.0), member(2, cost=0.01)
    fast.measure(0.01, 60.0)

    assert choose([slow, fast], 60.0, 0.0) is slow
    slow.in_flight = 1
    assert choose([slow, fast], 60.0, 0.0) is fast


def test_under_concurrency_weights_share_the_load():
    """With 30 requests always in flight, weights 1:2 hold about 1:2 of them."""
    dice = random.Random(7)  # noqa: S311 - a seeded simulation
    members = [member(1, weight=1.0), member(2, weight=2.0)]
    running: list[Member] = []
    counts = {1: 0, 2: 0}
    for _ in range(6000):
        if len(running) == 30:
            running.pop(dice.randrange(30)).in_flight -= 1
        chosen = choose(members, 0.0, dice.random())
        chosen.in_flight += 1
        running.append(chosen)
        counts[chosen.instance.port] += 1

    assert 1.7 < counts[2] / counts[1] < 2.3
