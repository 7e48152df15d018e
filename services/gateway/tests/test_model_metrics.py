"""What a model service's metrics say of its model, whatever stands in them."""

from itertools import pairwise
from math import isclose

import pytest
from gateway.console.model_metrics import (
    MAX_LINE,
    MAX_NAME,
    MAX_SAMPLES,
    MUCH,
    POINTS,
    REFUSED,
    SHOWN,
    SOME,
    DriftDegree,
    ModelHistory,
    Reading,
    UnreadError,
    drift_of,
    read,
    together,
)
from hypothesis import example, given, strategies as st
from stack.observe.alerts import ALERTS

TEXT = b"""# HELP model_psi Population stability index
# TYPE model_psi gauge
model_psi{of="safety"} 0.3
model_psi{of="class"} NaN
model_predictions_total{label="acc",model_version="1.0.0"} 30.0
model_predictions_total{label="a\\"\\n}",model_version="1.0.0"} 10.0
http_problems_total{status="422",type="invalid-rows"} 5.0
http_problems_total{status="500",type="internal"} 7.0
http_request_duration_seconds_count{method="POST",status="200"} 20.0
http_request_duration_seconds_count{method="POST",status="422"} 5.0
http_request_duration_seconds_count{method="GET",status="200"} 99.0
http_request_duration_seconds_bucket{method="POST",le="1.0"} 20.0
other_total 1.0
"""
LONG = b'model_psi{of="' + b"a" * MAX_LINE + b'"} 1\n'
NAMES = st.sampled_from(["a", "b", "c"])
COUNTS = st.integers(0, 1000).map(float)
READINGS = st.builds(
    Reading,
    st.dictionaries(NAMES, st.floats(0, 5)),
    st.dictionaries(st.tuples(st.sampled_from(["1", "2"]), NAMES), COUNTS),
    st.dictionaries(NAMES, COUNTS),
    COUNTS,
)


def test_the_few_wanted_samples_are_read():
    """Indexes, answers, refusals of inputs alone, requests with an input; other samples are not."""
    assert read(TEXT) == Reading(
        {"safety": 0.3},
        {("1.0.0", "acc"): 30.0, ("1.0.0", 'a"\n}'): 10.0},
        {"invalid-rows": 5.0},
        25.0,
    )


@example(b",\r=\r{}} 1", b"{")
@given(st.binary(max_size=60), st.sampled_from([b"", b'{of="', b'{of="a"}', b'{of="a",', b" "]))
def test_whatever_a_stranger_tells_is_read_or_refused(rest, start):
    """No text of an instance brings about another error."""
    try:
        reading = read(b"model_psi" + start + rest)
    except UnreadError:
        return
    assert all(index >= 0 for index in reading.drift.values())


def test_long_names_are_cut_and_too_many_samples_are_refused():
    """What is kept of a stranger's text is bounded."""
    line = b'model_psi{of="%b"} 1\n'

    assert list(read(line % (b"x" * 2000)).drift) == ["x" * MAX_NAME]
    with pytest.raises(UnreadError):
        read(b"".join(line % b"%d" % number for number in range(MAX_SAMPLES + 1)))


@given(READINGS, READINGS)
def test_counting_goes_on_or_began_anew(before, added):
    """The added counts are found again; an instance that began anew is counted from nothing."""
    after = together([before, added])

    assert after.since(before).posts == added.posts
    assert sum(after.since(before).classes.values()) == sum(added.classes.values())
    assert Reading(posts=before.posts).since(Reading(posts=before.posts + 1)).posts == before.posts


@given(st.lists(READINGS, max_size=4))
def test_instances_become_one(readings):
    """Counts add up; the greatest index of each feature counts, as the alert takes any instance."""
    whole = together(readings)

    assert whole.posts == sum(one.posts for one in readings)
    assert sum(whole.refused.values()) == sum(sum(one.refused.values()) for one in readings)
    for feature, index in whole.drift.items():
        assert index == max(one.drift.get(feature, 0.0) for one in readings)


