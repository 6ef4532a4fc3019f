"""Charts of explanations as SVG inside the page: crisp in print, readable in the dark, told apart without color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from medgan.errors import ReportError
from medgan.explanation.explanation import Calibration, Rate
from medgan.reporting.charts import COLORS

DASHES = ("", "7 3", "2 3", "9 3 2 3", "1 2", "12 4")
"""Beside the colors, so that lines differ in print too."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 38
_LINE_PX = 15


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Parameters
    ----------
    name : str
    x, y : sequences of float
    band : (low, high), optional
        Interval of ``y`` at every ``x``.
    strong : bool
        Drawn thick; the others are thin.
    mark : (x, y), optional
        A point to be ringed.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None
    strong: bool = True
    mark: tuple[float, float] | None = None


def line_chart(
    lines: Sequence[Line],
    *,
    x_label: str,
    y_label: str,
    alternative: str,
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    size: tuple[int, int] = (420, 230),
) -> str:
    """Return an SVG with lines, their bands and a legend.

    Parameters
    ----------
    lines : sequence of Line
    x_label, y_label : str
        Quantity and unit.
    alternative : str
        What the chart shows, for those who cannot see it.
    x_range, y_range : (low, high)
        Not widened: what lies outside is cut off at the frame.
    size : (width, height) in px
        Without the legend.

    Raises
    ------
    ReportError
        If there is no line, or a range does not rise.
    """
    if not lines:
        raise ReportError("A chart needs at least one line: found none.")
    frame = _Frame(x_range, y_range, size)
    parts = [frame.axes(x_label, y_label)]
    for number, line in enumerate(lines):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        if line.band is not None:
            low, high = line.band
            outline = [*zip(line.x, high), *zip(reversed(list(line.x)), reversed(list(low)))]
            parts.append(f'<polygon points="{frame.points(outline)}" fill="{color}" opacity="0.18"/>')
        width = 2.2 if line.strong else 1.1
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        points = frame.points(zip(line.x, line.y))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="{width}"{dashes}/>')
        if line.mark is not None:
            x, y = frame.at(*line.mark)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="none" stroke="{color}" stroke-width="2"/>')
    legend, rows = _legend([line.name for line in lines], size)
    return _svg([*parts, *legend], (size[0], size[1] + rows * _LINE_PX), alternative)


def reliability_chart(calibrations: Sequence[Calibration], *, alternative: str) -> str:
    """Return an SVG of the observed share over the predicted probability, with Wilson intervals.

    Raises
    ------
    ReportError
        If no bin holds a case.
    """
    if not any(one.confidence is not None for c in calibrations for one in c.bins):
        raise ReportError("A reliability chart needs a bin with cases: found none.")
    size = (320, 260)
    frame = _Frame((0.0, 1.0), (0.0, 1.0), size)
    diagonal = frame.points([(0, 0), (1, 1)])
    parts = [
        frame.axes("predicted probability", "observed share"),
        f'<polyline points="{diagonal}" fill="none" stroke="currentColor" stroke-width="0.8" stroke-dasharray="3 3"/>',
    ]
    for number, calibration in enumerate(calibrations):
        color = COLORS[number % len(COLORS)]
        for one in calibration.bins:
            value, low, high = one.observed.value, one.observed.low, one.observed.high
            if one.confidence is None or value is None or low is None or high is None:
                continue
            # Set apart a little, so that intervals do not lie on each other.
            shift = 4 * number - 2
            x, y = frame.at(one.confidence, value)
            _, y_low = frame.at(one.confidence, low)
            _, y_high = frame.at(one.confidence, high)
            parts.append(
                f'<path d="M{x + shift:.1f} {y_low:.1f}V{y_high:.1f}" stroke="{color}" stroke-width="1.4"/>'
                + _symbol(number, x + shift, y, color)
            )
    legend, rows = _legend([c.images for c in calibrations], size)
    return _svg([*parts, *legend], (size[0], size[1] + rows * _LINE_PX), alternative)


