"""Time limits of one request: a total deadline, and what one attempt may use of it.

The total covers queueing, every attempt and every pause between them, as in Envoy and gRPC, so a
client's own timeout can be a little above it and will never fire first. Times are seconds on one
monotonic clock.
"""

from email.utils import parsedate_to_datetime


def deadline_of(now: float, limit: float, allowed: float | None = None) -> float:
    """Return the deadline of a request that starts now; a client may lower the limit, not raise it.

    Args:
        now: the clock.
        limit: the route's total timeout, in seconds.
        allowed: seconds that the client allows, if it said so.
    """
    return now + (limit if allowed is None else min(limit, allowed))


def attempt_deadline(now: float, deadline: float, per_try: float) -> float:
    """Return when an attempt that starts now is given up."""
    return min(deadline, now + per_try)


def conclusive(started: float, deadline: float, usual: float) -> bool:
    """Return whether an attempt that ran into the deadline had the time that other attempts have.

    An attempt that had less, because of its client's own limit or of earlier attempts, says nothing
    about the instance.

    Args:
        started: clock time at which the attempt started.
        deadline: of the request.
        usual: seconds that attempts are given; queueing and connecting may use up a tenth.
    """
    return deadline - started >= 0.9 * usual


def parse_millis(value: str) -> float | None:
    """Read a field of milliseconds as seconds; None unless it is a positive whole number."""
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 10):  # noqa: PLR2004 - 11 days
        return None
    return int(value) / 1000 or None


def parse_retry_after(value: str, wall: float) -> float | None:
    """Return the seconds that a `Retry-After` asks for: a number or a date (RFC 9110, 10.2.3).

    Args:
        value: of the field.
        wall: Unix time now.

    Returns:
        0 for a date that has passed, None for text that is neither number nor date.
    """
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - wall)
    except (ValueError, OverflowError):
        return None
