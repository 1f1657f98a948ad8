"""Charts in SVG, in colours that are read on white and on dark pages. No I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from .rows import BARE, Curves, Row
from .table import shown

__all__ = ["line_chart", "ratio_chart", "time_chart"]

_TEXT, _GRID, _LIMIT = "#768390", "#76839055", "#d1772b"
_COLOURS = ("#3b82d6", "#d1772b", "#3fa45b", "#a371d6")
_FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
_STEPS = [float(f"{digit}e{power}") for power in range(-15, 16) for digit in (1, 2, 5)]
_PLOT, _RIGHT, _TOP, _LINE = 330, 70, 46, 24
_CHARACTER = 6.4
"""Width of a character of a label, about."""


class _Picture:
    """The elements of one picture."""

    def __init__(self) -> None:
        self._elements: list[str] = []

    def line(
        self, x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1
    ) -> None:
        self._elements.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width:g}"/>'
        )

    def dot(self, x: float, y: float, colour: str) -> None:
        self._elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')

    def path(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._elements.append(
            f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str = "start",
        size: int = 12,
        weight: int = 400,
    ) -> None:
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}" fill="{_TEXT}">{escape(text)}</text>'
        )

    def svg(self, width: int, height: int, title: str) -> str:
        body = "\n".join(self._elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="{escape(_FONT)}" role="img">\n'
            f"<title>{escape(title)}</title>\n{body}\n</svg>\n"
        )


def ratio_chart(rows: Sequence[Row], title: str) -> str:
    """Ours in times of the other, on a logarithmic axis: median, least and most of the rounds.

    Rows without another client are left out. A short upright line is the row's limit.

    Raises:
        ValueError: no row has a ratio.
    """
    found = [(row, ratio) for row in rows if (ratio := row.ratio()) is not None]
    if not found:
        raise ValueError("no row has a ratio")
    ends = [end for _, ratio in found for end in (ratio.least, ratio.most)]
    ends += [row.limit.most for row, _ in found if row.limit is not None and row.limit.of]
    low, high = _decades(min(*ends, 1.0), max(*ends, 1.0))

    names = [f"{row.name} ({_other(row)})" for row, _ in found]
    left = 40 + round(_CHARACTER * max(map(len, names)))

    def place(value: float) -> float:
        share = (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return left + share * _PLOT

    picture = _Picture()
    bottom = _TOP + _LINE * len(found)
    picture.text(12, 22, title, size=15, weight=600)
    for tick in _ticks(low, high):
        picture.line(place(tick), _TOP - 6, place(tick), bottom, _GRID)
        picture.text(place(tick), bottom + 16, f"{tick:g}", "middle")
    picture.line(place(1), _TOP - 6, place(1), bottom, _TEXT, 1.5)
    caption = "ours / other, less is better; upright: the limit"
    picture.text(left + _PLOT / 2, bottom + 36, caption, "middle")
    for number, ((row, ratio), name) in enumerate(zip(found, names, strict=True)):
        y = _TOP + _LINE * (number + 0.5)
        picture.text(left - 14, y + 4, name, "end")
        picture.line(place(ratio.least), y, place(ratio.most), y, _COLOURS[0], 2)
        picture.dot(place(ratio.median), y, _COLOURS[0])
        picture.text(left + _PLOT + 10, y + 4, f"{ratio.median:.2f}")
        if row.limit is not None and row.limit.of == row.reference:
            limit = place(row.limit.most)
            picture.line(limit, y - 8, limit, y + 8, _LIMIT, 2)
    return picture.svg(left + _PLOT + _RIGHT, bottom + 48, title)


def _other(row: Row) -> str:
    if row.reference == BARE:
        return row.bare or BARE
    return f"official {row.reference}"


def _decades(low: float, high: float) -> tuple[float, float]:
    """Ends of a logarithmic axis that are 1, 2 or 5 times a power of ten, and differ."""
    below = max((step for step in _STEPS if step < low), default=_STEPS[0])
    above = min((step for step in _STEPS if step > high), default=_STEPS[-1])
    return below, above


def _ticks(low: float, high: float) -> list[float]:
    inside = [step for step in _STEPS if low * 0.999 <= step <= high * 1.001]
    return inside if len(inside) <= 8 else [step for step in inside if f"{step:e}"[0] == "1"]


def line_chart(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    *,
    x_label: str,
    unit: str,
) -> str:
    """Figures over a count, on axes that begin at 0: what grows linearly is a straight line.

    Args:
        lines: points of each line, by its name.
        title: above the chart.
        x_label: below the horizontal axis.
        unit: of the figures, as for `shown`.

    Raises:
        ValueError: there are no points.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        raise ValueError("no points")
    left, width, height = 90, 420, 220
    right_end = max(x for x, _ in points) or 1.0
    top_end = max(y for _, y in points) * 1.05 or 1.0
    bottom = _TOP + height

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + point[0] / right_end * width, bottom - point[1] / top_end * height

    picture = _Picture()
    picture.text(12, 22, title, size=15, weight=600)
    for step in range(5):
        value = top_end * step / 4
        y = place((0, value))[1]
        picture.line(left, y, left + width, y, _GRID)
        picture.text(left - 8, y + 4, shown(value, unit) if value else "0", "end")
    for x in sorted({x for x, _ in points}):
        picture.text(place((x, 0))[0], bottom + 18, f"{x:g}", "middle")
    picture.text(left + width / 2, bottom + 38, x_label, "middle")
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(point) for point in sorted(line)]
        picture.path(placed, colour)
        for x, y in placed:
            picture.dot(x, y, colour)
        y = _TOP + 12 + number * 20
        picture.line(left + 14, y, left + 34, y, colour, 3)
        picture.text(left + 42, y + 4, name)
    return picture.svg(left + width + 40, bottom + 50, title)


def time_chart(curves: Curves) -> str:
    """Figures over seconds, on a logarithmic axis; what is less than its lower end lies on it.

    Raises:
        ValueError: there is no figure above 0.
    """
    values = [value for line in curves.lines.values() for value in line if value > 0]
    if not values:
        raise ValueError("no figures")
    low, high = _decades(max(min(values), max(values) / 1e4), max(values))
    seconds = max(max(map(len, curves.lines.values())) - 1, 1)
    left, width, height = 70, 560, 260
    top = _TOP + 20 * len(curves.lines)
    bottom = top + height

    def place(second: float, value: float) -> tuple[float, float]:
        share = math.log10(max(value, low) / low) / math.log10(high / low)
        return left + second / seconds * width, bottom - share * height

    picture = _Picture()
    picture.text(12, 22, curves.title, size=15, weight=600)
    for tick in _ticks(low, high):
        y = place(0, tick)[1]
        picture.line(left, y, left + width, y, _GRID)
        picture.text(left - 8, y + 4, f"{tick:,g}", "end")
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if seconds / step <= 12)
    for second in range(0, seconds + 1, step):
        picture.text(place(second, low)[0], bottom + 18, f"{second}", "middle")
    picture.text(left + width / 2, bottom + 38, curves.x_label, "middle")
    colours = iter(_COLOURS * len(curves.lines))
    for number, (name, line) in enumerate(curves.lines.items()):
        colour = _TEXT if name == curves.background else next(colours)
        picture.path([place(second, value) for second, value in enumerate(line)], colour)
        y = _TOP + number * 20
        picture.line(left, y, left + 20, y, colour, 3)
        picture.text(left + 28, y + 4, name)
    picture.text(left + width, _TOP + 4, curves.y_label, "end")
    return picture.svg(left + width + 30, bottom + 50, curves.title)
