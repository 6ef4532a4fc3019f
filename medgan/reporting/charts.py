"""Curves of a training and errors of a cohort."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.errors import ReportError
from medgan.reporting.png import png_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555")
"""Okabe and Ito's colors, which the color-blind can tell apart."""


def training_curves(
    rows: Sequence[Mapping[str, Any]], *, groups: Mapping[str, Sequence[str]], x: str = "step", title: str = ""
) -> bytes:
    """Return a PNG of losses and measures over a training.

    Parameters
    ----------
    rows : sequence of mappings
        As in ``metrics.jsonl``: one row a logged step. A row may lack a key; a value that is not finite is left out.
    groups : mapping of subtitle to names
        One small chart each, with one curve a name.
    x : str
        Key of the horizontal axis.
    title : str

    Raises
    ------
    ReportError
        If there is no group, or a name occurs in no row.

    Notes
    -----
    Raw values are thin; the line is their running median over a tenth of the points, so that a spike stays visible and
    does not bend the line.
    """
    if not groups:
        raise ReportError("Training curves need at least one group of names: found none.")
    figure, charts = _figure_of(len(groups), title)
    for axes, (subtitle, names) in zip(charts, groups.items()):
        for name, color in zip(names, _colors(names)):
            points = [(row[x], row[name]) for row in rows if x in row and _is_number(row.get(name))]
            if not points:
                raise ReportError(f"No row of the metrics has a finite {name!r} with a {x!r}.")
            steps, values = np.asarray(points, dtype=np.float64).T
            window = max(1, len(values) // 10)
            if window > 1:
                axes.plot(steps, values, color=color, linewidth=0.6, alpha=0.3)
            marker = "o" if len(values) == 1 else None
            axes.plot(
                steps,
                _running_median(values, window),
                color=color,
                linewidth=1.4,
                label=name,
                marker=marker,
                markersize=3,
            )
        axes.set_title(subtitle, fontsize=9, loc="left")
        axes.set_xlabel(x, fontsize=8)
        axes.legend(fontsize=7, frameon=False)
    return png_bytes(figure)


def error_strip(
    values: Mapping[str, Sequence[float | None]],
    *,
    label: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    title: str = "",
) -> bytes:
    """Return a PNG with one line a method and one dot a case.

    Parameters
    ----------
    values : mapping of method to values
        None where a case has no value. Methods are drawn from top to bottom.
    label : str
        Measure and unit, for the axis.
    intervals : mapping of method to (low, high), optional
        Interval of the mean, drawn as a bar.
    title : str

    Raises
    ------
    ReportError
        If there is no method, or one without any value.
    """
    if not values:
        raise ReportError("An error strip needs at least one method: found none.")
    figure, (axes,) = _figure_of(1, title, wide=True, height=0.9 + 0.36 * len(values))
    for line, (method, color) in enumerate(zip(values, _colors(values))):
        found = np.array([v for v in values[method] if _is_number(v)], dtype=np.float64)
        if found.size == 0:
            raise ReportError(f"Method {method!r} has no value to draw.")
        # Neighbors in value are set apart by a fixed pattern, not at random, so that a figure repeats bit for bit.
        apart = np.empty(found.size)
        apart[np.argsort(found, kind="stable")] = (np.arange(found.size) % 5 - 2) * 0.07
        axes.plot(found, line + apart, "o", color=color, markersize=4, alpha=0.65, markeredgewidth=0)
        if intervals and method in intervals:
            axes.plot(intervals[method], (line, line), color="k", linewidth=1.2, solid_capstyle="butt")
        axes.plot(found.mean(), line, "|", color="k", markersize=13, markeredgewidth=1.6)
    axes.set_yticks(range(len(values)), labels=[f"{m} (n = {sum(map(_is_number, values[m]))})" for m in values])
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.set_xlabel(label, fontsize=8)
    axes.grid(axis="y", visible=False)
    return png_bytes(figure)


def score_scatter(
    groups: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    marked: Mapping[str, int] | None = None,
    title: str = "",
) -> bytes:
    """Return a PNG with one dot a pair of values and one color a group, such as checkpoints by score and error.

    Parameters
    ----------
    groups : mapping of name to (x, y) pairs
        In the order of a training: a thin line joins them.
    x_label, y_label : str
        Quantity and unit.
    marked : mapping of name to position, optional
        The pair of a group that gets a ring, such as the chosen checkpoint.
    title : str

    Raises
    ------
    ReportError
        If there is no pair.
    """
    if not any(groups.values()):
        raise ReportError("A scatter chart needs at least one pair of values: found none.")
    figure, (axes,) = _figure_of(1, title, wide=True, height=3.4)
    for (name, pairs), color in zip(groups.items(), _colors(groups)):
        x, y = np.asarray(pairs, dtype=np.float64).reshape(-1, 2).T
        axes.plot(x, y, "-", color=color, linewidth=0.5, alpha=0.4)
        axes.plot(x, y, "o", color=color, markersize=4.5, markeredgewidth=0, label=name)
        if marked and name in marked:
            place = marked[name]
            axes.plot(x[place], y[place], "o", color=color, markersize=11, fillstyle="none", markeredgewidth=1.6)
    axes.set_xlabel(x_label, fontsize=8)
    axes.set_ylabel(y_label, fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="best")
    return png_bytes(figure)


def _figure_of(count: int, title: str, *, wide: bool = False, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = 1 if wide else min(count, 3)
    lines = math.ceil(count / columns)
    size = (8.0 if wide else 3.0 * columns + 0.4, height * lines + (0.35 if title else 0))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, weight="bold", x=0.01, ha="left")
    charts = [figure.add_subplot(lines, columns, i + 1) for i in range(count)]
    for axes in charts:
        axes.tick_params(labelsize=7.5)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, charts


def _colors(names: Any) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(len(names))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _running_median(values: np.ndarray, window: int) -> np.ndarray:
    half = window // 2
    return np.array([np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])
