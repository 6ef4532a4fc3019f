"""Gaussian smoothing along one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from medgan.volume.side_by_side import side_by_side, usable_threads

_TRUNCATE = 3.0
_TILE_VALUES = 1 << 15
_FEWEST_COLUMNS = 64
_VALUES_OF_A_THREAD = 1 << 19


def gaussian_smoothed(array: npt.NDArray[np.float32], sigma: float, *, axis: int) -> npt.NDArray[np.float32]:
    """Return a C-ordered (K, J, I) image convolved with a Gaussian along one axis; borders are repeated.

    Parameters
    ----------
    array : (K, J, I) float32
    sigma : float
        Standard deviation in voxels; the kernel ends at three of them.
    axis : int

    Notes
    -----
    The bits of ``scipy.ndimage.gaussian_filter1d(array, sigma, axis=axis, mode="nearest", truncate=3.0)``: float64, in
    its order of operations, rounded once. Along the first two axes many lines are worked on at once where SciPy gathers
    them one by one.
    """
    kernel = _kernel(sigma)
    if axis == 2:
        return np.asarray(correlate1d(array, kernel, axis=2, mode="nearest"))
    result = np.empty_like(array)
    length = array.shape[axis]
    lines = (-1, length, array.size // (length * (1 if axis == 0 else array.shape[0])))
    source, target = array.reshape(lines), result.reshape(lines)
    columns = max(_FEWEST_COLUMNS, _TILE_VALUES // length)
    tiles = [(outer, slice(c, c + columns)) for outer in range(len(source)) for c in range(0, lines[2], columns)]

    def smooth(tiles: Sequence[tuple[int, slice]]) -> None:
        radius, width = len(kernel) // 2, min(columns, lines[2])
        # Once for all tiles of a thread: fresh pages cost more than what is done in them.
        padded, total, both = (np.empty((n, width)) for n in (length + 2 * radius, length, length))
        for outer, tile in tiles:
            values, here = source[outer, :, tile], slice(0, len(source[outer, 0, tile]))
            _smooth_columns(values, kernel, padded[:, here], total[:, here], both[:, here])
            target[outer, :, tile] = total[:, here]

    threads = max(1, min(usable_threads(), array.size // _VALUES_OF_A_THREAD))
    side_by_side(smooth, [tiles[first::threads] for first in range(threads)])
    return result


def _smooth_columns(
    values: npt.NDArray[np.float32],
    kernel: npt.NDArray[np.float64],
    padded: npt.NDArray[np.float64],
    total: npt.NDArray[np.float64],
    both: npt.NDArray[np.float64],
) -> None:
    """Convolve every column of a matrix into ``total``."""
    length, radius = len(values), len(kernel) // 2
    padded[:radius], padded[radius : radius + length], padded[radius + length :] = values[0], values, values[-1]
    np.multiply(padded[radius : radius + length], kernel[radius], out=total)
    for distance in range(radius, 0, -1):
        np.add(padded[radius - distance :][:length], padded[radius + distance :][:length], out=both)
        np.multiply(both, kernel[radius - distance], out=both)
        np.add(total, both, out=total)


def _kernel(sigma: float) -> npt.NDArray[np.float64]:
    steps = np.arange(-int(_TRUNCATE * sigma + 0.5), int(_TRUNCATE * sigma + 0.5) + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * steps**2)
    return np.asarray(weights / weights.sum())
