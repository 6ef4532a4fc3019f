"""Where the slices of a stack lie: evenly along a line, sheared by a tilted gantry, with a gap, or nowhere usable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, degrees

import numpy as np
import numpy.typing as npt
from highdicom.spatial import create_affine_matrix_from_attributes

from medgan.errors import FormatError, GeometryError
from medgan.formats.itk_files import LPS_TO_RAS
from medgan.formats.stored_image import placed_grid
from medgan.geometry import Grid

EVEN_SHARE = 0.01
"""A distance between neighbors may deviate from the spacing by this share of it."""
DRIFT_VOXEL = 0.05
"""No slice may lie further from its place in the even stack than this share of a voxel."""
RIGHT_ANGLE = 1e-3
STEEPEST_DEGREES = 45.0
_MOST_SLICES = 1_000_000


@dataclass(frozen=True, eq=False)
class Placement:
    """An even stack.

    Parameters
    ----------
    grid : Grid
        (column, row, slice), RAS+, sheared where slices are displaced sideways.
    places : tuple of int
        Index along the third axis of each position, ascending.
    missing : int or None
        The one index that has no slice.
    gap : str
        A sentence about the missing slice, empty where there is none.
    tilt_degrees : float
        Angle between the slices' normal and the line they lie on; 0 where that is below 0.05 voxel.
    """

    grid: Grid
    places: tuple[int, ...]
    missing: int | None
    gap: str
    tilt_degrees: float


def unit_axes(orientation: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return (2, 3) unit vectors along a row and down a column, at right angles to rounding.

    Raises
    ------
    FormatError
        If the two stated vectors are no unit vectors at right angles.
    """
    axes = np.array(orientation, dtype=np.float64).reshape(2, 3)
    if np.abs(axes).max() > 1.1 or np.abs(axes @ axes.T - np.eye(2)).max() > RIGHT_ANGLE:
        raise FormatError("The two directions of an image must be unit vectors at right angles: they are not.")
    # The nearest pair at right angles: what decimals took away is shared by both.
    u, _, vt = np.linalg.svd(axes, full_matrices=False)
    return np.asarray(u @ vt)


def placement(
    positions_lps: npt.NDArray[np.float64],
    *,
    orientation: Sequence[float],
    pixel_spacing: tuple[float, float],
    rows: int,
    columns: int,
    names: Sequence[str],
) -> Placement:
    """Place a stack.

    Parameters
    ----------
    positions_lps : (n, 3) float64
        Center of the first pixel of each slice in mm, all different, ascending along the normal.
    orientation : six float
        Along a row and down a column.
    pixel_spacing : (row, column)
        Distance in mm between rows, and between columns.
    rows, columns : int
    names : sequence of str
        Of each slice, for messages.

    Raises
    ------
    FormatError
        If there are fewer than two positions, or they are not even, not on a line, or on one too oblique.

    Notes
    -----
    The spacing is the lower median of the distances along the normal, then the mean over the whole stack; a gap is a
    distance of about two spacings. The third axis of the grid is the mean step from slice to slice, with whatever it
    moves sideways: that is the shear of a tilted gantry. highdicom gives the matrix of a stack; its own test of
    positions (``get_volume_positions``) is not used, because it takes a tilt of up to 2.5 degrees for none, refuses a
    larger one, knows no cumulative drift and cannot name the neighbors of a gap.
    """
    if len(positions_lps) < 2:
        raise FormatError(
            f"A volume needs slices at two positions or more: found one position, of {_listed(names)}. A single image "
            "is no volume."
        )
    axes = unit_axes(orientation)
    normal = np.cross(axes[0], axes[1])
    places, gap = _even_places(positions_lps @ normal, names)
    step = (positions_lps[-1] - positions_lps[0]) / places[-1]
    spacing = float(step @ normal)
    residual = positions_lps - positions_lps[0] - places[:, None] * step
    sideways = np.abs(residual @ axes.T) / (pixel_spacing[1], pixel_spacing[0])
    if sideways.max() > DRIFT_VOXEL:
        worst = int(sideways.max(axis=1).argmax())
        raise FormatError(
            f"Slices must lie on one line: {names[worst]} is displaced by {sideways.max():.2f} pixels within its plane "
            f"(limit {DRIFT_VOXEL})."
        )
    shear = float(np.linalg.norm(step - spacing * normal))
    tilt = degrees(atan2(shear, spacing))
    if tilt > STEEPEST_DEGREES:
        raise FormatError(
            f"Slices must follow each other about along their normal: these do at {tilt:.0f} degrees from it "
            f"(limit {STEEPEST_DEGREES:g})."
        )
    affine = create_affine_matrix_from_attributes(
        image_position=positions_lps[0].tolist(),
        image_orientation=axes.ravel().tolist(),
        pixel_spacing=pixel_spacing,
        spacing_between_slices=spacing,
    )
    # highdicom puts slices along the normal; a tilted gantry displaces them.
    affine[:3, 2] = step
    affine[:3] = LPS_TO_RAS @ affine[:3]
    try:
        grid = placed_grid((columns, rows, int(places[-1]) + 1), affine)
    except GeometryError as error:
        raise FormatError(f"The geometry of the header is unusable: {error}.") from None
    return Placement(
        grid=grid,
        places=tuple(int(place) for place in places),
        missing=int(np.flatnonzero(np.diff(places) > 1)[0]) + 1 if gap else None,
        gap=gap,
        tilt_degrees=tilt if shear * places[-1] > DRIFT_VOXEL * min(pixel_spacing) else 0.0,
    )


