"""Time limits of one request: a total deadline, and what one attempt may use of it.

The total covers queueing, every attempt and every pause between them, as in Envoy and gRPC, so a
client's own timeout can be a little above it and will never fire first. Times are seconds on one
monotonic clock.
"""

import math
from email.utils import parsedate_to_datetime


def deadline_of(now: float, limit: float, asked: float | None = None) -> float:
    """When a request that starts now must be answered; a client may lower the limit, not raise it.

    Args:
        now: the clock.
        limit: the route's total timeout, in seconds.
        asked: what the client allows, in seconds, if it said so.
    """
    return now + (limit if asked is None else min(limit, asked))


def attempt_deadline(now: float, deadline: float, per_try: float) -> float:
    """When an attempt that starts now is given up."""
    return min(deadline, now + per_try)


def conclusive(started: float, deadline: float, usual: float) -> bool:
    """Whether an attempt that ran into the deadline had the time that others have.

    What a client's own limit or earlier attempts left it says nothing about the instance.

    Args:
        started: clock time at which the attempt started.
        deadline: of the request.
        usual: seconds that attempts are given; queueing and connecting may use up a tenth.
    """
    return deadline - started >= 0.9 * usual


def parse_millis(value: str) -> float | None:
    """Read a header of milliseconds as seconds; None for what is not a positive whole number."""
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 10):  # noqa: PLR2004 - 11 days
        return None
    return int(value) / 1000 or None


def retry_after(value: str, wall: float) -> float | None:
    """Seconds that a `Retry-After` asks for: a number or a date (RFC 9110, 10.2.3).

    Args:
        value: of the field.
        wall: Unix time now.

    Returns:
        0 for a date that has passed, None for what is neither.
    """
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


def remaining_millis(now: float, deadline: float) -> int:
    """Whole milliseconds until the deadline, 0 when it has passed."""
    return max(0, math.floor((deadline - now) * 1000))
