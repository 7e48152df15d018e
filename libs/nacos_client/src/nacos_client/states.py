"""Names for the states of a client's parts. Pure."""

import itertools
from typing import Any


def named(*parts: tuple[str, str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Find a name for each state: the given one, else with what tells it apart, else a number."""
    states: dict[str, dict[str, Any]] = {}
    for name, apart, state in parts:
        numbered = (f"{name} {apart} {number}" for number in itertools.count(2))
        names = itertools.chain((name, f"{name} {apart}"), numbered)
        states[next(free for free in names if free not in states)] = state
    return states
