"""Waiting for a condition with a deadline."""

import time
from collections.abc import Callable, Mapping

INTERVAL = 0.2
"""Seconds between two evaluations of a condition."""


def wait_until(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Return as soon as `holds()` is true.

    Raises:
        TimeoutError: it was still false after `seconds`; the message says `what` was awaited.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(INTERVAL)  # noqa: TID251 - no event loop here


def wait_for_all(
    steps: Mapping[str, Callable[[], bool]],
    *,
    seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Return when every step's condition has held once; print each as it does.

    `meanwhile` is called before each round; it raises to end a wait that has become pointless.

    Raises:
        TimeoutError: some conditions did not hold within `seconds`; the message names them.
    """
    begun = time.monotonic()
    open_steps = dict(steps)

    def look() -> bool:
        meanwhile()
        for name in [name for name, holds in open_steps.items() if holds()]:
            del open_steps[name]
            print(f"  {time.monotonic() - begun:5.1f} s  {name}", flush=True)
        return not open_steps

    try:
        wait_until(look, seconds=seconds, what="everything is ready")
    except TimeoutError as error:
        raise TimeoutError(f"after {seconds:g} s still not so: {', '.join(open_steps)}") from error
