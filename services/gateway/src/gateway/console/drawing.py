"""Charts as SVG, drawn here: no script, no style of their own, no text that anybody chose."""

from collections.abc import Sequence

from gateway.console.history import PERIODS, Period
from gateway.console.markup import Markup, element

WIDTH = 180
HEIGHT = 36
LEAST_RATE = 1.0
"""Requests per second that fill a chart at least, so that one request is no mountain."""
LEAST_SECONDS = 0.010
"""Seconds that fill a chart at least."""


def rate_chart(periods: Sequence[Period]) -> Markup:
    """Draw requests per second, and errors below them."""
    most = max([LEAST_RATE, *(one.rate for one in periods)])
    return _chart(
        element("path", class_="area", d=_area([one.rate for one in periods], most)),
        element("path", class_="errors", d=_area([one.errors for one in periods], most)),
    )


def latency_chart(periods: Sequence[Period]) -> Markup:
    """Draw the median and the 99th percentile; a period without a request has neither."""
    most = max([LEAST_SECONDS, *(one.p99 for one in periods if one.p99 is not None)])
    return _chart(
        element("path", class_="p99", d=_line([one.p99 for one in periods], most)),
        element("path", class_="p50", d=_line([one.p50 for one in periods], most)),
    )


def course_chart(values: Sequence[float | None], least: float, places: int) -> Markup:
    """Draw a figure of up to so many readings; `least` fills the chart at least."""
    most = max([least, *(one for one in values if one is not None)])
    return _chart(element("path", class_="p50", d=_line(values, most, places)))


def _chart(*paths: Markup) -> Markup:
    return element(
        "svg",
        paths,
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _x(place: int, count: int, places: int = PERIODS) -> str:
    return f"{WIDTH - (count - 1 - place) * WIDTH / (places - 1):.0f}"


def _y(value: float, most: float) -> str:
    return f"{HEIGHT - 1 - value / most * (HEIGHT - 2):.1f}"


def _area(values: Sequence[float], most: float) -> str:
    """Return the path of an area below values, "" where they are all nothing."""
    if not any(values):
        return ""
    count = len(values)
    points = " ".join(f"L{_x(place, count)} {_y(one, most)}" for place, one in enumerate(values))
    return f"M{_x(0, count)} {HEIGHT} {points} L{WIDTH} {HEIGHT}Z"


def _line(values: Sequence[float | None], most: float, places: int = PERIODS) -> str:
    """Return the path of a line that has a gap where there is no value."""
    steps, is_drawing = [], False
    for place, one in enumerate(values):
        if one is not None:
            where = f"{_x(place, len(values), places)} {_y(one, most)}"
            steps.append(f"L{where}" if is_drawing else f"M{where}h-2")
        is_drawing = one is not None
    return " ".join(steps)
