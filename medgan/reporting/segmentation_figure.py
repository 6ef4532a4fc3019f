"""Contours of a segmentation on the images it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.geometry import axis_map_to
from medgan.reporting.charts import COLORS
from medgan.reporting.panel import Panel
from medgan.reporting.png import png_bytes
from medgan.reporting.sheet import AMBER, INK, PAPER
from medgan.volume import LabelMap

COLUMN_INCH, ROW_INCH, HEAD_INCH, FOOT_INCH = 3.0, 3.0, 0.55, 0.5
EXPERT_COLOR = "#ffffff"


def contour_sheet(
    panels: Sequence[Panel],
    *,
    labels: LabelMap,
    slices: Sequence[int],
    expert: LabelMap | None = None,
    field_mm: float | None = None,
    title: str = "",
    stamp: str = "",
    focus: str = "lesion",
) -> bytes:
    """Return a PNG with one row a slice and one column an image, all with the same contours.

    Parameters
    ----------
    panels : sequence of Panel
        Images on the grid of the labels.
    labels : LabelMap
        One color a label.
    slices : sequence of int
        Along the axis from foot to head of the labels in RAS order.
    expert : LabelMap, optional
        On the same grid; its outline is white and dashed.
    field_mm : float, optional
        Side of the square about the middle that is shown; default: all.
    title : str
    stamp : str
        A few words that are printed on every image, such as that the model is trained on phantoms.
    focus : str
        What the expert outlined, for the legend.

    Raises
    ------
    ReportError
        If there is no panel or slice, or a slice that does not exist.
    GeometryError
        If an image is not on the labels' grid.

    Notes
    -----
    Radiological display: the patient's right is at the image's left.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    if not panels or not slices:
        raise ReportError("A sheet of contours needs at least one image and one slice: found none.")
    to_ras = axis_map_to(labels.grid, "RAS")
    for panel in panels:
        panel.volume.grid.require_same_as(labels.grid, this=panel.title, that="labels", what="A sheet of contours")
    turned, shown = labels.reordered(to_ras), [panel.volume.reordered(to_ras) for panel in panels]
    truth = None if expert is None else expert.reordered(to_ras)
    if min(slices) < 0 or max(slices) >= turned.shape[2]:
        raise ReportError(f"Slices must be 0 to {turned.shape[2] - 1}: found {list(slices)}.")
    size = (COLUMN_INCH * len(panels), ROW_INCH * len(slices) + HEAD_INCH + FOOT_INCH)
    figure = Figure(figsize=size, facecolor=PAPER)
    sx, sy, _ = turned.grid.spacing
    box = _box(turned.shape, (sx, sy), field_mm)
    for row, k in enumerate(slices):
        for column, (panel, volume) in enumerate(zip(panels, shown)):
            bottom = (FOOT_INCH + (len(slices) - 1 - row) * ROW_INCH) / size[1]
            axes = figure.add_axes((column / len(panels), bottom, 1 / len(panels), ROW_INCH / size[1]))
            axes.set(xticks=[], yticks=[], facecolor="k")
            low, high = panel.window
            # The right side is at the left: the first axis is reversed; rows run from anterior to posterior.
            axes.imshow(_page(volume.array[..., k], box), cmap="gray", vmin=low, vmax=high, aspect=sy / sx)
            for number in sorted(turned.names):
                _outline(axes, _page(turned.array[..., k] == number, box), _color(number), "solid")
            if truth is not None:
                _outline(axes, _page(truth.array[..., k] > 0, box), EXPERT_COLOR, "dashed")
            if column == 0:
                axes.text(0.04, 0.96, f"slice {k + 1}", color=INK, fontsize=7, va="top", transform=axes.transAxes)
            if row == 0:
                axes.set_title(f"{panel.title} ({panel.label})", color=INK, fontsize=8, pad=3)
            if stamp:
                axes.text(0.5, 0.02, stamp, color=AMBER, fontsize=6.5, ha="center", transform=axes.transAxes)
    figure.text(0.01, 1 - 0.16 / size[1], title, color=INK, fontsize=10, weight="bold", va="center")
    handles = [Line2D([], [], color=_color(n), label=turned.names[n]) for n in sorted(turned.names)]
    if truth is not None:
        handles.append(Line2D([], [], color=EXPERT_COLOR, linestyle="dashed", label=f"expert's {focus}"))
    legend = figure.legend(handles=handles, loc="lower left", ncols=4, fontsize=7, frameon=False)
    for text in legend.get_texts():
        text.set_color(INK)
    return png_bytes(figure)


def shown_slices(labels: LabelMap, focus: int, probability: npt.NDArray[np.floating], *, most: int = 3) -> list[int]:
    """Return the slices, in RAS order, where the focus class is largest, else where it is most probable."""
    to_ras = axis_map_to(labels.grid, "RAS")
    areas = (to_ras.applied_to(labels.array) == focus).sum(axis=(0, 1))
    likely = np.asarray(to_ras.applied_to(probability), dtype=np.float64).max(axis=(0, 1))
    order = np.lexsort((-likely, -areas))
    return sorted(int(k) for k in order[:most])


def _box(shape: Sequence[int], spacing: tuple[float, float], field_mm: float | None) -> tuple[slice, slice]:
    if field_mm is None:
        return slice(None), slice(None)
    half = [min(round(field_mm / 2 / s), n // 2) for s, n in zip(spacing, shape)]
    i, j = (slice(n // 2 - h, n // 2 + h) for n, h in zip(shape, half))
    return i, j


def _page(plane: npt.NDArray[np.generic], box: tuple[slice, slice]) -> npt.NDArray[np.generic]:
    return plane[box].T[::-1, ::-1]


def _outline(axes: object, mask: npt.NDArray[np.generic], color: str, style: str) -> None:
    values = np.asarray(mask, dtype=np.float32)
    if 0 < values.mean() < 1:
        axes.contour(values, levels=[0.5], colors=[color], linewidths=0.9, linestyles=style)  # type: ignore[attr-defined]


def _color(number: int) -> str:
    # The focus comes last in a label table and gets the most conspicuous color.
    return {1: COLORS[5], 2: COLORS[2], 3: COLORS[1]}.get(number, COLORS[number % len(COLORS)])
