"""Errors of intensities: how far a result's values are from the reference's, voxel by voxel.

Every function takes two arrays of one shape (float32 or an integer type, any number of dimensions, both in the same
unit) and an optional mask of booleans of that shape; only voxels in the mask count. Differences are float32, sums are
float64.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.region import BoolArray, FloatArray, require_pair, values_in

Array = npt.NDArray[Any]


def mean_absolute_error(*, result: Array, reference: Array, mask: BoolArray | None = None) -> float:
    """Return the mean of ``|result - reference|``, in the images' unit.

    Raises
    ------
    EvaluationError
        If shapes differ, or no voxel counts (as for every function here).

    Examples
    --------
    >>> mean_absolute_error(result=np.array([1.0, 5.0]), reference=np.array([2.0, 2.0]))
    2.0
    """
    return float(np.abs(_difference(result, reference, mask, "The mean absolute error")).mean(dtype=np.float64))


def mean_error(*, result: Array, reference: Array, mask: BoolArray | None = None) -> float:
    """Return the mean of ``result - reference``: positive when the result is too bright."""
    return float(_difference(result, reference, mask, "The mean error").mean(dtype=np.float64))


def root_mean_square_error(*, result: Array, reference: Array, mask: BoolArray | None = None) -> float:
    """Return the root of the mean of ``(result - reference)^2``, in the images' unit."""
    difference = _difference(result, reference, mask, "The root mean square error")
    return math.sqrt(float(np.square(difference).mean(dtype=np.float64)))


def peak_signal_to_noise_ratio(*, result: Array, reference: Array, peak: float, mask: BoolArray | None = None) -> float:
    """Return ``20 log10(peak / RMSE)`` in dB; infinite for equal images.

    Parameters
    ----------
    result, reference : arrays of one shape
    peak : float
        Width of the range of values that the images may take, in their unit. It is an argument because a peak taken
        from the images makes results of two cases incomparable.
    mask : bool array, optional

    Raises
    ------
    EvaluationError
        If the peak is not positive, or as for :func:`mean_absolute_error`.
    """
    if not peak > 0:
        raise EvaluationError(f"A peak signal-to-noise ratio needs a positive peak: found {peak}.")
    error = root_mean_square_error(result=result, reference=reference, mask=mask)
    return math.inf if error == 0 else 20 * math.log10(peak / error)


def pearson_correlation(*, result: Array, reference: Array, mask: BoolArray | None = None) -> float | None:
    """Return the linear correlation of two images, or None if one of them is constant or has fewer than two voxels."""
    require_pair(result=result, reference=reference, mask=mask, measure="A correlation")
    centered = [np.asarray(values_in(a, mask), dtype=np.float64) for a in (result, reference)]
    x, y = (values - values.mean() for values in centered)
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return None if scale == 0 else float(np.clip((x @ y) / scale, -1, 1))


def spearman_correlation(*, result: Array, reference: Array, mask: BoolArray | None = None) -> float | None:
    """Return the rank correlation of two images (ties get their mean rank), or None as for the linear one."""
    require_pair(result=result, reference=reference, mask=mask, measure="A correlation")
    return pearson_correlation(
        result=_mean_ranks(values_in(result, mask)), reference=_mean_ranks(values_in(reference, mask))
    )


def _difference(result: Array, reference: Array, mask: BoolArray | None, measure: str) -> FloatArray:
    require_pair(result=result, reference=reference, mask=mask, measure=measure)
    return values_in(result, mask) - values_in(reference, mask)


def _mean_ranks(values: FloatArray) -> FloatArray:
    # Ranks of equal values are those of the middle of their run: exact in float32 up to 2^24 / 2 voxels, and centered
    # so that larger images lose only the last digits of a rank.
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2 - (values.size - 1) / 2
    return np.asarray(middle, dtype=np.float32)[place]
