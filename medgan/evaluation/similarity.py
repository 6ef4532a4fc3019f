"""Structural similarity at one scale (SSIM) and at several (MS-SSIM), counted in a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.evaluation.presets import MultiScale
from medgan.evaluation.region import BoolArray, FloatArray, require_pair
from medgan.geometry import Box, bounding_box

Array = npt.NDArray[Any]

K1, K2 = 0.01, 0.03
"""Constants of Wang 2004: C1 = (K1 peak)^2 and C2 = (K2 peak)^2."""


def ssim(
    *,
    result: Array,
    reference: Array,
    low: float,
    high: float,
    mask: BoolArray | None = None,
    window: int = 7,
    sample_covariance: bool = True,
) -> float | None:
    """Return the mean structural similarity over the windows that are centered in the mask.

    Parameters
    ----------
    result, reference : (I, J, K) arrays
        In one unit. They are clipped to ``[low, high]``, and voxels outside the mask are set to ``low`` in both.
    low, high : float
        Range of values; the peak is ``high - low`` and luminance is measured from ``low``.
    mask : (I, J, K) bool, optional
    window : int
        Side of the cubic uniform window in voxels (odd).
    sample_covariance : bool
        Divide by n - 1 (scikit-image's default) instead of n.

    Returns
    -------
    float or None
        None when no window with its center in the mask lies inside the image.

    Raises
    ------
    EvaluationError
        If shapes differ or the mask is empty.

    Notes
    -----
    ``SSIM = (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1) * (2 s_xy + C2) / (s_x^2 + s_y^2 + C2)`` (Wang 2004,
    doi:10.1109/TIP.2003.819861, eq. 13), there with a Gaussian window of 11 and standard deviation 1.5, here with the
    uniform window of scikit-image and the SynthRAD challenges. Windows that reach beyond the image do not count.
    Second moments are taken about the images' own zero, not about ``low``: a variance does not change and soft tissue
    near 0 HU keeps its digits in float32.
    """
    require_pair(result=result, reference=reference, mask=mask, measure="SSIM")
    pair = _Pair.prepared(result, reference, mask, low, high, margin=window // 2)
    found = pair.similarity(low, high, window, sample_covariance)
    return None if found is None else found.mean_of(found.ssim)


def ms_ssim(
    *, result: Array, reference: Array, low: float, high: float, scales: MultiScale, mask: BoolArray | None = None
) -> float | None:
    """Return the multi-scale structural similarity, counted at each scale in the mask of that scale.

    Parameters
    ----------
    result, reference, low, high, mask
        As for :func:`ssim`.
    scales : MultiScale
        Weights, window and the rules in which published versions differ.

    Returns
    -------
    float or None
        Between 0 and 1; None when at some scale no window with its center in the mask lies inside the image.

    Raises
    ------
    EvaluationError
        If shapes differ or the mask is empty.

    Notes
    -----
    Wang 2003 (doi:10.1109/ACSSC.2003.1292216, eq. 7): ``l_M^w_M * prod_j (c_j s_j)^w_j``, each factor a mean over its
    scale. As SynthRAD2025 wrote it, every scale has luminance and the power is taken voxel by voxel before the mean:
    ``prod_j mean((l_j c_j s_j)^w_j)``. Contrast and structure with C3 = C2 / 2 multiply to the single second factor of
    SSIM, so both versions share one map. Negative similarity counts as 0. Short axes are first padded at both ends by
    repeating the border.
    """
    require_pair(result=result, reference=reference, mask=mask, measure="MS-SSIM")
    count = len(scales.weights)
    # A window at the coarsest scale reaches half a window of its voxels, each an average of those around it.
    step = 2 ** (count - 1)
    pair = _Pair.prepared(
        result,
        reference,
        mask,
        low,
        high,
        margin=step * (scales.window // 2 + 1),
        align=step,
        minimum_size=scales.minimum_size,
        count_padding=scales.count_padding,
    )
    product = 1.0
    for scale, weight in enumerate(scales.weights):
        found = pair.similarity(low, high, scales.window, scales.sample_covariance)
        if found is None:
            return None
        with_luminance = scales.luminance_at_every_scale or scale == count - 1
        values = found.ssim if with_luminance else found.contrast_structure
        if scales.power_before_mean:
            factor = found.mean_of(np.power(np.maximum(values, 0), weight))
        else:
            factor = max(0.0, found.mean_of(values)) ** weight
        product *= min(1.0, factor)
        if scale < count - 1:
            pair = pair.halved(low, lagged=scales.lagged_halving)
    return product


@dataclass(frozen=True, eq=False)
class _Similarity:
    """SSIM and its second factor at the voxels that count, flat float32 arrays, and how much each counts."""

    ssim: FloatArray
    contrast_structure: FloatArray
    weight: FloatArray | None

    def mean_of(self, values: FloatArray) -> float:
        """Return the weighted mean of a map."""
        if self.weight is None:
            return float(values.mean(dtype=np.float64))
        return float((values * self.weight).sum(dtype=np.float64) / self.weight.sum(dtype=np.float64))


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two images cut to the mask's surroundings, with the share of each voxel that lies in the mask."""

    x: FloatArray
    y: FloatArray
    share: FloatArray | BoolArray | None

    @classmethod
    def prepared(
        cls,
        x: Array,
        y: Array,
        mask: BoolArray | None,
        low: float,
        high: float,
        *,
        margin: int,
        align: int = 1,
        minimum_size: int = 1,
        count_padding: bool = False,
    ) -> _Pair:
        """Clip, set what lies outside the mask to ``low``, pad short axes, and cut to the mask plus ``margin``.

        In the padded image the cut starts at a multiple of ``align``, so that halving it gives voxels of the halved
        whole; what it leaves out is ``low`` in both images, as the border rules assume.
        """
        before = [max(0, minimum_size - n) // 2 for n in x.shape]
        total = [max(minimum_size, n) for n in x.shape]
        box = (None if mask is None else bounding_box(mask)) or Box.of_shape(x.shape)
        start = [max(0, (a + p - margin) // align * align) - p for a, p in zip(box.start_ijk, before)]
        stop = [min(n - p, b + margin) for b, n, p in zip(box.stop_ijk, total, before)]
        wanted, have = Box(start, stop), Box.of_shape(x.shape)  # type: ignore[arg-type]
        common = wanted.intersection(have)
        pads = [
            (c - a, b - d) for a, b, c, d in zip(wanted.start_ijk, wanted.stop_ijk, common.start_ijk, common.stop_ijk)
        ]
        inside = None if mask is None else mask[common.slices]

        def cut(image: Array) -> FloatArray:
            values = np.clip(image[common.slices], low, high, dtype=np.float32)
            values = values if inside is None else np.where(inside, values, np.float32(low))
            return np.pad(values, pads, mode="edge") if any(map(any, pads)) else values

        share = inside
        if any(map(any, pads)) and not (inside is None and count_padding):
            share = np.ones(common.shape, dtype=bool) if inside is None else inside
            share = np.pad(share, pads, mode="edge" if count_padding else "constant")
        return cls(cut(x), cut(y), share)

    def similarity(self, low: float, high: float, window: int, sample_covariance: bool) -> _Similarity | None:
        """Return the maps at the voxels that count, None if there is none."""
        if min(self.x.shape) < window:
            return None
        half = window // 2
        core = tuple(slice(half, n - half) for n in self.x.shape)
        share = None if self.share is None else self.share[core]
        counted = None if share is None else share > 0
        if counted is not None and not counted.any():
            return None

        def windowed(array: FloatArray) -> FloatArray:
            mean = _window_means(array, window)
            return mean.ravel() if counted is None else mean[counted]

        m_x, m_y = windowed(self.x), windowed(self.y)
        factor = np.float32(window**3 / (window**3 - 1) if sample_covariance else 1.0)
        variances = factor * (windowed(np.square(self.x)) - m_x * m_x)
        variances += factor * (windowed(np.square(self.y)) - m_y * m_y)
        covariance = factor * (windowed(self.x * self.y) - m_x * m_y)
        c1, c2 = np.float32((K1 * (high - low)) ** 2), np.float32((K2 * (high - low)) ** 2)
        contrast_structure = (2 * covariance + c2) / (np.maximum(variances, 0) + c2)
        m_x -= np.float32(low)
        m_y -= np.float32(low)
        luminance = (2 * m_x * m_y + c1) / (m_x * m_x + m_y * m_y + c1)
        both = np.asarray(luminance * contrast_structure, dtype=np.float32)
        weight = None if share is None or share.dtype == np.bool_ else np.asarray(share[counted], dtype=np.float32)
        return _Similarity(both, np.asarray(contrast_structure, dtype=np.float32), weight)

    def halved(self, low: float, *, lagged: bool) -> _Pair:
        """Return both images at half the resolution."""
        halve = _halved_lagged if lagged else _halved
        x, y = halve(self.x, low), halve(self.y, low)
        if self.share is None:
            return _Pair(x, y, None)
        share = self.share[::2, ::2, ::2] if lagged else _halved(np.asarray(self.share, dtype=np.float32), 0.0)
        return _Pair(x, y, share)


def _window_means(array: FloatArray, window: int) -> FloatArray:
    """Return the mean of each window that lies inside the array: (I, J, K) to (I - window + 1, ...)."""
    from scipy.ndimage import uniform_filter1d

    half = window // 2
    for axis in range(3):
        array = uniform_filter1d(array, window, axis=axis, mode="nearest")
        array = array[tuple(slice(half, -half or None) if a == axis else slice(None) for a in range(3))]
    return array


def _halved(array: FloatArray, low: float) -> FloatArray:
    """Average blocks of 2^3 voxels; a last single voxel stands for its block."""
    del low
    for axis in range(3):
        lines = np.moveaxis(array, axis, 0)
        first, second = lines[::2], lines[1::2]
        mean = first.copy()
        mean[: len(second)] += second
        mean[: len(second)] *= 0.5
        array = np.moveaxis(mean, 0, axis)
    return array


def _halved_lagged(array: FloatArray, low: float) -> FloatArray:
    """Average voxels 2k - 1 and 2k along each axis, with ``low`` before the first.

    That is what a filter of even size followed by keeping every second voxel does.
    """
    for axis in range(3):
        lines = np.moveaxis(array, axis, 0)
        mean = lines[::2].copy()
        mean[0] += np.float32(low)
        mean[1:] += lines[1::2][: len(mean) - 1]
        mean *= 0.5
        array = np.moveaxis(mean, 0, axis)
    return array
