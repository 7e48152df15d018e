"""What has changed: told once, whoever tells it how often."""

from gateway.console.timeline import MAX_EVENTS, MAX_SUBJECTS, EventKind, Timeline
from hypothesis import given, strategies as st

SERVICE = "cars"


def news(pid=1, *, moves=(), out=(), version="v1", source="nacos", rejected=None):
    """What a worker tells."""
    return {
        "pid": pid,
        "moves": list(moves),
        "out": [(SERVICE, address, cause) for address, cause in out],
        "document": {"version": version, "source": source, "at": 1.0, "rejected": rejected},
    }


def told(timeline: Timeline, *kinds: EventKind) -> list[tuple[EventKind, str]]:
    return [
        (event.kind, subject)
        for event in timeline.events
        if event.kind in kinds
        for subject in event.subjects
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30)), max_size=12),
    st.lists(st.integers(0, 2), min_size=3, max_size=3),
    st.integers(1, 14),
)
def test_each_change_is_told_once_by_however_many_workers(steps, delays, every):
    """Workers learn of a change milliseconds apart, and tell it again with each report."""
    now, moves, present = 0.0, [], set()
    for address, pause in steps:
        now += pause
        present ^= {address}
        moves.append((now, SERVICE, address, address in present))
    timeline = Timeline()
    for at in range(0, int(now) + 20, every):
        reports = [
            [
                (moved + delay / 1000, service, address, came)
                for moved, service, address, came in moves
                if at - 15 <= moved + delay / 1000 <= at
            ]
            for delay in delays
        ]
        timeline.note([news(pid, moves=one) for pid, one in enumerate(reports)], float(at))

    seen = [
        (kind is EventKind.CAME, subject)
        for kind, subject in told(timeline, EventKind.CAME, EventKind.LEFT)
    ]
    expected = [(came, address) for at, _, address, came in moves]
    assert sorted(seen) == sorted(expected)


def test_an_ejection_is_told_with_its_cause_and_its_end():
    """One event when the first worker ejects an instance, one when no worker has it out."""
    timeline = Timeline()
    timeline.note([news(1), news(2)], 0.0)
    timeline.note([news(1, out=[("a", "refused")]), news(2)], 1.0)
    timeline.note([news(1, out=[("a", "refused")]), news(2, out=[("a", "refused")])], 2.0)
    timeline.note([news(1), news(2, out=[("a", "refused")])], 3.0)
    timeline.note([news(1), news(2)], 4.0)

    found = [e for e in timeline.events if e.service == SERVICE]
    assert [(e.kind, e.at, e.detail) for e in found] == [
        (EventKind.EJECTED, 1.0, "refused"),
        (EventKind.RETURNED, 4.0, ""),
    ]


def test_an_ejected_instance_that_leaves_is_not_back():
    """It left; nobody says that it serves again."""
    timeline = Timeline()
    timeline.note([news(out=[("a", "refused")])], 1.0)
    timeline.note([news(moves=[(1.5, SERVICE, "a", False)])], 2.0)

    kinds = [event.kind for event in timeline.events]
    assert EventKind.LEFT in kinds
    assert EventKind.RETURNED not in kinds


def test_documents_are_told_when_they_change():
    """Applied, refused with the reason once, and refused anew after a good one."""
    timeline = Timeline()
    bad = ("v2", "line 3: no", 2.0)
    for one in (
        news(),
        news(rejected=bad),
        news(rejected=bad),
        news(version="v3"),
        news(version="v3", rejected=bad),
    ):
        timeline.note([one, one], 5.0)

    assert told(timeline, EventKind.APPLIED, EventKind.REFUSED) == [
        (EventKind.APPLIED, "v1"),
        (EventKind.REFUSED, "v2"),
        (EventKind.APPLIED, "v3"),
        (EventKind.REFUSED, "v2"),
    ]


def test_a_replaced_worker_is_told():
    """The first ones are no event; then each that comes and each that ends is."""
    timeline = Timeline()
    timeline.note([news(1), news(2)], 0.0)
    timeline.note([news(1), news(2), news(3)], 1.0)
    timeline.note([news(2), news(3)], 2.0)

    assert told(timeline, EventKind.WORKER_CAME, EventKind.WORKER_LEFT) == [
        (EventKind.WORKER_CAME, "3"),
        (EventKind.WORKER_LEFT, "1"),
    ]


def test_a_fleet_that_comes_is_one_event():
    """A hundred instances at once are a line with five names and a number."""
    timeline = Timeline()
    moves = [(1.0, SERVICE, f"10.0.0.{number}:1", True) for number in range(100)]
    timeline.note([news(moves=moves)], 1.0)

    (event,) = [e for e in timeline.events if e.kind is EventKind.CAME]
    assert (event.count, len(event.subjects)) == (100, MAX_SUBJECTS)


def test_the_timeline_is_bounded():
    """However much happens, the last events are kept."""
    timeline = Timeline()
    for number in range(MAX_EVENTS + 50):
        timeline.add(EventKind.WORKER_CAME, float(number), str(number))

    assert len(timeline.events) == MAX_EVENTS
    assert timeline.events[-1].subjects == (str(MAX_EVENTS + 49),)
