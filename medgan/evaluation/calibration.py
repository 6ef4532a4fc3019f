"""Whether probabilities mean what they say: reliability, expected calibration error, temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError

Array = npt.NDArray[np.floating]

BINS = 15
_FLOOR = 1e-7
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Reliability:
    """Confidence against truth in bins of equal width; ``None`` in a bin without a voxel.

    Parameters
    ----------
    edges : tuple of float
        One more than bins.
    counts : tuple of int
    confidence, frequency : tuple of float or None
        Mean probability, and share of voxels that are of the class.
    ece : float
        Expected calibration error.
    brier : float
        Mean squared difference of probability and truth.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    confidence: tuple[float | None, ...]
    frequency: tuple[float | None, ...]
    ece: float
    brier: float


def reliability(probability: Array, truth: npt.NDArray[np.bool_], *, bins: int = BINS) -> Reliability:
    """Return the reliability of one class's probabilities.

    Parameters
    ----------
    probability : (n,) in [0, 1]
    truth : (n,) bool
    bins : int

    Raises
    ------
    EvaluationError
        If shapes differ, there is no voxel, or a probability is out of range.

    Notes
    -----
    ``ECE = sum_b n_b / n |mean p_b - share of true_b|`` with bins of equal width (Guo et al. 2017, arXiv 1706.04599,
    eq. 3), for the probability of one class and not for the most probable one.
    """
    if probability.shape != truth.shape or probability.ndim != 1 or not probability.size:
        raise EvaluationError(
            f"A reliability needs one truth a probability: found {probability.shape} and {truth.shape}."
        )
    if not (probability.min() >= 0 and probability.max() <= 1):
        raise EvaluationError("A reliability needs probabilities in [0, 1].")
    values = probability.astype(np.float64)
    place = np.minimum((values * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums, trues = np.bincount(place, values, bins), np.bincount(place, truth, bins)
    some = np.maximum(counts, 1)
    ece = float((np.abs(sums - trues)).sum() / values.size)
    return Reliability(
        edges=tuple(np.linspace(0, 1, bins + 1).tolist()),
        counts=tuple(int(n) for n in counts),
        confidence=tuple(float(s / n) if c else None for s, n, c in zip(sums, some, counts)),
        frequency=tuple(float(t / n) if c else None for t, n, c in zip(trues, some, counts)),
        ece=ece,
        brier=float(np.mean((values - truth) ** 2)),
    )


def scaled(probabilities: Array, temperature: float, *, axis: int = 0) -> npt.NDArray[np.float64]:
    """Return class probabilities after dividing their logits by a temperature.

    Notes
    -----
    ``softmax(log p / T)``: logits are known from probabilities but for a constant, which softmax ignores.

    Examples
    --------
    >>> scaled(np.array([0.8, 0.2]), 1.0).round(3).tolist(), scaled(np.array([0.8, 0.2]), 2.0).round(3).tolist()
    ([0.8, 0.2], [0.667, 0.333])
    """
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), _FLOOR)) / temperature
    logits -= logits.max(axis=axis, keepdims=True)
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def fitted_temperature(probabilities: Sequence[Array], labels: Sequence[npt.NDArray[np.integer]]) -> float:
    """Return the temperature that makes labels most likely, between 0.05 and 20.

    Parameters
    ----------
    probabilities : sequence of (classes, n)
        Of validation subjects, voxel by voxel.
    labels : sequence of (n,) integers
        Class numbers of the same voxels.

    Raises
    ------
    EvaluationError
        If there is no voxel.

    Notes
    -----
    Guo et al. 2017 (arXiv 1706.04599), temperature scaling: minimizes the mean of ``-log softmax(z / T)_y`` (convex in
    1 / T) by a bounded search over log T.
    """
    from scipy.optimize import minimize_scalar

    logs = [np.log(np.maximum(np.asarray(p, np.float64), _FLOOR)) for p in probabilities]
    voxels = sum(log.shape[1] for log in logs)
    if not voxels:
        raise EvaluationError("A temperature is fitted on voxels of validation subjects: found none.")

    def loss(log_temperature: float) -> float:
        total = 0.0
        for log, label in zip(logs, labels):
            z = log / np.exp(log_temperature)
            top = z.max(axis=0)
            normalizer = top + np.log(np.exp(z - top).sum(axis=0))
            total += float((normalizer - z[label, np.arange(z.shape[1])]).sum())
        return total / voxels

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4}).x))


@dataclass(frozen=True)
class ErrorByUncertainty:
    """Share of wrong voxels in groups of rising uncertainty, each with as many voxels as the others.

    ``rank_correlation`` is Spearman's of uncertainty and being wrong, over voxels; ``grows`` says whether it is
    positive and the most uncertain group is wrong more often than the least uncertain one.
    """

    uncertainty: tuple[float, ...]
    error: tuple[float, ...]
    rank_correlation: float

    @property
    def grows(self) -> bool:
        """Whether error grows with uncertainty."""
        return self.rank_correlation > 0 and self.error[-1] > self.error[0]


def error_by_uncertainty(uncertainty: Array, wrong: npt.NDArray[np.bool_], *, groups: int = 5) -> ErrorByUncertainty:
    """Return how the error grows with an uncertainty such as the entropy.

    Raises
    ------
    EvaluationError
        If there are fewer voxels than groups, or shapes differ.

    Notes
    -----
    One sort of millions of voxels gives both groups and ranks; ties share their mean rank.
    """
    if uncertainty.shape != wrong.shape or uncertainty.size < groups:
        raise EvaluationError(
            f"Uncertainty and error need one value a voxel, and {groups} voxels: found {uncertainty.shape} and "
            f"{wrong.shape}."
        )
    order = np.argsort(uncertainty, kind="stable")
    parts = np.array_split(order, groups)
    ranks = _ranks(uncertainty, order)
    # Of two values the ranks are two numbers, of which the correlation needs only that they differ.
    errors = np.asarray(wrong, np.float64)
    spread = float(ranks.std() * errors.std())
    correlation = float(((ranks - ranks.mean()) * (errors - errors.mean())).mean()) / spread if spread else 0.0
    return ErrorByUncertainty(
        uncertainty=tuple(float(uncertainty[part].mean()) for part in parts),
        error=tuple(float(wrong[part].mean()) for part in parts),
        rank_correlation=correlation,
    )


def _ranks(values: Array, order: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return ranks from 1, ties averaged, of values that ``order`` sorts."""
    ordered = values[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    sizes = np.diff(np.append(starts, ordered.size))
    ranks = np.empty(values.size)
    ranks[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return ranks
