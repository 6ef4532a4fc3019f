"""Are predicted probabilities frequencies?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medgan.errors import ExplanationError
from medgan.explanation.explanation import Calibration, Rate, ReliabilityBin


def calibration(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, images: str, positive: int | None = None, bins: int = 10
) -> Calibration:
    """Return reliability, expected calibration error and Brier score.

    Parameters
    ----------
    probabilities : (N, classes)
    labels : (N,) int
        True class; for fakes the class that was asked for.
    images : str
        ``"real"`` or ``"fake"``.
    positive : int, optional
        Judge the probability of this class against having it. By default the largest probability is judged against
        being right (confidence calibration).
    bins : int
        Of equal width.

    Raises
    ------
    ExplanationError
        If there is no image, or labels do not fit.

    Notes
    -----
    ``ECE = sum_b n_b / n |observed_b - confidence_b|`` (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599). Bins
    are half open, ``(low, high]``, the first one closed.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    if p.ndim != 2 or not len(p) or y.shape != (len(p),) or y.min() < 0 or y.max() >= p.shape[1]:
        raise ExplanationError(
            f"Calibration needs (images, classes) probabilities and a class for each image: found {p.shape}, {y.shape}."
        )
    if positive is None:
        confidence = p.max(axis=1)
        right = p.argmax(axis=1) == y
    else:
        confidence, right = p[:, positive], y == positive
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    rows, error, worst = [], 0.0, 0.0
    for number in range(bins):
        inside = place == number
        observed = Rate(int(right[inside].sum()), int(inside.sum()))
        mean = float(confidence[inside].mean()) if inside.any() else None
        if mean is not None and observed.value is not None:
            gap = abs(observed.value - mean)
            error, worst = error + gap * inside.mean(), max(worst, gap)
        rows.append(ReliabilityBin(float(edges[number]), float(edges[number + 1]), mean, observed))
    brier = float(np.square(confidence - right).mean())
    return Calibration(images, tuple(rows), float(error), worst, brier)
