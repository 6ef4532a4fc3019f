"""Slices through volumes, side by side, in the orientation a radiologist expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.geometry import axis_map_to, bounding_box, nearest_voxel
from medgan.reporting.panel import Panel
from medgan.reporting.sheet import AMBER, POINTS_PER_INCH, Anchor, Line, Pixels, Place, Sheet, Words
from medgan.reporting.slice_pixels import SlicePixels, colored
from medgan.volume import LabelMap, Volume

Point = Sequence[float]

SYNTHETIC_MARK = "SYNTHETIC – not for diagnosis"

CELL_INCH, TALLEST_INCH = 2.5, 9.5
GAP_INCH, LEFT_INCH, TOP_INCH, BOTTOM_INCH = 0.06, 0.36, 0.78, 0.46
BAR_INCH = 0.09
MARGIN_MM = 8.0
CROSS_POINTS = 9


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


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """Where a slice lies on the page, in inches, and what stretch of the plane is seen there, in mm from the point."""

    plane: _Plane
    box: tuple[float, float, float, float]  # left, top, right, bottom
    shown_columns_mm: tuple[float, float]  # left, right
    shown_rows_mm: tuple[float, float]  # top, bottom

    def place(self, across: float, down: float, *, points: tuple[float, float] = (0, 0)) -> Place:
        """Return a place on the page: shares of the cell, and so many points further to the right and down."""
        left, top, right, bottom = self.box
        return (
            left + across * (right - left) + points[0] / POINTS_PER_INCH,
            top + down * (bottom - top) + points[1] / POINTS_PER_INCH,
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
    return three_planes_sheet(panels, point_xyz=point_xyz, mask=mask, title=title, marks=marks).png()


def three_planes_sheet(
    panels: Sequence[Panel],
    *,
    point_xyz: Point | None = None,
    mask: LabelMap | None = None,
    title: str = "",
    marks: Sequence[Point] = (),
) -> Sheet:
    """Return the page of :func:`three_planes` before it is painted."""
    if not panels:
        raise ReportError("A figure needs at least one panel: found none.")
    point = np.asarray(_default_point(panels[0].volume, mask) if point_xyz is None else point_xyz, dtype=np.float64)
    panels = [replace(p, volume=p.volume.reordered(axis_map_to(p.volume.grid, "RAS"))) for p in panels]
    bounds = _bounds_mm(panels, mask, point)
    size = bounds[:, 1] - bounds[:, 0]
    heights = [size[plane.up] for plane in PLANES]
    width = max(size[0], size[1])
    inch = min(CELL_INCH / width, TALLEST_INCH / sum(heights))
    elements: list[Words | Line | Pixels] = [
        Words(text=title, at=(0.12, 0.2), anchor="lm", points=11, bold=True),
    ]
    for column, panel in enumerate(panels):
        left, top = LEFT_INCH + column * (width * inch + GAP_INCH), TOP_INCH
        center = left + width * inch / 2
        for plane, height in zip(PLANES, heights):
            middle = bounds[plane.across].mean()
            cell = _Cell(
                plane=plane,
                box=(left, top, left + width * inch, top + height * inch),
                shown_columns_mm=(middle + width / 2, middle - width / 2),
                shown_rows_mm=(bounds[plane.up, 1], bounds[plane.up, 0]),
            )
            elements += [*_slice(cell, panel, point), *_letters(cell, is_synthetic=panel.is_synthetic)]
            elements += _crosses(cell, panel, point, marks)
            if column == 0:
                at = (left - 0.13, top + height * inch / 2)
                elements.append(Words(text=_position(plane, point), at=at, anchor="mm", points=7.5, upward=True))
            top += height * inch + GAP_INCH
        for below, text, points in ((0.44, panel.title, 9), (0.62, panel.label, 7.5)):
            elements.append(Words(text=text, at=(center, below), anchor="mm", points=points))
        elements += _color_bar(center, top + 0.06, 0.6 * width * inch, panel)
    return Sheet(
        width=LEFT_INCH + len(panels) * (width * inch + GAP_INCH),
        height=TOP_INCH + sum(heights) * inch + 3 * GAP_INCH + BOTTOM_INCH,
        elements=elements,
    )


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


def _slice(cell: _Cell, panel: Panel, point: npt.NDArray[np.float64]) -> Iterator[Pixels | Words]:
    plane, volume = cell.plane, panel.volume
    index = int(np.floor(volume.grid.index(point)[plane.cut] + 0.5))
    is_seen = 0 <= index < volume.shape[plane.cut]
    # Taking the cut axis leaves (across, up) in array order for all three planes.
    # (An index, because `take` copies the whole of an array whose first axis is the fastest.)
    cut = (slice(None),) * plane.cut + (min(max(index, 0), volume.shape[plane.cut] - 1),)
    values = np.asarray(volume.array[cut], dtype=np.float32).T
    span = _span_mm(volume, point)
    paint = SlicePixels(
        values=values if is_seen else np.full_like(values, np.nan),
        rows_mm=(span[plane.up, 0], span[plane.up, 1]),
        columns_mm=(span[plane.across, 0], span[plane.across, 1]),
        shown_rows_mm=cell.shown_rows_mm,
        shown_columns_mm=cell.shown_columns_mm,
        window=panel.window,
        diverging=panel.diverging,
    )
    yield Pixels(box=cell.box, paint=paint)
    if not is_seen:
        yield Words(text="outside the\nfield of view", at=cell.place(0.5, 0.5), anchor="mm", points=7)


def _letters(cell: _Cell, *, is_synthetic: bool) -> Iterator[Words]:
    # Bold on a dark box: thin letters lose a stroke at this size, and an L that looks like an I is dangerous.
    below = 12 if is_synthetic else 3
    places: tuple[tuple[Place, Place, Anchor], ...] = (
        ((0, 0.5), (3, 0), "lm"),
        ((1, 0.5), (-3, 0), "rm"),
        ((0.5, 0), (0, 3), "mt"),
        ((0.5, 1), (0, -below), "mb"),
    )
    for letter, (share, points, anchor) in zip(cell.plane.labels, places):
        yield Words(text=letter, at=cell.place(*share, points=points), anchor=anchor, points=8, bold=True, boxed=True)
    if is_synthetic:
        at = cell.place(0.5, 1, points=(0, -2))
        yield Words(text=SYNTHETIC_MARK, at=at, anchor="mb", points=6.5, color=AMBER, bold=True, boxed=True)


def _crosses(cell: _Cell, panel: Panel, point: npt.NDArray[np.float64], marks: Sequence[Point]) -> Iterator[Line]:
    plane, grid = cell.plane, panel.volume.grid
    for mark in marks:
        offset = (grid.index(mark) - grid.index(point)) * np.asarray(grid.spacing)
        if abs(offset[plane.cut]) > grid.spacing[plane.cut] / 2:
            continue
        (left, right), (top, bottom) = cell.shown_columns_mm, cell.shown_rows_mm
        share = ((offset[plane.across] - left) / (right - left), (offset[plane.up] - top) / (bottom - top))
        if not 0 <= min(share) <= max(share) <= 1:
            continue
        for reach in ((CROSS_POINTS / 2, 0.0), (0.0, CROSS_POINTS / 2)):
            ends = [cell.place(*share, points=(sign * reach[0], sign * reach[1])) for sign in (-1, 1)]
            yield Line(start=ends[0], end=ends[1], points=1.2, color=AMBER)


def _color_bar(center: float, top: float, width: float, panel: Panel) -> Iterator[Pixels | Line | Words]:
    left, right, bottom = center - width / 2, center + width / 2, top + BAR_INCH
    low, high = panel.window

    def paint(shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
        values = np.broadcast_to(np.linspace(low, high, shape[1]), shape)
        return colored(values, panel.window, diverging=panel.diverging)

    yield Pixels(box=(left, top, right, bottom), paint=paint)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for start, end in zip(corners, corners[1:] + corners[:1]):
        yield Line(start=start, end=end, points=0.4)
    for at, value in ((left, low), (center, (low + high) / 2), (right, high)):
        yield Line(start=(at, bottom), end=(at, bottom + 2 / POINTS_PER_INCH), points=0.4)
        text = f"{value:g}".replace("-", "\N{MINUS SIGN}")
        yield Words(text=text, at=(at, bottom + 4 / POINTS_PER_INCH), anchor="mt", points=6.5)


def _position(plane: _Plane, point: npt.NDArray[np.float64]) -> str:
    value = point[plane.cut]
    toward = ("RL", "AP", "SI")[plane.cut][0 if value >= 0 else 1]
    return f"{plane.name}, {toward} {abs(value):.0f} mm"
