"""Copies between arrays of which another axis is the fastest in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_CACHE_LINE_BYTES = 64
_TILE_COLUMNS = 16


def runs_backwards(array: npt.NDArray[Any]) -> bool:
    """Tell whether the first axis of a (I, J, K) array is faster in memory than the last one.

    Examples
    --------
    >>> runs_backwards(np.zeros((2, 3, 4))), runs_backwards(np.zeros((2, 3, 4), order="F"))
    (False, True)
    """
    return abs(array.strides[0]) < abs(array.strides[2])


def row_major(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a (I, J, K) array with its last axis fastest, copied only where it is not so already."""
    if not runs_backwards(array):
        return np.ascontiguousarray(array)
    result = np.empty(array.shape, array.dtype)
    copy_turned(result.T, array.T)
    return result


def copy_turned(target: npt.NDArray[Any], source: npt.NDArray[Any]) -> None:
    """Copy a (I, J, K) array whose last axis is the fastest into one whose first axis is.

    Notes
    -----
    As many rows at a time as fill a cache line of the target, then in tiles that stay in the nearest cache: NumPy turns
    an array slice by slice and meets every cache line of the source again for each.
    """
    rows = max(1, _CACHE_LINE_BYTES // target.dtype.itemsize)
    turned = np.empty((min(rows, source.shape[0]), min(_TILE_COLUMNS, source.shape[1]), source.shape[2]), target.dtype)
    for i in range(0, source.shape[0], rows):
        block = source[i : i + rows]
        for j in range(0, source.shape[1], _TILE_COLUMNS):
            tile = turned[: len(block), : source.shape[1] - j]
            np.copyto(tile, block[:, j : j + _TILE_COLUMNS], casting="unsafe")
            target[i : i + rows, j : j + _TILE_COLUMNS] = tile
