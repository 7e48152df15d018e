"""When a list of instances is believed."""

import math
from dataclasses import replace

from failover import Instance
from hypothesis import given, strategies as st
from nacos_client.discover import RARE_SECONDS, RECONCILE_SECONDS, SLOTS, until_slot
from nacos_client.ports import Listing
from nacos_client.snapshot import (
    HOLD_SECONDS,
    REJOIN_SECONDS,
    STALE_SECONDS,
    Known,
    Unknown,
    aged,
    judge,
)

NEVER = -math.inf


def some(count: int, first: int = 1) -> tuple[Instance, ...]:
    return tuple(Instance("10.0.0.1", port) for port in range(first, first + count))


def known(count: int) -> Known:
    return Known(some(count), "nacos", 0.0)


@given(
    st.integers(0, SLOTS - 1),
    st.floats(0, 1e6),
    st.sampled_from([RECONCILE_SECONDS, RARE_SECONDS]),
)
def test_a_service_asks_in_its_slot(slot: int, now: float, period: float) -> None:
    """The next question comes within the period, at once never, and when its slot is there."""
    patience = until_slot(slot, now, period)
    assert 0 < patience <= period
    off = (now + patience - slot * period / SLOTS) % period
    assert min(off, period - off) < 0.051


def test_the_first_answer_is_believed_even_if_it_is_empty() -> None:
    """Where nothing was known there is nothing to lose."""
    snapshot, doubt = judge(Unknown(""), Listing(()), None, now=1.0, reconnected_at=NEVER)
    assert (snapshot, doubt) == (Known((), "nacos", 1.0), None)


def test_half_of_the_instances_may_go_at_once() -> None:
    """A rolling restart of two instances is no reason for doubt."""
    snapshot, doubt = judge(known(2), Listing(some(1)), None, now=1.0, reconnected_at=NEVER)
    assert (snapshot.instances, doubt) == (some(1), None)


def test_an_empty_list_is_confirmed_first() -> None:
    """It is believed when it is still empty after three seconds."""
    held, doubt = judge(known(2), Listing(()), None, now=1.0, reconnected_at=NEVER)
    assert (held.instances, held.held) == (some(2), 2)
    assert doubt is not None
    assert doubt.until == 1.0 + HOLD_SECONDS

    held, doubt = judge(held, Listing(()), doubt, now=2.0, reconnected_at=NEVER)
    assert held.held == 2
    assert doubt is not None
    gone, doubt = judge(held, Listing(()), doubt, now=doubt.until, reconnected_at=NEVER)
    assert (gone.instances, gone.held, doubt) == ((), 0, None)


def test_after_a_reconnect_providers_get_time_to_return() -> None:
    """A restarted Nacos knows nobody at first: what was known is kept for 35 seconds."""
    _, doubt = judge(known(4), Listing(some(1)), None, now=12.0, reconnected_at=10.0)
    assert doubt is not None
    assert doubt.until == 10.0 + REJOIN_SECONDS


def test_while_in_doubt_new_instances_count_already() -> None:
    """What a doubtful list names is taken; only what it misses is kept."""
    new = some(1, first=9)
    held, _ = judge(known(4), Listing(new), None, now=1.0, reconnected_at=NEVER)
    assert held.instances == (*new, *some(4))
    assert held.held == 4


def test_a_doubt_ends_when_the_instances_are_back() -> None:
    """Nothing is held any more, and the next shrinking is judged anew."""
    held, doubt = judge(known(4), Listing(()), None, now=1.0, reconnected_at=NEVER)
    back, doubt = judge(held, Listing(some(4)), doubt, now=2.0, reconnected_at=NEVER)
    assert (back.instances, back.held, doubt) == (some(4), 0, None)


def test_silence_makes_stale() -> None:
    """A list that Nacos has not confirmed for 35 seconds says so, and keeps its instances."""
    fresh = known(2)
    assert aged(fresh, STALE_SECONDS - 1) is fresh
    assert aged(fresh, STALE_SECONDS) == replace(fresh, stale=True)
    assert aged(Unknown("why"), 1e9) == Unknown("why")


@given(
    st.lists(st.tuples(st.integers(0, 6), st.floats(0.1, 20.0)), min_size=1, max_size=20),
    st.booleans(),
)
def test_the_truth_wins_in_the_end(answers: list[tuple[int, float]], rejoining: bool) -> None:
    """No listed instance is ever missing, and a repeated list is believed within 35 seconds."""
    now, doubt = 0.0, None
    snapshot: Unknown | Known = Unknown("")
    reconnected_at = 0.0 if rejoining else NEVER
    listing = Listing(())
    for count, pause in answers:
        now += pause
        listing = Listing(some(count))
        snapshot, doubt = judge(snapshot, listing, doubt, now=now, reconnected_at=reconnected_at)
        assert set(listing.instances) <= set(snapshot.instances)
        assert snapshot.held == len(snapshot.instances) - count
    final, _ = judge(
        snapshot, listing, doubt, now=now + REJOIN_SECONDS, reconnected_at=reconnected_at
    )
    if doubt is not None:
        assert final.instances == listing.instances


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.lists(st.booleans(), max_size=9))
def test_protection_leaves_nobody_behind(before: list[bool], listed: list[bool]) -> None:
    """While the protect threshold holds, every known instance is callable, the missed ones too."""
    current, now = (
        tuple(Instance("10.0.0.1", port, healthy=h) for port, h in enumerate(healthy, 1))
        for healthy in (before, listed)
    )
    snapshot, _ = judge(
        Known(current, "nacos", 0.0),
        Listing(now, protected=True),
        None,
        now=1.0,
        reconnected_at=NEVER,
    )
    assert snapshot.protected
    assert all(instance.healthy for instance in snapshot.instances)
    assert len(snapshot.instances) == len(now) + snapshot.held


def test_a_change_of_health_is_no_shrinking() -> None:
    """All instances but one turn unhealthy: the list is as long as before, and believed at once."""
    sick = (*some(1), *(replace(i, healthy=False) for i in some(9, first=2)))
    snapshot, doubt = judge(known(10), Listing(sick), None, now=1.0, reconnected_at=NEVER)
    assert (snapshot.instances, doubt) == (sick, None)
