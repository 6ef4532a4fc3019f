"""Where a NIfTI header puts its voxels: sform, qform, or an assumption that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError, GeometryError
from medgan.formats.stored_image import ASSUMED_AXES, placed_grid
from medgan.geometry import Grid
from medgan.geometry.grid import AGREEMENT_VOXEL

_MM_IN_UNIT = {1: ("meters", 1e3), 2: ("millimeters", 1.0), 3: ("micrometers", 1e-3)}


def stated_grid(
    fields: Mapping[str, Any], shape: tuple[int, int, int], *, name: str, assume_axes: bool
) -> tuple[Grid, list[str]]:
    """Return where a NIfTI header puts its voxels, and a notice for each thing that was corrected or assumed.

    Parameters
    ----------
    fields : mapping
        Header fields under their names in nifti1.h.
    shape : (I, J, K)
    name : str
        File name for messages.
    assume_axes : bool
        Whether the voxel size alone will do where neither form is usable.

    Raises
    ------
    FormatError
        If neither form is usable and axes may not be assumed.
    """
    scale, notices = _millimeters(int(fields["xyzt_units"]))
    grids: dict[str, Grid] = {}
    for form, affine_of in (("sform", _affine_of_sform), ("qform", _affine_of_qform)):
        if int(fields[f"{form}_code"]) <= 0:
            continue
        try:
            affine = affine_of(fields)
            affine[:3] *= scale
            grids[form] = placed_grid(shape, affine)
        except GeometryError as error:
            notices.append(f"The {form} is unusable and was ignored: {error}.")
    if not grids and assume_axes:
        grid, assumed = assumed_grid(fields, shape, name=name, scale=scale)
        return grid, notices + assumed
    if not grids:
        unusable = " ".join(n for n in notices if "unusable" in n) or "Both form codes are 0."
        raise FormatError(
            f"{name}: an image must say where its voxels lie: it has no usable sform or qform. {unusable} "
            "Convert the original again, or pass --assume-axes to take the axes as right, anterior, superior."
        )
    if len(grids) == 2:
        moved = grids["sform"].displacement_from(grids["qform"])
        if moved > AGREEMENT_VOXEL:
            notices.append(f"The sform and the qform differ by up to {moved:.2f} voxels: the sform is used.")
    grid = grids.get("sform") or grids["qform"]
    if grid.is_sheared:
        notices.append("The axes are not at right angles: the shear is kept.")
    return grid, notices


def assumed_grid(
    fields: Mapping[str, Any], shape: tuple[int, int, int], *, name: str, scale: float = 1.0
) -> tuple[Grid, list[str]]:
    """Return the grid of the voxel size alone (nifti1.h, METHOD 1): axes right, anterior, superior from the origin.

    Raises
    ------
    FormatError
        If the voxel size is not positive.
    """
    spacing = [float(p) * scale for p in fields["pixdim"][1:4]]
    try:
        if not min(spacing) > 0:
            raise GeometryError(f"the voxel size is {' x '.join(f'{s:g}' for s in spacing)}")
        grid = placed_grid(shape, np.diag([*spacing, 1.0]))
    except GeometryError as error:
        raise FormatError(f"{name}: axes can only be assumed where the voxel size is known: {error}.") from None
    return grid, [f"The file does not say where its axes point: {ASSUMED_AXES}"]


def _millimeters(units: int) -> tuple[float, list[str]]:
    """Return the factor to mm of an ``xyzt_units``, whose three lowest bits are the unit of length."""
    if units & 7 not in _MM_IN_UNIT:
        return 1.0, ["The file states no known unit of length: millimeters were assumed."]
    unit, factor = _MM_IN_UNIT[units & 7]
    return factor, [] if factor == 1.0 else [f"The file is in {unit}: lengths were converted to millimeters."]


def _affine_of_sform(fields: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    rows = [np.asarray(fields[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
    return np.vstack([*rows, [0.0, 0.0, 0.0, 1.0]])


def _affine_of_qform(fields: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Return the affine of the quaternion (nifti1.h, METHOD 2)."""
    from nibabel.quaternions import fillpositive, quat2mat

    spacing = np.asarray(fields["pixdim"][1:4], dtype=np.float64)
    if not np.isfinite(spacing).all() or spacing.min() <= 0:
        raise GeometryError(f"its voxel size is {' x '.join(f'{s:g}' for s in spacing)}")
    vector = np.array([float(fields[f"quatern_{axis}"]) for axis in "bcd"])
    # b^2 + c^2 + d^2 of a rotation is at most 1, up to the rounding of three float32.
    if not (np.isfinite(vector).all() and np.abs(vector).max() <= 2 and vector @ vector <= 1 + 1e-5):
        raise GeometryError("its quaternion is no rotation")
    affine = np.eye(4)
    handedness = [1.0, 1.0, -1.0 if float(fields["pixdim"][0]) < 0 else 1.0]
    affine[:3, :3] = quat2mat(fillpositive(vector, w2_thresh=-1e-4)) * spacing * handedness
    affine[:3, 3] = [float(fields[f"qoffset_{axis}"]) for axis in "xyz"]
    return affine
