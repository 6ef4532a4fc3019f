"""Slices through volumes, side by side, in the orientation a radiologist expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.geometry import axis_map_to, bounding_box, nearest_voxel
from medgan.reporting.panel import Panel
from medgan.reporting.png import png_bytes
from medgan.volume import LabelMap, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

Point = Sequence[float]

SYNTHETIC_MARK = "SYNTHETIC – not for diagnosis"

PAPER, INK, AMBER = "#101214", "#e8eaed", "#ffb000"

CELL_INCH, TALLEST_INCH = 2.5, 9.5
GAP_INCH, LEFT_INCH, TOP_INCH, BOTTOM_INCH = 0.06, 0.36, 0.78, 0.46
MARGIN_MM = 8.0


@dataclass(frozen=True)
class _Plane:
    """A view of a RAS+ array: which axis is cut, which axes run right and up on the page, and from which end."""

    name: str
    cut: int
    across: int
    up: int
    labels: tuple[str, str, str, str]  # left, right, top, bottom


# Radiological display: the viewer stands at the patient's feet (axial) or before the patient (coronal), so the
# patient's right is at the image's left; in the sagittal view the patient faces left. Indices run toward R, A and S,
# so the horizontal axis is reversed in all three.
PLANES = (
    _Plane("axial", 2, 0, 1, ("R", "L", "A", "P")),
    _Plane("coronal", 1, 0, 2, ("R", "L", "S", "I")),
    _Plane("sagittal", 0, 1, 2, ("A", "P", "S", "I")),
)


def three_planes(
    panels: Sequence[Panel],
    *,
    point_xyz: Point | None = None,
    mask: LabelMap | None = None,
    title: str = "",
    marks: Sequence[Point] = (),
) -> bytes:
    """Return a PNG of axial, coronal and sagittal slices through one world point, one column a panel.

    Parameters
    ----------
    panels : sequence of Panel
        At least one. Grids may differ in shape, spacing, axis order and extent: every column shows the same stretch of
        space at the same scale.
    point_xyz : (x, y, z) in mm, optional
        Default: the center of the mask, or the nearest voxel of it (two legs have their center between them);
        without a mask the center of the first panel's grid.
    mask : LabelMap, optional
        The figure shows its surroundings instead of all that any panel holds.
    title : str
    marks : sequence of (x, y, z) in mm
        Points to draw a cross at, in the planes they lie in.

    Raises
    ------
    ReportError
        If there is no panel, or the mask is empty or lies outside all panels.
    GeometryError
        If a volume is of a specimen, which has no anatomical directions.

    Notes
    -----
    Radiological display: the patient's right is at the image's left. Slices follow the array axes closest to the
    world's: on an oblique grid they are oblique, and no voxel is interpolated but for the pixels of the page.
    """
    return png_bytes(three_planes_figure(panels, point_xyz=point_xyz, mask=mask, title=title, marks=marks))


def three_planes_figure(
    panels: Sequence[Panel],
    *,
    point_xyz: Point | None = None,
    mask: LabelMap | None = None,
    title: str = "",
    marks: Sequence[Point] = (),
) -> Figure:
    """Return the Matplotlib figure of :func:`three_planes`."""
    from matplotlib.figure import Figure

    if not panels:
        raise ReportError("A figure needs at least one panel: found none.")
    point = np.asarray(_default_point(panels[0].volume, mask) if point_xyz is None else point_xyz, dtype=np.float64)
    panels = [replace(p, volume=p.volume.reordered(axis_map_to(p.volume.grid, "RAS"))) for p in panels]
    bounds = _bounds_mm(panels, mask, point)
    size = bounds[:, 1] - bounds[:, 0]
    heights = [size[plane.up] for plane in PLANES]
    width = max(size[0], size[1])
    inch = min(CELL_INCH / width, TALLEST_INCH / sum(heights))
    figure_width = LEFT_INCH + len(panels) * (width * inch + GAP_INCH)
    figure_height = TOP_INCH + sum(heights) * inch + 3 * GAP_INCH + BOTTOM_INCH
    figure = Figure(figsize=(figure_width, figure_height), facecolor=PAPER)

    def axes_at(left: float, top: float, across: float, down: float) -> Axes:
        return figure.add_axes(
            (
                left / figure_width,
                1 - (top + down) / figure_height,
                across / figure_width,
                down / figure_height,
            )
        )

    figure.text(0.12 / figure_width, 1 - 0.2 / figure_height, title, color=INK, fontsize=11, weight="bold", va="center")
    for column, panel in enumerate(panels):
        left, top = LEFT_INCH + column * (width * inch + GAP_INCH), TOP_INCH
        image = None
        for plane, height in zip(PLANES, heights):
            axes = axes_at(left, top, width * inch, height * inch)
            middle = bounds[plane.across].mean()
            axes.set(
                xlim=(middle + width / 2, middle - width / 2),
                ylim=bounds[plane.up],
                xticks=[],
                yticks=[],
                facecolor="k",
            )
            axes.spines[:].set_visible(False)
            axes.set_label(plane.name)
            image = _draw_slice(axes, panel, plane, point) or image
            _draw_letters(axes, plane, is_synthetic=panel.is_synthetic)
            _draw_marks(axes, panel, plane, point, marks)
            if column == 0:
                axes.set_ylabel(_position(plane, point), color=INK, fontsize=7.5, labelpad=4)
            top += height * inch + GAP_INCH
        center = (left + width * inch / 2) / figure_width
        for below, text, size_pt in ((0.44, panel.title, 9), (0.62, panel.label, 7.5)):
            figure.text(center, 1 - below / figure_height, text, color=INK, fontsize=size_pt, ha="center", va="center")
        if image is not None:
            _draw_color_bar(
                figure, image, axes_at(left + 0.2 * width * inch, top + 0.06, 0.6 * width * inch, 0.09), panel
            )
    return figure


def _default_point(volume: Volume, mask: LabelMap | None) -> npt.NDArray[np.float64]:
    if mask is None:
        return volume.grid.world((np.asarray(volume.shape) - 1) / 2)
    inside = mask.mask()
    if not inside.any():
        raise ReportError("A figure centered on a mask needs a voxel in the mask: found none.")
    counts = (np.count_nonzero(inside, axis=axes) for axes in ((1, 2), (0, 2), (0, 1)))
    center_ijk = np.array([np.average(np.arange(len(count)), weights=count) for count in counts])
    return mask.grid.world(nearest_voxel(inside, center_ijk, axes=mask.grid.affine[:3, :3]))


def _span_mm(volume: Volume | LabelMap, point: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (3, 2): both ends of each array axis, in mm from the point."""
    at, spacing = volume.grid.index(point), np.asarray(volume.grid.spacing)
    return np.stack([(-0.5 - at) * spacing, (np.asarray(volume.shape) - 0.5 - at) * spacing], axis=1)


