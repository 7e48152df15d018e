"""An instance's share of the traffic, and the moment when traffic left it, from packet counters."""

from collections.abc import Mapping, Sequence

LEFT_SHARE = 0.1
"""Share of an instance's earlier traffic; below it, traffic has left the instance."""
WINDOW_SECONDS = 1.0
SETTLED_SHARE = 0.5
"""Part of an even share of the traffic; above it, an instance has traffic to lose."""

Readings = Sequence[tuple[float, Mapping[str, int]]]
"""Readings: moments, and the packets that each host had got by then."""


def settled(readings: Readings, hosts: Sequence[str], *, since: float) -> bool:
    """Return whether each of the hosts has got half of an even share, or more, since a moment."""
    seen = [counts for when, counts in readings if when >= since]
    if len(seen) < 2:
        return False
    gained = {host: count - seen[0].get(host, 0) for host, count in seen[-1].items()}
    even = sum(gained.values()) / len(gained)
    return even > 0 and all(gained.get(host, 0) >= SETTLED_SHARE * even for host in hosts)


def left_after(
    readings: Readings, bad: Sequence[str], *, since: float, begun: float, ended: float
) -> float | None:
    """Return the seconds from `begun` until the packets to the bad hosts had nearly ceased.

    The packets have nearly ceased when, for a whole second, they come at less than a tenth of the
    rate that they had from `since` to `begun`.

    Returns:
        None if that did not happen before `ended`; -1 if no host is bad, or a bad host had too
        little traffic to lose.
    """
    before = [(when, counts) for when, counts in readings if when < begun]
    if not bad or not settled(before, bad, since=since):
        return -1.0
    totals = [(when, sum(counts.get(host, 0) for host in bad)) for when, counts in readings]
    first, last = (next(one for one in totals if one[0] >= since), totals[len(before) - 1])
    usual = (last[1] - first[1]) / (last[0] - first[0])
    during = [(when, count) for when, count in totals if begun <= when <= ended]
    for when, count in during:
        later = next((point for point in during if point[0] >= when + WINDOW_SECONDS), None)
        if later is None:
            return None
        if (later[1] - count) / (later[0] - when) < LEFT_SHARE * usual:
            return when - begun
    return None
