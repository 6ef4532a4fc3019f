"""Bring an image onto another grid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError, VolumeError
from medgan.geometry import AxisMap, Box, Grid
from medgan.volume.label_map import LabelMap
from medgan.volume.memory_order import row_major
from medgan.volume.separable import linear_along_axes
from medgan.volume.smoothing import gaussian_smoothed
from medgan.volume.volume import Volume

Interpolation = Literal["nearest", "linear", "cubic"]

LATTICE_TOLERANCE_VOXEL = 1e-4
"""Two lattices coincide when no voxel of one is further than this from a voxel of the other."""


def resample(volume: Volume, grid: Grid, *, interpolation: Interpolation = "linear", antialias: bool = False) -> Volume:
    """Return ``volume`` on ``grid``.

    Parameters
    ----------
    volume : Volume
    grid : Grid
        May be sheared, oblique, larger or smaller. Voxels further than half a voxel outside the image become the
        quantity's outside value.
    interpolation : {"nearest", "linear", "cubic"}
        ``cubic`` is the interpolating cubic B-spline.
    antialias : bool
        Smooth first along each axis that is sampled more coarsely (see Notes).

    Returns
    -------
    Volume
        float32 unless the lattices coincide (flip, permute, crop, pad): then voxels are copied bit for bit and the
        type is kept.

    Raises
    ------
    GeometryError
        If the two grids are in different units or frames.
    VolumeError
        If the interpolation is unknown.

    Notes
    -----
    SimpleITK interpolates; where the axes of both grids run along each other,
    :func:`~medgan.volume.separable.linear_along_axes` gives the same bits several times faster. ITK is given the map
    between voxel indices instead of two geometries, because its images cannot be sheared. With ``antialias`` the image
    is first convolved with a Gaussian of standard deviation ``0.5 sqrt(f^2 - 1)`` voxels along each axis of
    downsampling factor ``f > 1`` — a free choice between aliasing and blur that reaches zero at ``f = 1``.
    """
    if interpolation not in get_args(Interpolation):
        raise VolumeError(
            f"Interpolation must be one of {', '.join(get_args(Interpolation))}: found {interpolation!r}."
        )
    provenance = volume.provenance.then(
        "resample",
        interpolation=interpolation,
        antialias=antialias,
        shape=list(grid.shape),
        affine=grid.affine.round(9).tolist(),
    )
    copied = _copied_where_lattices_coincide(volume.array, volume.grid, grid, volume.quantity.outside)
    if copied is not None:
        return replace(volume, array=copied, grid=grid, provenance=provenance)
    to_source, array = volume.grid.index_affine_from(grid), volume.array
    if antialias:
        array = _smoothed_for(_by_depth(array), to_source)
    moved = None
    if interpolation == "linear":
        moved = linear_along_axes(array, to_source, grid.shape, volume.quantity.outside)
    if moved is None:
        moved = _interpolated(_by_depth(array), to_source, grid.shape, interpolation, volume.quantity.outside)
    return replace(volume, array=moved, grid=grid, provenance=provenance)


def resample_labels(labels: LabelMap, grid: Grid) -> LabelMap:
    """Return ``labels`` on ``grid`` by nearest neighbor; outside the image the label is 0.

    Raises
    ------
    GeometryError
        If the two grids are in different units or frames, or labels are wider than 32 bits and lattices differ.
    """
    copied = _copied_where_lattices_coincide(labels.array, labels.grid, grid, 0)
    if copied is None:
        if labels.array.dtype.itemsize > 4:
            raise GeometryError(
                "Labels wider than 32 bits can only be copied between coinciding lattices: cast them to uint32 first."
            )
        copied = _interpolated(
            np.asfortranarray(labels.array), labels.grid.index_affine_from(grid), grid.shape, "nearest", 0
        )
    return replace(labels, array=copied, grid=grid)


def _copied_where_lattices_coincide(
    array: npt.NDArray[Any], source: Grid, target: Grid, outside: float
) -> npt.NDArray[Any] | None:
    """Copy onto the target grid, or return None unless the map is a signed permutation plus whole voxels."""
    to_source = source.index_affine_from(target)
    linear, offset = to_source[:3, :3], to_source[:3, 3]
    whole, whole_offset = np.rint(linear), np.rint(offset)
    if not (np.abs(whole).sum(axis=0) == 1).all() or not (np.abs(whole).sum(axis=1) == 1).all():
        return None
    drift = np.abs(linear - whole) @ (np.asarray(target.shape) - 1) + np.abs(offset - whole_offset)
    if drift.max() > LATTICE_TOLERANCE_VOXEL:
        return None
    order = tuple(int(np.flatnonzero(whole[:, axis])[0]) for axis in range(3))
    flips = tuple(bool(whole[old, axis] < 0) for axis, old in enumerate(order))
    view = AxisMap(order, flips).applied_to(array)  # type: ignore[arg-type]
    start = [
        int(array.shape[old] - 1 - whole_offset[old]) if flip else int(whole_offset[old])
        for old, flip in zip(order, flips)
    ]
    wanted = Box.of_shape(target.shape).shifted(start)
    have = Box.of_shape(view.shape)
    if have.contains(wanted):
        return row_major(view[wanted.slices])
    result = np.full(target.shape, outside, dtype=array.dtype)
    if have.intersects(wanted):
        common = have.intersection(wanted)
        result[common.shifted([-s for s in start]).slices] = view[common.slices]
    return result


def _by_depth(array: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return float32 with the first axis fastest, as files are stored and ITK wants it; then neither costs a copy."""
    return np.asfortranarray(array, dtype=np.float32)


def _smoothed_for(array: npt.NDArray[np.float32], to_source: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Smooth along each source axis by how many of its voxels one step of the target grid spans."""
    by_depth = array.T  # the same memory as SciPy and ITK see it: C order
    for axis, factor in enumerate(np.abs(to_source[:3, :3]).max(axis=1)):
        if factor > 1.01 and array.shape[axis] > 1:
            sigma = 0.5 * float(np.sqrt(factor**2 - 1))
            by_depth = gaussian_smoothed(by_depth, sigma, axis=2 - axis)
    return by_depth.T


def _interpolated(
    array: npt.NDArray[Any],
    to_source: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
    interpolation: Interpolation,
    outside: float,
) -> npt.NDArray[Any]:
    """Sample ``array`` at the voxel indices ``to_source @ target index``."""
    import SimpleITK as sitk

    methods = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline}
    # An image made from a NumPy array has its axes in reverse order; transposing makes ITK's (x, y, z) our (i, j, k).
    image = sitk.GetImageFromArray(array.transpose(2, 1, 0))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_source[:3, :3].ravel().tolist())
    transform.SetTranslation(to_source[:3, 3].tolist())
    moved = sitk.Resample(
        image,
        list(shape),
        transform,
        methods[interpolation],
        [0.0] * 3,
        [1.0] * 3,
        np.eye(3).ravel().tolist(),
        outside,
        image.GetPixelID(),
    )
    return np.asarray(sitk.GetArrayFromImage(moved)).transpose(2, 1, 0)