def _even_places(along: npt.NDArray[np.float64], names: Sequence[str]) -> tuple[npt.NDArray[np.int64], str]:
    """Return the index of each ascending position in an even stack, and a sentence if one slice is missing in it."""
    gaps = np.diff(along)
    base = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    jumps = np.rint(gaps / base) if base > 0 else np.zeros_like(gaps)
    if jumps.min() < 1 or jumps.sum() > _MOST_SLICES:
        raise FormatError(_uneven(gaps, base, names))
    places = np.concatenate([[0], np.cumsum(jumps)]).astype(np.int64)
    spacing = (along[-1] - along[0]) / places[-1]
    if (np.abs(gaps - jumps * spacing) > EVEN_SHARE * spacing).any():
        raise FormatError(_uneven(gaps, base, names))
    drift = np.abs(along - along[0] - places * spacing) / spacing
    if drift.max() > DRIFT_VOXEL:
        raise FormatError(
            f"Slices must be evenly spaced: {names[int(drift.argmax())]} lies {drift.max():.2f} voxels from its place "
            f"in an even stack of {spacing:.4g} mm (limit {DRIFT_VOXEL}). The spacing changes along the stack."
        )
    missing = int(places[-1]) - len(gaps)
    if missing > 1:
        raise FormatError(_uneven(gaps, base, names))
    return places, _uneven(gaps, base, names) if missing else ""


def _uneven(gaps: npt.NDArray[np.float64], base: float, names: Sequence[str]) -> str:
    wide = np.abs(gaps - base) > EVEN_SHARE * abs(base)
    where = np.flatnonzero(wide) if wide.any() else np.array([int(np.abs(gaps - base).argmax())])
    shown = [f"{gaps[k]:.4g} mm between {names[k]} and {names[k + 1]}" for k in where[:3]]
    more = f" and at {len(where) - 3} more places" if len(where) > 3 else ""
    text = f"Slices must be evenly spaced: found {base:.4g} mm everywhere except {', '.join(shown)}{more}."
    if len(where) == 1 and abs(gaps[where[0]] - 2 * base) <= 2 * EVEN_SHARE * base:
        return f"{text} One slice is probably missing: restore it, or pass --allow-gap to interpolate it."
    return f"{text} Restore what is missing, or export the series again."


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:4])
    return f"{first} and {len(names) - 4} more" if len(names) > 4 else first
