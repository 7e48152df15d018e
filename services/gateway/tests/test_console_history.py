"""A quarter of an hour of rates and latencies, from counters that only grow."""

from gateway.console.drawing import latency_chart, rate_chart
from gateway.console.history import (
    MAX_SERVICES,
    PERIOD_SECONDS,
    PERIODS,
    History,
    Period,
    counted,
    quantile,
)
from gateway.telemetry.records import BUCKETS
from hypothesis import given, strategies as st

COUNT = st.integers(0, 50)


def state(**services: tuple[int, int]):
    """A worker's counters: of each service, requests of 5 ms, and those of them that failed."""
    return {
        "requests": [
            entry
            for name, (good, bad) in services.items()
            for entry in (("r", name, "2xx", "answered", good), ("r", name, "5xx", "x", bad))
        ],
        "seconds": [
            ("r", name, [0, 0, good + bad, *([0] * (len(BUCKETS) - 2)), 0.0])
            for name, (good, bad) in services.items()
        ],
    }


@given(st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=120))
def test_what_was_counted_is_what_is_shown(added):
    """The sum over the kept periods is what came in them, and no more periods than 90 are kept."""
    history, good, bad = History(), 0, 0
    history.note([state(cars=(0, 0))], 0.0)
    for place, (more, worse) in enumerate(added, 1):
        good, bad = good + more, bad + worse
        history.note([state(cars=(good, bad))], place * PERIOD_SECONDS)

    kept = added[-PERIODS:]
    told = history.services.get("cars")
    assert told is not None
    assert told.whole.requests == sum(map(sum, kept))
    assert told.whole.errors == sum(worse for _, worse in kept)
    assert len(told.periods) == len(kept)
    assert [round(one.rate * PERIOD_SECONDS) for one in told.periods] == [sum(o) for o in kept]


def test_workers_are_summed():
    """Two workers' requests are one rate."""
    both = counted([state(cars=(3, 1)), state(cars=(5, 0), points=(1, 0))])

    assert (both["cars"].requests, both["cars"].errors) == (9, 1)
    assert both["points"].requests == 1


def test_counters_that_begin_anew_are_no_negative_rate():
    """A gateway whose counters fell counts what came since."""
    history = History()
    for at, count in ((0.0, 0), (10.0, 100), (20.0, 4)):
        history.note([state(cars=(count, 0))], at)

    assert [one.rate for one in history.services["cars"].periods] == [10.0, 0.4]


def test_a_service_that_is_gone_is_forgotten_after_its_quarter_of_an_hour():
    """Names come and go; what is kept is bounded by the time, and by a number."""
    history = History()
    history.note([state()], 0.0)
    history.note([state(cars=(1, 0))], 10.0)
    for place in range(2, PERIODS + 3):
        history.note([state()], place * 10.0)

    assert history.services == {}
    many = {f"s{number}": (1, 0) for number in range(MAX_SERVICES + 9)}
    history.note([state(**many)], 10_000.0)
    assert len(history.services) == MAX_SERVICES


@given(
    st.lists(st.integers(0, 9), min_size=len(BUCKETS) + 1, max_size=len(BUCKETS) + 1),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_a_quantile_lies_in_its_bucket(buckets, share, other):
    """It is within the bucket that holds it, and a larger share takes no less time."""
    found = quantile(buckets, share)
    if not sum(buckets):
        assert found is None
        return
    assert found is not None
    assert 0 < found <= BUCKETS[-1]
    below = sum(count for upper, count in zip(BUCKETS, buckets, strict=False) if upper < found)
    assert below <= share * sum(buckets) + 1e-9
    low, high = sorted((share, other))
    assert (quantile(buckets, low) or 0) <= (quantile(buckets, high) or 0)


@given(
    st.lists(
        st.builds(
            Period,
            st.floats(0, 1e6),
            st.floats(0, 10),
            st.none() | st.floats(0, 15),
            st.none() | st.floats(0, 15),
        ),
        max_size=PERIODS,
    )
)
def test_charts_are_short_and_have_no_text(periods):
    """A chart of whatever figures is some kilobytes of points."""
    for chart in (rate_chart(periods), latency_chart(periods)):
        assert len(chart) < 6000
        assert "nan" not in chart
        assert "style" not in chart
