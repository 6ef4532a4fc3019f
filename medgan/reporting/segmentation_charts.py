"""Charts of a segmentation study: calibration, the small-data curve, free-response curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.evaluation.calibration import Reliability
from medgan.reporting.charts import COLORS
from medgan.reporting.png import png_bytes


def reliability_chart(curves: Mapping[str, Reliability], *, focus: str, title: str = "") -> bytes:
    """Return a PNG of confidence against frequency, one chart a curve, with the number of voxels below.

    Raises
    ------
    ReportError
        If there is no curve.
    """
    if not curves:
        raise ReportError("A reliability chart needs at least one curve: found none.")
    figure, charts = _figure(len(curves), title, height=3.2)
    for axes, (name, curve) in zip(charts, curves.items()):
        known = [
            (p, t, n)
            for p, t, n in zip(curve.confidence, curve.frequency, curve.counts)
            if p is not None and t is not None
        ]
        confidence, frequency, counts = (np.array(column, dtype=float) for column in zip(*known))
        axes.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, linestyle="dashed")
        axes.plot(confidence, frequency, "o-", color=COLORS[0], markersize=4, linewidth=1.2)
        below = axes.twinx()
        below.bar(confidence, counts, width=0.8 / len(curve.counts), color=COLORS[5], alpha=0.35)
        below.set_yscale("log")
        below.tick_params(labelsize=6)
        below.set_ylabel("voxels", fontsize=7)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.set_title(f"{name}: ECE {curve.ece:.4f}", fontsize=9, loc="left")
        axes.set_xlabel(f"predicted probability of {focus}", fontsize=8)
        axes.set_ylabel(f"share that is {focus}", fontsize=8)
    return png_bytes(figure)


def small_data_curve(
    points: Mapping[str, Sequence[tuple[int, Sequence[float]]]], *, label: str, title: str = ""
) -> bytes:
    """Return a PNG of a measure against the number of training subjects: one line an arm, one dot a seed.

    Parameters
    ----------
    points : mapping of arm to (training subjects, value of every seed)
    label : str
    title : str

    Raises
    ------
    ReportError
        If there is no point.
    """
    if not any(points.values()):
        raise ReportError("A small-data curve needs at least one point: found none.")
    figure, (axes,) = _figure(1, title, height=3.6, width=6.0)
    for number, (arm, values) in enumerate(points.items()):
        if not values:
            continue
        sizes = np.array([size for size, _ in values], dtype=float)
        # Arms are set apart a little, so that their dots do not hide each other.
        moved = sizes * 1.03 ** (number - (len(points) - 1) / 2)
        color = COLORS[number % len(COLORS)]
        axes.plot(moved, [float(np.mean(seeds)) for _, seeds in values], "-", color=color, linewidth=1.4, label=arm)
        for x, (_, seeds) in zip(moved, values):
            axes.plot([x] * len(seeds), list(seeds), "o", color=color, markersize=4, alpha=0.7, markeredgewidth=0)
    ticks = sorted({size for values in points.values() for size, _ in values})
    axes.set_xscale("log")
    axes.set_xticks(ticks, labels=[str(size) for size in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("training subjects", fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    return png_bytes(figure)


def froc_chart(
    curves: Mapping[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]], *, title: str = ""
) -> bytes:
    """Return a PNG of sensitivity by lesion against false positives a subject.

    Raises
    ------
    ReportError
        If there is no curve.
    """
    if not curves:
        raise ReportError("A free-response chart needs at least one curve: found none.")
    figure, (axes,) = _figure(1, title, height=3.4, width=6.0)
    for number, (name, (false, true)) in enumerate(curves.items()):
        axes.step(false, true, where="post", color=COLORS[number % len(COLORS)], linewidth=1.4, label=name)
    axes.set(ylim=(0, 1))
    axes.set_xlabel("false positives a subject", fontsize=8)
    axes.set_ylabel("share of lesions hit", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    return png_bytes(figure)


def shape_chart(shapes: Mapping[str, Sequence[tuple[float, float]]], *, title: str = "") -> bytes:
    """Return a PNG of lesion volumes and sphericities, one dot a lesion.

    Parameters
    ----------
    shapes : mapping of cohort to (volume in ml, sphericity)
    title : str

    Raises
    ------
    ReportError
        If there is no lesion.
    """
    if not any(shapes.values()):
        raise ReportError("A chart of shapes needs at least one lesion: found none.")
    figure, (axes,) = _figure(1, title, height=3.4, width=6.0)
    for number, (name, values) in enumerate(shapes.items()):
        volume, sphericity = np.array(values, dtype=float).T
        color = COLORS[number % len(COLORS)]
        axes.plot(volume, sphericity, "o", color=color, markersize=4, alpha=0.6, markeredgewidth=0, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("volume, ml", fontsize=8)
    axes.set_ylabel("sphericity", fontsize=8)
    axes.legend(fontsize=7, frameon=False)
    return png_bytes(figure)


def _figure(count: int, title: str, *, height: float, width: float = 3.8) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    size = (width * count, height + (0.3 if title else 0))
    figure = Figure(figsize=size, facecolor="white", layout="constrained")
    if title:
        figure.suptitle(title, fontsize=10, weight="bold", x=0.01, ha="left")
    charts = [figure.add_subplot(1, count, number + 1) for number in range(count)]
    for axes in charts:
        axes.tick_params(labelsize=7.5)
        axes.grid(color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
    return figure, charts
