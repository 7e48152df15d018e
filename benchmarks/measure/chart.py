"""Charts as plain SVG: bars by peer, a grid of cases by peer, lines over time or counts."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape

OURS, PEER = "#1a6faf", "#9aa5b1"
COLOURS = (OURS, PEER, "#c4572b", "#3d8b4f")
GOOD, BAD, ABSENT = "#d7f0dc", "#f6b8b0", "#f2f2f2"
LABEL, BAR, CELL, ROW, TALL = 230, 480, 130, 26, 200  # widths and heights, in pixels
PANEL, SHORT_BAR, DOUBLE_ROW = 300, 170, 40  # of panels, in pixels


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A bar of a panel: its name, its length in the panel's unit, and the figure as a text."""

    label: str
    length: float
    told: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A small chart of bars, one of several side by side.

    `full` is the length that fills the panel, where longer bars end too; by default the longest.
    """

    title: str
    what: str
    rows: Sequence[PanelRow]
    full: float | None = None


def _text(x: float, y: float, content: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(content)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    )
    background = _box(0, 0, width, height, "white")
    heading = [_text(12, 24, title, 'font-size="15" font-weight="bold"')] if title else []
    return "\n".join((opening, background, *heading, *parts, "</svg>\n"))


def bars(
    title: str,
    unit: str,
    rows: Sequence[tuple[str, float]],
    *,
    ours: str,
    logarithmic: bool = False,
) -> str:
    """Draw a horizontal bar for each row; rows whose label begins with `ours` are coloured."""
    largest = max(value for _, value in rows)
    low = min(value for _, value in rows) / 2

    def length(value: float) -> float:
        if logarithmic:
            return BAR * math.log(value / low) / math.log(largest / low)
        return BAR * value / largest

    parts = []
    for number, (label, value) in enumerate(rows):
        top, width = 40 + number * ROW, length(value)
        colour = OURS if label.startswith(ours) else PEER
        parts.append(_text(LABEL - 8, top + 17, label, 'text-anchor="end"'))
        parts.append(_box(LABEL, top + 3, width, ROW - 6, colour))
        parts.append(_text(LABEL + width + 6, top + 17, f"{value:,.4g}"))
    height = 68 + len(rows) * ROW
    scale = f"{unit}, logarithmic scale" if logarithmic else unit
    parts.append(_text(LABEL, height - 10, scale, 'fill="#555"'))
    return _svg(LABEL + BAR + 80, height, title, parts)


def panels(charts: Sequence[Panel], *, ours: Collection[str]) -> str:
    """Draw small charts side by side; the bars of those named in `ours` are coloured."""
    parts = []
    for number, chart in enumerate(charts):
        left = 14 + number * PANEL
        parts.append(_text(left, 26, chart.title, 'font-size="15" font-weight="bold"'))
        parts.append(_text(left, 44, chart.what, 'fill="#555"'))
        full = chart.full or max(row.length for row in chart.rows)
        for line, row in enumerate(chart.rows):
            top, width = 56 + line * DOUBLE_ROW, SHORT_BAR * min(1.0, row.length / full)
            weight, colour = ('font-weight="bold"', OURS) if row.label in ours else ("", PEER)
            parts.append(_text(left, top + 14, row.label, weight))
            parts.append(_box(left, top + 19, max(1.0, width), 12, colour))
            parts.append(_text(left + max(1.0, width) + 6, top + 29, row.told, weight))
    height = 66 + DOUBLE_ROW * max(len(chart.rows) for chart in charts)
    return _svg(14 + len(charts) * PANEL, height, "", parts)


def grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, bool] | None]]],
) -> str:
    """Draw a table of coloured cells.

    Args:
        title: of the chart.
        columns: headings.
        rows: label and cells of each row; a cell is a text and whether it is good, or None where a
            case does not apply.
    """
    centre = 'text-anchor="middle"'
    parts = [
        _text(LABEL + (number + 0.5) * CELL, 58, column, f'{centre} font-weight="bold"')
        for number, column in enumerate(columns)
    ]
    for line, (label, cells) in enumerate(rows):
        top = 68 + line * ROW
        parts.append(_text(LABEL - 8, top + 17, label, 'text-anchor="end"'))
        for number, cell in enumerate(cells):
            text, good = cell or ("", True)
            colour = ABSENT if cell is None else GOOD if good else BAD
            parts.append(_box(LABEL + number * CELL, top, CELL - 2, ROW - 2, colour))
            parts.append(_text(LABEL + (number + 0.5) * CELL, top + 17, text, centre))
    return _svg(LABEL + len(columns) * CELL + 12, 80 + len(rows) * ROW, title, parts)


def line(title: str, unit: str, points: Sequence[tuple[float, float]]) -> str:
    """Draw a figure over time, with an axis from zero; points are (seconds, value)."""
    longest, largest = points[-1][0], max(value for _, value in points)
    left, top = 60.0, 40.0

    def across(seconds: float) -> float:
        return left + BAR * seconds / longest

    def down(value: float) -> float:
        return top + TALL * (1 - value / largest)

    places = " ".join(f"{across(seconds):.1f},{down(value):.1f}" for seconds, value in points)
    parts = [f'<polyline points="{places}" fill="none" stroke="{OURS}" stroke-width="2"/>']
    for value in (0, largest / 2, largest):
        parts.append(_box(left, down(value), BAR, 1, PEER))
        parts.append(_text(left - 6, down(value) + 4, f"{value:.0f}", 'text-anchor="end"'))
    parts.append(_text(left, top + TALL + 20, f"{unit} over {longest:.0f} seconds", 'fill="#555"'))
    return _svg(round(left) + BAR + 20, round(top) + TALL + 34, title, parts)


def growth(title: str, unit: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw a figure against counts on a logarithmic axis, a line for each name; at most four.

    Args:
        title: of the chart.
        unit: of the figure; its axis begins at zero.
        curves: for each name the points (count, value), counts ascending and at least 1.
    """
    points = [point for curve in curves.values() for point in curve]
    most, largest = max(count for count, _ in points), max(value for _, value in points)
    left, top = 60.0, 40.0

    def across(count: float) -> float:
        return left + BAR * math.log(count) / math.log(most)

    def down(value: float) -> float:
        return top + TALL * (1 - value / largest)

    parts = []
    for value in (0, largest / 2, largest):
        parts.append(_box(left, down(value), BAR, 1, PEER))
        parts.append(_text(left - 6, down(value) + 4, f"{value:.0f}", 'text-anchor="end"'))
    for count in sorted({count for count, _ in points}):
        if count in (1, most) or across(count) < left + BAR - 24:  # texts would overlap
            middle = 'text-anchor="middle" font-size="11"'
            parts.append(_text(across(count), top + TALL + 16, f"{count:,.0f}", middle))
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number]
        places = " ".join(f"{across(count):.1f},{down(value):.1f}" for count, value in curve)
        parts.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        place = top + TALL + 40 + number * 18
        parts.append(_box(left, place - 9, 14, 10, colour))
        parts.append(_text(left + 20, place, f"{unit} by {name}"))
    height = round(top) + TALL + 44 + len(curves) * 18
    return _svg(round(left) + BAR + 30, height, title, parts)
