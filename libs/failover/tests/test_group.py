"""Requirements on the choice out of many: whom it finds, and how many it looks at."""

import inspect
import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

import pytest
from failover import Balancer, EjectionPolicy, Instance, Member, NoInstance, Outcome, RetryState
from failover.group import Group
from hypothesis import given, strategies as st

DRAWS = st.floats(0, 1, exclude_max=True)
FEW, MANY = 16, 1024
LIMIT = 2


@given(
    loads=st.lists(st.tuples(st.floats(1e-3, 1e4), st.booleans()), min_size=1, max_size=40),
    changes=st.lists(st.tuples(st.integers(0, 39), st.booleans()), max_size=20),
    tried=st.sets(st.integers(0, 39), max_size=5),
    draw=DRAWS,
)
def test_who_has_room_and_was_not_tried_is_found(
    loads: list[tuple[float, bool]],
    changes: list[tuple[int, bool]],
    tried: set[int],
    draw: float,
):
    """One of those is chosen while there is any, whoever filled up and emptied before."""
    members = [
        Member(Instance("10.0.0.1", port, weight), EjectionPolicy(), limit=1, cost=0.01, now=0.0)
        for port, (weight, _) in enumerate(loads, 1)
    ]
    for member, (_, full) in zip(members, loads, strict=True):
        member.in_flight = int(full)
    group = Group(members)
    for place, full in changes:
        if place < len(members):
            members[place].in_flight = int(full)
            group.note(members[place])
    left_out = tuple(members[place] for place in tried if place < len(members))
    free = [member for member in members if not member.in_flight and member not in left_out]

    for _ in range(2):  # what was left out once is not left out for good
        chosen = group.choose(1.0, draw, left_out)
        assert chosen in free if free else chosen is None
    assert group.has_untried(left_out) == (len(left_out) < len(members))


def balancer_of(count: int) -> Balancer:
    balancer = Balancer(max_in_flight=LIMIT)
    balancer.sync([Instance("10.0.0.1", port) for port in range(1, count + 1)], 0.0)
    return balancer


def request(*tried: Member) -> RetryState:
    one = RetryState(repeatable=True, deadline=1000.0)
    one.tried = tried
    return one


def fill(balancer: Balancer, *, but: int) -> None:
    """Give every instance as much as it takes, except some."""
    for member in list(balancer.members.values())[but:]:
        for _ in range(LIMIT):
            balancer.start_attempt(request(), member, 0.0)


def refuse(balancer: Balancer, count: int) -> None:
    """Let some instances refuse, so that they are ejected."""
    for member in list(balancer.members.values())[:count]:
        one = request()
        balancer.start_attempt(one, member, 0.0)
        balancer.record(one, Outcome.REFUSED, 0.0, 0.5)


def idle(balancer: Balancer) -> None:
    """Leave every instance idle."""


def busy(balancer: Balancer) -> None:
    """Leave one instance that has room."""
    fill(balancer, but=1)


def full(balancer: Balancer) -> None:
    """Leave no room anywhere."""
    fill(balancer, but=0)


def mostly_out(balancer: Balancer) -> None:
    """Leave a quarter in traffic; the time of the others is not up, or up for all."""
    refuse(balancer, len(balancer.members) * 3 // 4)


def one_request(balancer: Balancer, now: float, outcome: Outcome) -> None:
    """Send a request until it has been tried thrice, as far as it goes, and hedge it."""
    one = request()
    for draw in (0.3, 0.6, 0.9):
        if isinstance(balancer.pick(one, now, draw), NoInstance):
            return
        hedge = balancer.hedge(one, now, draw)
        if hedge is not None:
            balancer.record(hedge, Outcome.ABANDONED, now, draw)
        balancer.record(one, outcome, now, draw)
        balancer.decide(one, outcome, now, draw)


def steps(call: Callable[[], None]) -> int:
    """Return how many instructions of failover's modules Python carries out in a call."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_globals["__name__"].startswith("failover"):
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    # Python 3.12 tells of opcodes only if some frame had asked for them before the trace begins.
    own = inspect.currentframe()
    assert own is not None
    own.f_trace_opcodes = True
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("before", [idle, busy, full, mostly_out])
@pytest.mark.parametrize(
    ("outcome", "now"),
    [
        (Outcome.ANSWERED, 0.1),
        (Outcome.UNAVAILABLE, 0.1),
        (Outcome.ABANDONED, 500.0),  # probes are due; an end of one would change an ejection
    ],
)
def test_a_request_costs_no_more_for_each_instance(
    before: Callable[[Balancer], None], outcome: Outcome, now: float
):
    """64 times the instances, at most four times the steps, for a tree has some more levels.

    This holds while no ejection changes; a change may look at every instance.
    """
    if not isinstance(Balancer.pick, FunctionType):
        pytest.skip("instructions of the compiled form are not counted")
    took = {}
    for count in (FEW, MANY):
        balancer = balancer_of(count)
        before(balancer)
        one_request(balancer, now, outcome)  # the groups are made for the first one
        took[count] = steps(lambda balancer=balancer: one_request(balancer, now, outcome))  # type: ignore[misc]

    assert took[FEW] > 100
    assert took[MANY] <= 4 * took[FEW]