def _bounds_mm(
    panels: Sequence[Panel], mask: LabelMap | None, point: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return (3, 2): the stretch of space that the figure shows, in mm from the point."""
    spans = np.stack([_span_mm(panel.volume, point) for panel in panels])
    bounds = np.stack([spans[:, :, 0].min(axis=0), spans[:, :, 1].max(axis=0)], axis=1)
    if mask is None:
        return bounds
    labels = mask.reordered(axis_map_to(mask.grid, "RAS"))
    box = bounding_box(labels.mask())
    if box is None:
        raise ReportError("A figure around a mask needs a voxel in the mask: found none.")
    at, spacing = labels.grid.index(point), np.asarray(labels.grid.spacing)
    low = (np.asarray(box.start_ijk) - 0.5 - at) * spacing - MARGIN_MM
    high = (np.asarray(box.stop_ijk) - 0.5 - at) * spacing + MARGIN_MM
    shared = np.stack([np.maximum(bounds[:, 0], low), np.minimum(bounds[:, 1], high)], axis=1)
    if (shared[:, 0] >= shared[:, 1]).any():
        raise ReportError("A figure around a mask needs a panel that holds it: the mask lies outside all panels.")
    return shared


def _draw_slice(axes: Axes, panel: Panel, plane: _Plane, point: npt.NDArray[np.float64]) -> Any:
    volume = panel.volume
    index = int(np.floor(volume.grid.index(point)[plane.cut] + 0.5))
    if not 0 <= index < volume.shape[plane.cut]:
        axes.text(
            0.5,
            0.5,
            "outside the\nfield of view",
            transform=axes.transAxes,
            color=INK,
            fontsize=7,
            ha="center",
            va="center",
        )
        return None
    # Taking the cut axis leaves (across, up) in array order for all three planes.
    # (An index, because `take` copies the whole of an array whose first axis is the fastest.)
    pixels = np.asarray(volume.array[(slice(None),) * plane.cut + (index,)], dtype=np.float32).T
    span = _span_mm(volume, point)
    # Enlarged voxels keep their edges; shrunk ones are averaged, since leaving some out would hide thin bone.
    voxel_mm = min(volume.grid.spacing[plane.across], volume.grid.spacing[plane.up])
    is_shrunk = voxel_mm / abs(np.subtract(*axes.get_xlim())) * axes.get_window_extent().width < 1
    return axes.imshow(
        pixels,
        cmap=_signed_colors() if panel.diverging else "gray",
        vmin=panel.window[0],
        vmax=panel.window[1],
        origin="lower",
        extent=(*span[plane.across], *span[plane.up]),
        interpolation="antialiased" if is_shrunk else "nearest",
        aspect="auto",
    )


def _draw_letters(axes: Axes, plane: _Plane, *, is_synthetic: bool) -> None:
    # Bold on a dark box: thin outlined letters lose a stroke at this size, and an L that looks like an I is dangerous.
    box = {"facecolor": "k", "alpha": 0.6, "linewidth": 0, "pad": 1.0}
    below = 12 if is_synthetic else 3
    places = (((0, 0.5), (3, 0)), ((1, 0.5), (-3, 0)), ((0.5, 1), (0, -3)), ((0.5, 0), (0, below)))
    alignment = (("left", "center"), ("right", "center"), ("center", "top"), ("center", "bottom"))
    texts = [
        *zip(plane.labels, places, alignment),
        *([(SYNTHETIC_MARK, ((0.5, 0), (0, 2)), ("center", "bottom"))] if is_synthetic else []),
    ]
    for text, (xy, offset), (ha, va) in texts:
        is_mark = text == SYNTHETIC_MARK
        axes.annotate(
            text,
            xy,
            xytext=offset,
            xycoords="axes fraction",
            textcoords="offset points",
            color=AMBER if is_mark else INK,
            fontsize=6.5 if is_mark else 8,
            weight="bold",
            ha=ha,
            va=va,
            bbox=box,
        )


def _draw_marks(
    axes: Axes, panel: Panel, plane: _Plane, point: npt.NDArray[np.float64], marks: Sequence[Point]
) -> None:
    grid = panel.volume.grid
    for mark in marks:
        offset = (grid.index(mark) - grid.index(point)) * np.asarray(grid.spacing)
        if abs(offset[plane.cut]) <= grid.spacing[plane.cut] / 2:
            axes.plot(offset[plane.across], offset[plane.up], "+", color=AMBER, markersize=9, markeredgewidth=1.2)


def _draw_color_bar(figure: Figure, image: Any, axes: Axes, panel: Panel) -> None:
    low, high = panel.window
    bar = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.outline.set_edgecolor(INK)
    bar.outline.set_linewidth(0.4)
    ticks = [low, (low + high) / 2, high]
    bar.set_ticks(ticks, labels=[f"{t:g}".replace("-", "\N{MINUS SIGN}") for t in ticks])
    axes.tick_params(colors=INK, labelsize=6.5, length=2, width=0.4, pad=1.5)


def _signed_colors() -> Colormap:
    """Return blue, black, orange: distinct to the color-blind, and no difference does not glare on a dark page."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("signed", ["#9be7ff", "#1f7fe0", "#000000", "#e0601f", "#ffe08a"])


def _position(plane: _Plane, point: npt.NDArray[np.float64]) -> str:
    value = point[plane.cut]
    toward = ("RL", "AP", "SI")[plane.cut][0 if value >= 0 else 1]
    return f"{plane.name}, {toward} {abs(value):.0f} mm"
