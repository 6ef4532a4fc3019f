"""Linear interpolation where the axes of two grids run along each other: one axis after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from medgan.volume.side_by_side import side_by_side, usable_threads

_VOXELS_OF_A_THREAD = 1 << 19


class _Axis(NamedTuple):
    """Between which two source voxels each target voxel lies along one axis, and where; only those inside the image."""

    inside: slice
    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    share: npt.NDArray[np.float64]

    @property
    def is_copy(self) -> bool:
        """Whether the target voxels are the source voxels, in order and all of them."""
        return not self.share.any() and np.array_equal(self.low, np.arange(len(self.low)))


def linear_along_axes(
    array: npt.NDArray[Any], to_source: npt.NDArray[np.float64], shape: tuple[int, int, int], outside: float
) -> npt.NDArray[np.float32] | None:
    """Return an image at the voxel indices ``to_source @ target index``, or None unless the map scales axes only.

    Parameters
    ----------
    array : (I, J, K)
    to_source : (4, 4)
        From indices of the target to those of ``array``.
    shape : three ints
        Of the target.
    outside : float
        Value of voxels further than half a voxel outside the image.

    Returns
    -------
    float32 of ``shape``, first axis fastest in memory, or None

    Notes
    -----
    What ITK's ``LinearInterpolateImageFunction`` and ``ResampleImageFilter`` compute voxel by voxel, in float64, in the
    same order of operations and therefore with the same bits, but plane by plane: the differences along the first two
    axes are taken once for each source plane and not once for each target voxel, and no copy of the image is made.
    """
    if (to_source[:3, :3] != np.diag(np.diag(to_source)[:3])).any():
        return None
    axes = [
        _axis(
            float(to_source[axis, axis]), float(to_source[axis, 3]), shape[axis], array.shape[axis], is_line=axis == 0
        )
        for axis in range(3)
    ]
    result = np.empty(shape, np.float32, order="F")
    inside = tuple(axis.inside for axis in axes)
    target = result[inside]
    if target.shape != shape:
        result.fill(outside)
    count = target.shape[2] if target.size else 0
    threads = max(1, min(usable_threads(), target.size // _VOXELS_OF_A_THREAD, count))
    bounds = [count * part // threads for part in range(threads + 1)]
    side_by_side(lambda part: _fill(target, array, axes, part), [range(a, b) for a, b in pairwise(bounds)])
    return result


def _axis(scale: float, offset: float, count: int, length: int, *, is_line: bool) -> _Axis:
    steps = np.arange(count, dtype=np.float64)
    # ITK goes along lines of the first axis by shares of their length, and asks for each line where it begins and ends.
    end = scale * count + offset
    index = offset + steps / count * (end - offset) if is_line else scale * steps + offset
    is_inside = np.flatnonzero((index >= -0.5) & (index < length - 0.5))
    inside = slice(int(is_inside[0]), int(is_inside[-1]) + 1) if is_inside.size else slice(0, 0)
    index = index[inside]
    low = np.maximum(np.floor(index), 0.0)
    share = np.maximum(index - low, 0.0)
    first = low.astype(np.intp)
    return _Axis(inside, first, np.minimum(first + 1, length - 1), share)


def _fill(target: npt.NDArray[np.float32], array: npt.NDArray[Any], axes: Sequence[_Axis], slices: range) -> None:
    """Fill some of the target's slices, in order, so that a source plane is worked on once."""
    x, y, z = axes
    planes: dict[int, npt.NDArray[np.float64]] = {}
    between: npt.NDArray[np.float64] | None = None
    for k in slices:
        low, high, share = int(z.low[k]), int(z.high[k]), z.share[k]
        planes = {each: planes[each] if each in planes else _plane(array[:, :, each].T, x, y) for each in {low, high}}
        between = np.subtract(planes[high], planes[low], out=between)
        between *= share
        between += planes[low]
        target[:, :, k].T[...] = between


def _plane(plane: npt.NDArray[Any], x: _Axis, y: _Axis) -> npt.NDArray[np.float64]:
    """Return a (J, I) plane interpolated along I, then along J."""
    if x.is_copy:
        across = plane[:, : len(x.low)].astype(np.float64, order="C")
    else:
        across = _picked(plane, x.low, axis=1).astype(np.float64, order="C")
        across += (_picked(plane, x.high, axis=1) - across) * x.share
    if y.is_copy:
        return across[: len(y.low)]
    low = _picked(across, y.low, axis=0)
    return (_picked(across, y.high, axis=0) - low) * y.share[:, np.newaxis] + low


def _picked(values: npt.NDArray[Any], index: npt.NDArray[np.intp], *, axis: int) -> npt.NDArray[Any]:
    """Return the rows or columns of an index, as a view where it has one step."""
    step = int(index[1] - index[0]) if len(index) > 1 else 1
    if step > 0 and (np.diff(index) == step).all():
        where = slice(int(index[0]), int(index[-1]) + 1, step)
        return values[where] if axis == 0 else values[:, where]
    return np.take(values, index, axis=axis)
