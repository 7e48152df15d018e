"""Requirements on time limits."""

from datetime import UTC, datetime

import pytest
from failover import (
    attempt_deadline,
    conclusive,
    deadline_of,
    parse_millis,
    parse_retry_after,
)
from hypothesis import given, strategies as st

SECONDS = st.floats(0.001, 1000)


@given(now=st.floats(0, 1e6), limit=SECONDS, asked=st.none() | SECONDS)
def test_a_client_can_only_lower_the_deadline(now: float, limit: float, asked: float | None):
    """The route's timeout is the most anybody waits."""
    assert now < deadline_of(now, limit, asked) <= now + limit


def test_an_attempt_ends_with_the_request_at_the_latest():
    """The per-try timeout is cut by the total."""
    assert attempt_deadline(10.0, 20.0, 5.0) == 15.0
    assert attempt_deadline(18.0, 20.0, 5.0) == 20.0


def test_a_header_of_milliseconds_is_read_strictly():
    """Anything but a positive whole number says nothing."""
    assert parse_millis("1500") == 1.5
    for value in ("", "0", "-1", "1.5", "1e3", " 5", "٣", "9" * 10):
        assert parse_millis(value) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("Sun, 22 Nov 2026 08:00:20 GMT", 20.0),
        ("Sun, 22 Nov 2026 07:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("٣", None),
        ("", None),
    ],
)
def test_a_pause_is_seconds_or_a_date(value: str, seconds: float | None):
    """Both forms of `Retry-After` (RFC 9110, 10.2.3); anything else says nothing."""
    now = datetime(2026, 11, 22, 8, tzinfo=UTC).timestamp()

    assert parse_retry_after(value, now) == seconds


def test_only_an_attempt_with_the_usual_time_proves_anything():
    """Neither a client's low limit nor what earlier attempts left is held against an instance."""
    assert conclusive(10.0, 15.0, 5.0)
    assert conclusive(10.1, 15.0, 5.0), "it waited a little for its place"
    assert not conclusive(10.0, 10.06, 5.0)
    assert not conclusive(14.0, 15.0, 5.0)