def rate_chart(rows: Sequence[tuple[str, Rate]], *, x_label: str, alternative: str) -> str:
    """Return an SVG with one share a line and its Wilson interval.

    Raises
    ------
    ReportError
        If there is no row.
    """
    if not rows:
        raise ReportError("A chart of shares needs at least one row: found none.")
    left, width, step = 330, 660, 22
    height = step * len(rows) + 8
    parts = []
    span = width - left - 20
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + tick * span
        parts.append(f'<path d="M{x:.1f} 4V{height}" stroke="currentColor" stroke-width="0.5" opacity="0.3"/>')
        parts.append(_text(x, height + 14, f"{tick:.0%}", anchor="middle"))
    parts.append(_text(left + span / 2, height + 30, x_label, anchor="middle"))
    for number, (name, rate) in enumerate(rows):
        y = 4 + step * (number + 0.5)
        parts.append(_text(left - 8, y + 4, name, anchor="end"))
        if rate.value is None or rate.low is None or rate.high is None:
            parts.append(_text(left + 4, y + 4, "no cases", anchor="start"))
            continue
        low, middle, high = (left + v * span for v in (rate.low, rate.value, rate.high))
        parts.append(f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="{COLORS[0]}" stroke-width="2"/>')
        parts.append(f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="4" fill="{COLORS[0]}"/>')
    return _svg(parts, (width, height + 36), alternative)


class _Frame:
    """Where values lie in a chart."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], size: tuple[int, int]) -> None:
        if not (x[0] < x[1] and y[0] < y[1]):
            raise ReportError(f"The ranges of a chart must rise: found {x} and {y}.")
        self._x, self._y, self._size = x, y, size

    def at(self, x: float, y: float) -> tuple[float, float]:
        width, height = self._size
        across = min(max((x - self._x[0]) / (self._x[1] - self._x[0]), 0.0), 1.0)
        up = min(max((y - self._y[0]) / (self._y[1] - self._y[0]), 0.0), 1.0)
        return _LEFT + across * (width - _LEFT - _RIGHT), height - _BOTTOM - up * (height - _TOP - _BOTTOM)

    def points(self, values: object) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(float(a), float(b)) for a, b in values))  # type: ignore[attr-defined]

    def axes(self, x_label: str, y_label: str) -> str:
        width, height = self._size
        parts = []
        for tick in _ticks(*self._x):
            x, y = self.at(float(tick), self._y[0])
            parts.append(f'<path d="M{x:.1f} {_TOP}V{y:.1f}" stroke="currentColor" stroke-width="0.5" opacity="0.2"/>')
            parts.append(_text(x, y + 13, _number(float(tick)), anchor="middle"))
        for tick in _ticks(*self._y):
            x, y = self.at(self._x[0], float(tick))
            right = width - _RIGHT
            parts.append(f'<path d="M{x:.1f} {y:.1f}H{right}" stroke="currentColor" stroke-width="0.5" opacity="0.2"/>')
            parts.append(_text(x - 5, y + 4, _number(float(tick)), anchor="end"))
        parts.append(_text(_LEFT + (width - _LEFT - _RIGHT) / 2, height - 8, x_label, anchor="middle"))
        middle = _TOP + (height - _TOP - _BOTTOM) / 2
        turned = f'transform="rotate(-90 12 {middle:.0f})"'
        parts.append(_text(12, middle, y_label, anchor="middle", extra=turned))
        return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Return quarters where the range consists of few, five places otherwise."""
    quarters = (high - low) * 4
    is_whole = abs(quarters - round(quarters)) < 1e-9 and abs(low * 4 - round(low * 4)) < 1e-9
    count = round(quarters) + 1 if is_whole and 2 <= round(quarters) <= 8 else 5
    return [float(tick) for tick in np.linspace(low, high, count)]


def _legend(names: Sequence[str], size: tuple[int, int]) -> tuple[list[str], int]:
    columns = 2 if size[0] >= 500 else 1
    parts = []
    for number, name in enumerate(names):
        color, dash = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
        x = _LEFT + (number % columns) * (size[0] - _LEFT) / columns
        y = size[1] + (number // columns) * _LINE_PX + 4
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<path d="M{x:.0f} {y}h24" stroke="{color}" stroke-width="2.2"{dashes}/>')
        parts.append(_text(x + 30, y + 4, name, anchor="start"))
    return parts, -(-len(names) // columns)


def _symbol(number: int, x: float, y: float, color: str) -> str:
    if number % 2:
        return f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="{color}"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>'


def _text(x: float, y: float, words: str, *, anchor: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'


def _number(value: float) -> str:
    return f"{round(value, 4) + 0.0:g}".replace("-", "\N{MINUS SIGN}")


def _svg(parts: Sequence[str], size: tuple[float, float], alternative: str) -> str:
    if not alternative.strip():
        raise ReportError("A chart needs a text that says what it shows.")
    width, height = size
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="{escape(alternative, quote=True)}" font-size="11" fill="currentColor">{"".join(parts)}</svg>'
    )
