"""Shape operations on masks with radii in millimeters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

MaskArray = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


def dilated(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Return the voxels within ``radius_mm`` of a mask (I, J, K)."""
    return np.asarray(_depth_mm(~mask, spacing) <= radius_mm) if mask.any() else mask


def opened(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Return the part of a mask that a ball of this radius reaches from within."""
    return dilated(np.asarray(_depth_mm(mask, spacing) > radius_mm), radius_mm, spacing)


def closed(mask: MaskArray, radius_mm: float, spacing: Spacing) -> MaskArray:
    """Close a mask with the border mirrored, so that a body cut by the field of view is not eroded there."""
    pad = [int(np.ceil(radius_mm / s)) for s in spacing]
    padded = np.pad(mask, [(p, p) for p in pad], mode="edge")
    grown = dilated(padded, radius_mm, spacing)
    shrunk = np.asarray(_depth_mm(grown, spacing) > radius_mm) if not grown.all() else grown
    return np.array(shrunk[tuple(slice(p, p + n) for p, n in zip(pad, mask.shape))] | mask)


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
    mask = mask.copy()
    for axis in range(3):
        for index in range(mask.shape[axis]):
            plane: tuple[Any, ...] = (slice(None),) * axis + (index,)
            mask[plane] = ndimage.binary_fill_holes(mask[plane])
    return mask


def _depth_mm(mask: MaskArray, spacing: Spacing) -> npt.NDArray[np.float64]:
    """Return the distance of every true voxel to the nearest false one."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing))