def test_much_drift_and_refused_inputs_are_what_the_alerts_say():
    """The bound of much drift, which itself is some, and the statuses of refused inputs."""
    expressions = {alert.name: alert.expression for alert in ALERTS}
    assert expressions["ModelDrifts"] == f"model_psi > {MUCH}"
    assert f'{{status=~"{"|".join(sorted(REFUSED))}"}}' in expressions["InputsRefused"]
    told = [drift_of(index) for index in (0.0, SOME, MUCH, MUCH + 0.001)]
    assert told == [DriftDegree.LITTLE, DriftDegree.SOME, DriftDegree.SOME, DriftDegree.MUCH]


@given(st.lists(st.dictionaries(st.sampled_from(["i", "j"]), READINGS), min_size=1, max_size=4))
def test_what_is_shown_is_bounded_ordered_and_shares(readings):
    """Of each kind so many names at most, with a course as long as the readings."""
    history = ModelHistory()
    for told in readings:
        history.note(told)
    situation = history.situation(0.0, 2)

    if situation is None:
        assert not together(readings[-1].values()).tells
        return
    for lines in (situation.drift, situation.classes, situation.refused):
        assert len(lines) <= SHOWN
        assert all(len(line.course) == len(readings) for line in lines)
    for lines in (situation.classes, situation.refused):
        figures = [one for line in lines for one in (line.whole, *line.course) if one is not None]
        assert all(0 <= one <= 1 for one in figures)
    for lines in (situation.drift, situation.refused):
        assert all(a.whole >= b.whole for a, b in pairwise(lines))


def test_shares_over_time_are_of_what_was_added():
    """The first reading has none; each further one has those of what came since the one before."""
    history = ModelHistory()
    for good, bad, refused in ((900.0, 100.0, 0.0), (910.0, 190.0, 50.0), (910.0, 190.0, 50.0)):
        classes = {("1", "good"): good, ("1", "bad"): bad}
        posts = good + bad + refused
        history.note({"10.0.0.1:80": Reading({"size": 0.2}, classes, {"no": refused}, posts)})
    found = history.situation(0.0, 1)

    assert found is not None
    assert [line.name for line in found.classes] == ["good", "bad"]
    assert isclose(found.classes[0].whole, 910 / 1100)
    assert found.classes[0].course == [None, 0.1, None]
    assert found.classes[1].last == 0.9
    assert found.refused[0].course == [None, 50 / 150, None]
    assert found.drift[0].course == [0.2, 0.2, 0.2]


def test_versions_are_apart_and_a_new_instance_is_counted_from_there_on():
    """A canary's shares are of its own answers; what an instance counted before is not new."""
    old, new = {("1", "a"): 100.0}, {("2", "a"): 30.0, ("2", "b"): 10.0}
    history = ModelHistory()
    history.note({"10.0.0.1:80": Reading({}, old)})
    history.note({"10.0.0.1:80": Reading({}, old), "10.0.0.2:80": Reading({}, new)})
    found = history.situation(0.0, 2)

    assert found is not None
    assert [(line.name, line.whole) for line in found.classes] == [
        ("a (1)", 1.0), ("a (2)", 0.75), ("b (2)", 0.25),
    ]  # fmt: skip
    assert [line.last for line in found.classes] == [None, None, None]


def test_only_so_many_readings_are_kept():
    """However long somebody looks."""
    history = ModelHistory()
    for _ in range(POINTS + 5):
        history.note({"10.0.0.1:80": Reading({f"f{number}": 1.0 for number in range(SHOWN + 3)})})
    found = history.situation(0.0, 1)

    assert found is not None
    assert len(found.drift[0].course) == POINTS
    assert (len(found.drift), found.unshown) == (SHOWN, 3)


def test_a_very_long_sample_is_not_parsed():
    """The parser would take seconds for one that fills an answer."""
    with pytest.raises(UnreadError):
        read(LONG)


def test_values_beyond_any_count_are_left_out():
    """Their sums would be no numbers."""
    assert read(b'model_psi{of="a"} 1e308\nmodel_psi{of="b"} +Inf\n') == Reading()


def test_reasons_that_are_not_shown_are_counted():
    """As features and classes are."""
    history = ModelHistory()
    history.note({"one": Reading(refused={f"r{i}": 1.0 for i in range(SHOWN + 3)}, posts=50.0)})

    found = history.situation(0.0, 1)

    assert found is not None
    assert (len(found.refused), found.unshown) == (SHOWN, 3)
