"""Shape operations on masks with radii in millimeters."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from medgan.preprocessing.packed_mask import LONGEST_REACH, MaskArray, Reach, spread, without_holes

Spacing = tuple[float, float, float]


def dilated(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Return the voxels within ``radius_mm`` of a mask (I, J, K)."""
    return _near(mask, radius_mm, spacing) if mask.any() else mask


def opened(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Return the part of a mask that a ball of this radius reaches from within."""
    if mask.all():
        return mask
    return dilated(~_near(~mask, radius_mm, spacing), radius_mm, spacing)


def closed(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Close a mask with the border mirrored, so that a body cut by the field of view is not eroded there."""
    pad = [int(np.ceil(radius_mm / s)) for s in spacing]
    padded = np.pad(mask, [(p, p) for p in pad], mode="edge")
    grown = dilated(padded, radius_mm, spacing)
    shrunk = grown if grown.all() else ~_near(~grown, radius_mm, spacing)
    return np.array(shrunk[tuple(slice(p, p + n) for p, n in zip(pad, mask.shape))] | mask)


def within_steps(mask: MaskArray, steps: int) -> MaskArray:
    """Return the voxels that at most so many steps across faces lead to from a mask (I, J, K)."""
    away = np.arange(steps + 1)
    return spread(mask, np.maximum(steps - away[:, None] - away, -1))


def large_parts(mask: MaskArray, share: float) -> MaskArray:
    """Return the connected parts that are larger than ``share`` of the largest."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= share * sizes.max())[labels])


def parts_with(mask: MaskArray, seeds: MaskArray) -> MaskArray:
    """Return the connected parts of a mask that hold a voxel of ``seeds``."""
    labels, count = ndimage.label(mask)
    wanted = np.zeros(count + 1, dtype=bool)
    wanted[labels[seeds]] = True
    wanted[0] = False
    return np.asarray(wanted[labels])


def filled(mask: MaskArray) -> MaskArray:
    """Return a mask with its holes filled slice by slice, along each axis in turn."""
    for axis in range(3):
        swept = without_holes(mask, axis)
        mask = _filled_one_by_one(mask, axis) if swept is None else swept
    return np.ascontiguousarray(mask)


def _filled_one_by_one(mask: MaskArray, axis: int) -> MaskArray:
    mask = mask.copy()
    for index in range(mask.shape[axis]):
        plane: tuple[Any, ...] = (slice(None),) * axis + (index,)
        mask[plane] = ndimage.binary_fill_holes(mask[plane])
    return mask


def _near(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Return the voxels within a distance of a mask, which has a voxel."""
    reach = _ball(radius_mm, spacing)
    if reach is None:
        return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing) <= radius_mm)
    return spread(mask, reach)


def _ball(radius_mm: float, spacing: Spacing) -> Reach | None:
    """Return the voxels within a distance as :func:`~medgan.preprocessing.packed_mask.spread` takes them.

    None where they reach too far for it, or where rounding decides: where two offsets are as long as the radius and
    only one is counted as within it, a distance transform may come upon either.
    """
    i, j, k = ((np.arange(int(radius_mm / s) + 2) * s) ** 2 for s in spacing)
    if len(k) > LONGEST_REACH:
        return None
    # The sum in the order in which SciPy's distance transform adds, for the same rounding.
    distance = np.sqrt(i[:, None, None] + j[:, None] + k)
    is_near = distance <= radius_mm
    at_radius = is_near[np.abs(distance - radius_mm) <= 1e-9 * radius_mm]
    if at_radius.any() and not at_radius.all():
        return None
    return is_near.sum(axis=2) - 1
