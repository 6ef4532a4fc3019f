"""The published curve step by step, as slow as it is printed: the reference that the fast one is measured against."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from medgan.explanation.curve import CurveSettings, interpolated, score_curves
from medgan.explanation.discriminative import PairBatch, Preset, normalized
from medgan.explanation.hybrid import exchanges
from medgan.explanation.masks import MaskShape, ellipse_offsets, gaussian_kernel, thresholds
from medgan.explanation.scored_classifier import ScoredClassifier


@dataclass(frozen=True, eq=False)
class LiteralCurve:
    """Areas and scores at every threshold, the area under the curve, and what it cost.

    Parameters
    ----------
    areas, scores : (T,) float64
    dac : float
    passes : int
        Forward passes of one image.
    classifier_seconds : float
        Spent in them.
    """

    areas: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    dac: float
    passes: int
    classifier_seconds: float


def literal_curve(
    classifier: ScoredClassifier,
    pair: PairBatch,
    maps: Tensor,
    *,
    preset: Preset = "dapi",
    closing: bool = True,
) -> LiteralCurve:
    """Return the curve of one pair: a mask, a blur, a hybrid and its forward pass for each threshold, one by one.

    Parameters
    ----------
    pair : PairBatch
        Of one pair.
    maps : (1, 1, ...)
        One method's map.

    Notes
    -----
    dapi's ``mask.py`` classifies the unchanged image again at every threshold, and so does this for that preset; QuAC
    classifies it once.
    """
    spent, passes = 0.0, 0

    def score(image: Tensor) -> float:
        nonlocal spent, passes
        began = time.perf_counter()
        value = float(classifier.probabilities(image)[0, exchange.wanted])
        spent, passes = spent + time.perf_counter() - began, passes + 1
        return value

    exchange = exchanges(pair, preset)[0]
    values = normalized(maps, preset)[0, 0].cpu().numpy()
    sizes = MaskShape.scaled(values.shape, closing=closing)
    inserted, into = exchange.inserted, exchange.into
    start, end = score(into), score(inserted)
    areas, scores = [], []
    for cut in thresholds(preset):
        mask = values.astype(np.float64) > cut
        if sizes.closing_px > 1:
            mask = _closed_mask(mask, sizes.closing_px)
        areas.append(mask.sum() / mask.size)
        soft = mask.astype(np.float32)
        for axis in range(soft.ndim):
            soft = ndimage.correlate1d(soft, gaussian_kernel(sizes.blur_px), axis=axis, mode="mirror")
        weight = torch.from_numpy(soft)[None, None]
        hybrid = weight * inserted + (1 - weight) * into
        if preset == "dapi":
            start = score(into)
        scores.append(score(hybrid) - start)
    line = interpolated(areas, scores, end - start)
    dac = float(np.trapezoid(line, np.arange(101) / 100))
    return LiteralCurve(np.array(areas), np.array(scores), dac, passes, spent)


def _closed_mask(mask: npt.NDArray[np.bool_], diameter: int) -> npt.NDArray[np.bool_]:
    offsets = np.array(ellipse_offsets(diameter, mask.ndim))
    reach = int(np.abs(offsets).max())
    element = np.zeros((2 * reach + 1,) * mask.ndim, dtype=bool)
    element[tuple((offsets + reach).T)] = True
    # SciPy reflects the element in a dilation, OpenCV does not.
    flipped = element[(slice(None, None, -1),) * mask.ndim]
    grown = ndimage.binary_dilation(mask, flipped, border_value=0)
    return np.asarray(ndimage.binary_erosion(grown, element, border_value=1))


@dataclass(frozen=True)
class CurveTiming:
    """How much faster curves are than the literal reference, and how far they differ.

    Parameters
    ----------
    pairs, literal_pairs : int
        Timed by the fast way, and by the literal one.
    seconds, literal_seconds : float
        For one pair (and one map), mean.
    speedup : float
        Ratio of the two.
    classifier_speedup : float
        The same with only the literal reference's forward passes counted, so that a slow way to close a mask does not
        flatter the fast way.
    area_deviation : float
        Largest absolute difference of the area under the curve, over the pairs that both computed.
    bfloat16_seconds, bfloat16_deviation : float or None
        The same with bfloat16, against the fast float32 areas of all pairs; None where it was not asked for.
    passes, literal_passes : float
        Forward passes of one image for a pair, mean.
    """

    pairs: int
    literal_pairs: int
    seconds: float
    literal_seconds: float
    speedup: float
    classifier_speedup: float
    area_deviation: float
    bfloat16_seconds: float | None
    bfloat16_deviation: float | None
    passes: float
    literal_passes: float


def timed_curves(
    classifier: ScoredClassifier,
    pair: PairBatch,
    maps: Tensor,
    *,
    preset: Preset = "dapi",
    batch: int = 32,
    literal_pairs: int | None = None,
    bfloat16: bool = False,
) -> CurveTiming:
    """Time curves of many pairs against the literal reference, in turns in one process.

    Parameters
    ----------
    pair : PairBatch
        Of N pairs.
    maps : (N, 1, ...)
        One method's maps, computed before and not timed in either way.
    literal_pairs : int, optional
        Compute only the first so many literally; by default all.
    bfloat16 : bool
        Also time and compare bfloat16.
    """
    count = len(pair.real)
    slow = count if literal_pairs is None else min(max(literal_pairs, 1), count)
    settings = CurveSettings(preset=preset, batch=batch, fine_areas=0, perturbation_steps=0)
    _one(pair, 0)
    classifier.probabilities(pair.real[:1])  # what is compiled or allocated once belongs to neither
    fast_seconds, literal_seconds, in_classifier, fast, literal, passes, literal_passes = 0.0, 0.0, 0.0, [], [], 0, 0
    for number in range(count):
        one, own = _one(pair, number), maps[number : number + 1]
        began = time.perf_counter()
        curve = score_curves(classifier, one, {"map": own}, settings=settings)[0]["map"]
        fast_seconds += time.perf_counter() - began
        fast.append(curve.dac)
        passes += curve.distinct_masks + 2
        if number < slow:
            began = time.perf_counter()
            reference = literal_curve(classifier, one, own, preset=preset)
            literal_seconds += time.perf_counter() - began
            literal.append(reference.dac)
            in_classifier += reference.classifier_seconds
            literal_passes += reference.passes
    half_seconds = half_deviation = None
    if bfloat16:
        half = CurveSettings(preset=preset, batch=batch, fine_areas=0, perturbation_steps=0, precision="bfloat16")
        began = time.perf_counter()
        found = [
            score_curves(classifier, _one(pair, n), {"map": maps[n : n + 1]}, settings=half)[0]["map"].dac
            for n in range(count)
        ]
        half_seconds = (time.perf_counter() - began) / count
        half_deviation = float(np.abs(np.array(found) - np.array(fast)).max())
    return CurveTiming(
        pairs=count,
        literal_pairs=slow,
        seconds=fast_seconds / count,
        literal_seconds=literal_seconds / slow,
        speedup=(literal_seconds / slow) / (fast_seconds / count),
        classifier_speedup=(in_classifier / slow) / (fast_seconds / count),
        area_deviation=float(np.abs(np.array(fast[:slow]) - np.array(literal)).max()),
        bfloat16_seconds=half_seconds,
        bfloat16_deviation=half_deviation,
        passes=passes / count,
        literal_passes=literal_passes / slow,
    )


def _one(pair: PairBatch, number: int) -> PairBatch:
    return PairBatch(
        real=pair.real[number : number + 1],
        fake=pair.fake[number : number + 1],
        source=pair.source,
        target=pair.target,
    )
