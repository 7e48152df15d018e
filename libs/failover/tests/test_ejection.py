"""Requirements on ejection, on a virtual clock."""

from failover import Cause, EjectionPolicy
from failover.ejection import EjectionState
from hypothesis import given, strategies as st

DRAWS = st.floats(0, 1, exclude_max=True)
POLICY = EjectionPolicy()


def test_five_failures_in_a_row_are_a_reason():
    """One success in between starts the count anew."""
    ejection = EjectionState(POLICY)

    assert [ejection.fail(1.0, 1) for _ in range(4)] == [None] * 4
    ejection.succeed(1.0)
    assert [ejection.fail(1.0, 1) for _ in range(5)] == [None] * 4 + [Cause.CONSECUTIVE]


def test_junk_counts_twice():
    """Three junk answers are six strikes."""
    ejection = EjectionState(POLICY)

    assert [ejection.fail(1.0, 2) for _ in range(3)] == [None, None, Cause.CONSECUTIVE]


def test_less_than_four_in_five_is_a_reason_once_there_are_twenty():
    """Three successes, one failure, again and again: 75 %, found at the 20th attempt."""
    ejection = EjectionState(POLICY)
    reasons = []
    for _ in range(5):
        for _ in range(3):
            ejection.succeed(1.0)
        reasons.append(ejection.fail(1.0, 1))

    assert reasons == [None] * 4 + [Cause.SUCCESS_RATE]


def test_old_failures_are_forgotten():
    """What happened more than the window ago does not count."""
    ejection = EjectionState(POLICY)
    for _ in range(4):
        for _ in range(3):
            ejection.succeed(1.0)
        ejection.fail(1.0, 1)
    for _ in range(16):
        ejection.succeed(40.0)

    assert ejection.fail(40.0, 1) is None


@given(times=st.integers(1, 40), draw=DRAWS)
def test_refusals_double_to_thirty_seconds(times: int, draw: float):
    """1 s * 2^k, at most 30 s, the second half of it random."""
    ejection = EjectionState(POLICY)
    for _ in range(times):
        ejection.eject(Cause.REFUSED, 100.0, draw)

    longest = min(30.0, 2.0 ** (times - 1))
    assert 100 + longest / 2 <= ejection.until <= 100 + longest


@given(times=st.integers(1, 60), draw=DRAWS)
def test_judgements_grow_to_five_minutes(times: int, draw: float):
    """10 s * k, at most 300 s, the second half of it random."""
    ejection = EjectionState(POLICY)
    for _ in range(times):
        ejection.eject(Cause.CONSECUTIVE, 100.0, draw)

    longest = min(300.0, 10.0 * times)
    assert 100 + longest / 2 <= ejection.until <= 100 + longest


def test_a_pause_asked_for_is_kept_within_reason():
    """`Retry-After` is honoured to the second, up to 30."""
    ejection = EjectionState(POLICY)

    ejection.eject(Cause.RETRY_AFTER, 100.0, 0.3, retry_after=7.0)
    assert ejection.until == 107.0
    ejection.eject(Cause.RETRY_AFTER, 100.0, 0.3, retry_after=3600.0)
    assert ejection.until == 130.0


def test_a_minute_of_good_conduct_clears_the_record():
    """Only an instance that fails again soon is punished harder."""
    ejection = EjectionState(POLICY)
    ejection.eject(Cause.CONSECUTIVE, 100.0, 1.0)
    ejection.restore(110.0)
    ejection.eject(Cause.CONSECUTIVE, 120.0, 1.0)
    assert ejection.until == 140.0

    ejection.restore(140.0)
    ejection.eject(Cause.CONSECUTIVE, 201.0, 1.0)
    assert ejection.until == 211.0


def test_a_returning_instance_is_loaded_gently():
    """From 10 % of its weight, linearly, to all of it in 5 s."""
    ejection = EjectionState(POLICY)
    ejection.eject(Cause.REFUSED, 100.0, 0.0)
    ejection.restore(101.0)

    assert ejection.warmth(101.0) == 0.1
    assert ejection.warmth(103.5) == 0.5
    assert ejection.warmth(106.0) == 1.0
