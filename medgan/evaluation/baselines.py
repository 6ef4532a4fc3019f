"""MR-to-CT translators that need no network: what a trained model must beat.

Each is fitted on training subjects only, is then a frozen set of numbers, and maps a (I, J, K) MR array, normalized as
in training, and a mask of the body to HU. Outside the body the result is -1024 HU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.region import BoolArray, FloatArray
from medgan.volume import Quantity

Array = npt.NDArray[Any]

OUTSIDE_HU = Quantity.HOUNSFIELD.outside


class Baseline(Protocol):
    """What a command that reports baselines asks of one."""

    title: ClassVar[str]

    def __call__(self, mr: Array, body: BoolArray) -> FloatArray:
        """Return HU, float32, of the shape of ``mr``; -1024 outside the body."""


@dataclass(frozen=True)
class BodyMedian:
    """The body filled with one number: the median HU of the training bodies. It minimizes MAE among constants."""

    title: ClassVar[str] = "body filled with the training median"
    hu: float

    @classmethod
    def fit(cls, hu_values: Sequence[Array]) -> BodyMedian:
        """Fit on the HU of the body voxels of each training CT (flat arrays, pooled)."""
        return cls(float(np.median(_pooled(hu_values, "HU"))))

    def __call__(self, mr: Array, body: BoolArray) -> FloatArray:
        """Return HU of the shape of ``mr``."""
        return _inside(np.full(mr.shape, self.hu, dtype=np.float32), mr, body)


@dataclass(frozen=True)
class QuantileMatch:
    """A monotone map that gives MR the distribution of HU, from unpaired subjects.

    Parameters
    ----------
    mr_knots, hu_knots : tuple of float
        Corners of the piecewise linear map, MR increasing; beyond the ends it is constant.
    decreasing : bool
        Bright MR becomes dark CT. Both directions match the distributions equally well, which is why a distribution
        alone cannot tell the contrast's sign.
    """

    title: ClassVar[str] = "quantile matching of unpaired subjects"
    mr_knots: tuple[float, ...]
    hu_knots: tuple[float, ...]
    decreasing: bool

    @classmethod
    def fit(
        cls, *, mr_values: Sequence[Array], hu_values: Sequence[Array], decreasing: bool, quantiles: int = 101
    ) -> QuantileMatch:
        """Fit on body voxels of training MR and of training CT: flat arrays, each pooled, of any subjects.

        Parameters
        ----------
        mr_values, hu_values : sequences of arrays
        decreasing : bool
        quantiles : int
            Number of evenly spaced quantiles from 0 to 1 that are matched.

        Raises
        ------
        EvaluationError
            If there are no values, fewer than two quantiles, or MR is constant.
        """
        if quantiles < 2:
            raise EvaluationError(f"Quantile matching needs at least two quantiles: found {quantiles}.")
        levels = np.linspace(0, 1, quantiles)
        # Values that occur, not interpolated ones: levels that fall on equal voxels are then exactly equal.
        mr, hu = (
            np.quantile(_pooled(values, what), levels, method="inverted_cdf").astype(np.float64)
            for values, what in ((mr_values, "MR"), (hu_values, "HU"))
        )
        knots, first, count = np.unique(mr, return_index=True, return_counts=True)
        if knots.size < 2:
            raise EvaluationError("Quantile matching needs MR values that differ: found a constant.")
        # Several levels may share one MR value (clipped voxels); it gets the mean of their HU.
        matched = np.add.reduceat(hu[::-1] if decreasing else hu, first) / count
        return cls(tuple(knots.tolist()), tuple(matched.tolist()), decreasing)

    def __call__(self, mr: Array, body: BoolArray) -> FloatArray:
        """Return HU of the shape of ``mr``."""
        return _inside(np.interp(mr, self.mr_knots, self.hu_knots), mr, body)


@dataclass(frozen=True)
class T1Table:
    """Three bulk densities by two thresholds: what a person who knows T1 contrast would draw.

    Parameters
    ----------
    dark_below, fat_above : float
        Thresholds in units of the normalized MR value.
    dark_hu, soft_hu, fat_hu : float
        HU of dark tissue (cortical bone, tendon, vessels), of muscle and other soft tissue, and of fat. Dark voxels get
        little more than muscle because T1 does not tell bone from tendon: a guess of bone costs more than it gains.
    """

    title: ClassVar[str] = "T1 table of bulk densities"
    dark_below: float
    fat_above: float
    dark_hu: float = 50.0
    soft_hu: float = 30.0
    fat_hu: float = -85.0

    def __post_init__(self) -> None:
        if not self.dark_below < self.fat_above:
            raise EvaluationError(
                f"A T1 table needs dark tissue below fat: found thresholds {self.dark_below} and {self.fat_above}."
            )

    @classmethod
    def fit(
        cls, mr_values: Sequence[Array], *, dark_hu: float = 50.0, soft_hu: float = 30.0, fat_hu: float = -85.0
    ) -> T1Table:
        """Fit the thresholds on body voxels of training MR (flat arrays, pooled); no CT takes part.

        Notes
        -----
        Fat lies above the threshold of Otsu 1979 (doi:10.1109/TSMC.1979.4310076, 256 bins between the 0.5th and 99.5th
        percentile), dark tissue closer to the lowest value (its 0.5th percentile) than to the median of what is not
        fat. A free choice, good where muscle and fat are the two large classes.
        """
        values = _pooled(mr_values, "MR")
        low, high = np.percentile(values, [0.5, 99.5])
        if not low < high:
            raise EvaluationError("A T1 table needs MR values that differ: found a constant.")
        fat_above = _otsu_threshold(values[(values >= low) & (values <= high)])
        soft = float(np.median(values[values < fat_above]))
        return cls((float(low) + soft) / 2, fat_above, dark_hu, soft_hu, fat_hu)

    def __call__(self, mr: Array, body: BoolArray) -> FloatArray:
        """Return HU of the shape of ``mr``."""
        table = np.array([self.dark_hu, self.soft_hu, self.fat_hu], dtype=np.float32)
        return _inside(table[np.digitize(mr, [self.dark_below, self.fat_above])], mr, body)


@dataclass(frozen=True)
class MedianPerBin:
    """The median HU of each bin of MR intensity, from *paired* voxels: an unfair bound for unpaired methods.

    It is what the best voxelwise map would reach (in MAE, up to the bins) with registered pairs of other subjects; a
    method that sees no pairs may be reported beside it, never as beaten by it on equal terms.
    """

    title: ClassVar[str] = "median HU per MR bin (paired: an unfair bound)"
    edges: tuple[float, ...]
    hu: tuple[float, ...]

    @classmethod
    def fit(cls, *, mr_values: Sequence[Array], hu_values: Sequence[Array], bins: int = 64) -> MedianPerBin:
        """Fit on body voxels of other subjects, MR and HU of the same voxels in the same order.

        Bins hold equal numbers of voxels; where many voxels share one value, fewer bins remain.

        Raises
        ------
        EvaluationError
            If MR and HU do not pair up, or there are no values.
        """
        sizes = [np.shape(a) == np.shape(b) for a, b in zip(mr_values, hu_values)]
        if len(mr_values) != len(hu_values) or not all(sizes):
            raise EvaluationError(
                "A median per bin needs MR and HU of the same voxels: found arrays that do not pair up."
            )
        if bins < 1:
            raise EvaluationError(f"A median per bin needs at least one bin: found {bins}.")
        mr, hu = _pooled(mr_values, "MR"), _pooled(hu_values, "HU")
        edges = np.unique(np.quantile(mr, np.linspace(0, 1, bins + 1)[1:-1]).astype(np.float32))
        place = np.digitize(mr, edges)
        kept, compact = np.unique(place, return_inverse=True)
        order = np.argsort(compact, kind="stable")
        groups = np.split(hu[order], np.cumsum(np.bincount(compact))[:-1])
        # An edge stays where a bin with voxels begins, so that no bin is without a median.
        return cls(tuple(edges[kept[1:] - 1].tolist()), tuple(float(np.median(g)) for g in groups))

    def __call__(self, mr: Array, body: BoolArray) -> FloatArray:
        """Return HU of the shape of ``mr``."""
        return _inside(np.asarray(self.hu, dtype=np.float32)[np.digitize(mr, self.edges)], mr, body)


def _inside(hu: Array, mr: Array, body: BoolArray) -> FloatArray:
    if body.dtype != np.bool_ or body.shape != mr.shape:
        raise EvaluationError(
            f"A baseline needs a body mask of booleans of shape {mr.shape}: found {body.dtype} of shape {body.shape}."
        )
    return np.where(body, np.asarray(hu, dtype=np.float32), np.float32(OUTSIDE_HU))


def _pooled(values: Sequence[Array], what: str) -> FloatArray:
    pooled = np.concatenate([np.ravel(v) for v in values] or [np.empty(0)]).astype(np.float32)
    if pooled.size == 0:
        raise EvaluationError(f"A baseline is fitted on {what} values of training bodies: found none.")
    return pooled


def _otsu_threshold(values: FloatArray, bins: int = 256) -> float:
    """Return the threshold that maximizes the variance between two classes of a histogram."""
    count, edges = np.histogram(values, bins)
    center = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(count)[:-1]
    above = values.size - below
    sums = np.cumsum(count * center)
    distance = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * distance**2)])
