"""Whether a classifier's confidence means what it says: reliability of its calls, and one temperature that mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from medgan.errors import EvaluationError

COOLEST, HOTTEST = 0.05, 20.0
"""Temperatures that are tried."""


@dataclass(frozen=True)
class CallReliability:
    """Confidence against accuracy in bins of equal width.

    Parameters
    ----------
    edges : tuple of float
        Of the bins, one more than there are bins.
    counts : tuple of int
    confidence, accuracy : tuple of float or None
        Mean probability of the called class, and share of right calls; None in an empty bin.
    error : float
        Expected calibration error: mean of ``|accuracy - confidence|`` over images.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    error: float

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def call_reliability(probabilities: npt.ArrayLike, labels: npt.ArrayLike, *, bins: int = 10) -> CallReliability:
    """Return how often calls of each confidence are right.

    Parameters
    ----------
    probabilities : (N, K)
        Rows that sum to 1.
    labels : (N,)
        Number of the true class.
    bins : int

    Raises
    ------
    EvaluationError
        If the shapes do not fit, there is no image, or rows do not sum to 1.

    Notes
    -----
    Guo et al. 2017 (arXiv 1706.04599), equation 3: confidence is the probability of the called class, bins are of equal
    width over [0, 1], and the error weights them by their images. It depends on the number of bins and is biased
    upward for few images.

    Examples
    --------
    >>> call_reliability([[0.1, 0.9], [0.1, 0.9]], [1, 0]).error
    0.4
    """
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels).ravel()
    if p.ndim != 2 or len(p) != len(truth) or not len(p):
        raise EvaluationError(f"Calibration needs probabilities (N, K) with N labels: found {p.shape}, {truth.shape}.")
    if not np.isfinite(p).all() or not np.allclose(p.sum(axis=1), 1, atol=1e-3) or p.min() < -1e-6:
        raise EvaluationError("Calibration needs rows of probabilities that sum to 1: found others.")
    confident, right = p.max(axis=1), p.argmax(axis=1) == truth
    place = np.clip(np.ceil(confident * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, weights=values, minlength=bins) for values in (confident, right.astype(float))]
    means = [[float(s / n) if n else None for s, n in zip(column, counts)] for column in sums]
    return CallReliability(
        edges=tuple(np.linspace(0, 1, bins + 1).tolist()),
        counts=tuple(counts.tolist()),
        confidence=tuple(means[0]),
        accuracy=tuple(means[1]),
        error=float(np.abs(sums[1] - sums[0]).sum() / len(truth)),
    )


def fitted_logit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the temperature T whose ``softmax(logits / T)`` has the least negative log-likelihood.

    Parameters
    ----------
    logits : (N, K)
        Of validation images.
    labels : (N,)

    Raises
    ------
    EvaluationError
        If the shapes do not fit or a logit is not finite.

    Notes
    -----
    Guo et al. 2017, section 4.2. One number, fitted on validation images only; it changes no ranking and no call.
    """
    z, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels).ravel()
    if z.ndim != 2 or len(z) != len(truth) or not len(z) or not np.isfinite(z).all():
        raise EvaluationError(f"A temperature needs finite logits (N, K) with labels: found {z.shape}, {truth.shape}.")
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(z / np.exp(log_temperature), axis=1)[rows, truth].mean())

    found = minimize_scalar(loss, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))
