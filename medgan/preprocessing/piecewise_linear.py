"""Piecewise-linear functions of whole images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

_SLAB_VOXELS = 1 << 15


def interpolated(values: npt.NDArray[Any], xs: Sequence[float], ys: Sequence[float]) -> npt.NDArray[np.float32]:
    """Return a piecewise-linear function of every value, constant beyond its end knots.

    Parameters
    ----------
    values : array
        Finite.
    xs, ys : sequences of float
        Two or more knots, ``xs`` increasing.

    Returns
    -------
    float32
        Of the values' shape, with its axes in memory as the values have them.

    Notes
    -----
    What ``np.interp`` gives, bit for bit, computed in float64 and rounded once; by slabs, so that no copy of the image
    is made in float64.

    Examples
    --------
    >>> interpolated(np.array([-5.0, 0.5, 3.0]), [0.0, 1.0, 2.0], [0.0, 2.0, 3.0]).tolist()
    [0.0, 1.0, 3.0]
    """
    values = np.asarray(values)
    if values.ndim == 0:
        return np.asarray(np.interp(values, xs, ys), dtype=np.float32)
    slowest_first = np.argsort([-abs(stride) for stride in values.strides], kind="stable")
    slabs = values.transpose(slowest_first)
    result = np.empty(slabs.shape, dtype=np.float32)
    rows = max(1, min(len(slabs), _SLAB_VOXELS * len(slabs) // max(1, values.size)))
    scratch = np.empty((3, rows, *slabs.shape[1:]))
    # Where the last line misses its end by a rounding that even float32 shows, every step has to be np.interp's.
    last = np.float32((ys[-1] - ys[-2]) / (xs[-1] - xs[-2]) * (xs[-1] - xs[-2]) + ys[-2])
    for first in range(0, len(slabs), rows):
        slab = slabs[first : first + rows]
        mapped = _on_lines(slab, xs, ys, scratch[:, : len(slab)]) if last == np.float32(ys[-1]) else None
        result[first : first + rows] = np.interp(slab, xs, ys) if mapped is None else mapped
    return result.transpose(np.argsort(slowest_first))


def _on_lines(
    values: npt.NDArray[Any], xs: Sequence[float], ys: Sequence[float], scratch: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Interpolate with the operations of ``np.interp``'s loop, each on a whole array, which is faster for few knots.

    What lies between two knots is on their line: the line of the last knot reached counts. It is chosen bit by bit,
    because noise makes a branch for each voxel expensive.
    """
    clipped, line, mapped = scratch
    np.copyto(clipped, values)
    np.clip(clipped, xs[0], xs[-1], out=clipped)
    for number, ((x0, x1), (y0, y1)) in enumerate(zip(pairwise(xs), pairwise(ys))):
        target = line if number else mapped
        np.subtract(clipped, x0, out=target)
        target *= (y1 - y0) / (x1 - x0)
        target += y0
        if number:
            chosen, held = line.view(np.int64), mapped.view(np.int64)
            chosen ^= held
            chosen &= np.negative((clipped >= x0).view(np.int8))  # all bits where reached, else none
            held ^= chosen
    return mapped
