"""Waiting for a condition with a deadline."""

import time
from collections.abc import Callable

INTERVAL = 0.1
"""Seconds between two looks."""


def wait_until(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Return as soon as `holds()` is true.

    Raises:
        TimeoutError: it was still false after `seconds`; the message says `what` was awaited.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(INTERVAL)  # noqa: TID251 - the pause between two looks; no event loop here
