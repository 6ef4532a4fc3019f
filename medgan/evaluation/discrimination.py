"""How well scores tell two classes apart: the area under the ROC curve with an interval by subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from medgan.errors import EvaluationError

COVERAGE = 0.95


@dataclass(frozen=True)
class AreaUnderCurve:
    """An area under the ROC curve.

    Parameters
    ----------
    value : float
    low, high : float
        Percentile bootstrap interval of 95 %.
    positives, negatives : int
    subjects : int
        Units of the bootstrap.
    resamples : int
        That held both classes and count.
    """

    value: float
    low: float
    high: float
    positives: int
    negatives: int
    subjects: int
    resamples: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    @property
    def text(self) -> str:
        """Value and interval for people."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def roc_auc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Return the probability that an image of class 1 scores higher than one of class 0; ties count one half.

    Raises
    ------
    EvaluationError
        If a class is missing, a label is neither 0 nor 1, or a score is not finite.

    Notes
    -----
    The Mann-Whitney statistic by mid-ranks (Hanley and McNeil 1982, doi 10.1148/radiology.143.1.7063747).

    Examples
    --------
    >>> roc_auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875
    """
    values, truth = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(labels).ravel()
    if len(values) != len(truth) or not np.isfinite(values).all() or set(np.unique(truth).tolist()) != {0, 1}:
        raise EvaluationError(
            f"An area under the curve needs finite scores and labels of both classes, 0 and 1: found {len(values)} "
            f"scores ({int((~np.isfinite(values)).sum())} not finite) and the labels {np.unique(truth).tolist()}."
        )
    return _area(values, truth == 1)


def auc_with_interval(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    subject_ids: Sequence[str],
    generator: np.random.Generator,
    resamples: int = 2000,
) -> AreaUnderCurve:
    """Return the area under the curve with a bootstrap interval.

    Parameters
    ----------
    scores, labels : (N,)
        Labels 0 and 1.
    subject_ids : sequence of str
        All images of a drawn subject come together; one a image where subjects are not known.
    generator : numpy.random.Generator
    resamples : int

    Raises
    ------
    EvaluationError
        As :func:`roc_auc`.

    Notes
    -----
    Percentile bootstrap by subject; resamples in which a class is missing do not count.
    """
    value = roc_auc(scores, labels)
    values, truth = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(labels).ravel() == 1
    if len(subject_ids) != len(values):
        raise EvaluationError(f"Each score needs a subject: found {len(subject_ids)} for {len(values)} scores.")
    _, owner = np.unique(np.asarray(subject_ids), return_inverse=True)
    places = [np.flatnonzero(owner == subject) for subject in range(int(owner.max()) + 1)]
    areas = []
    for _ in range(resamples):
        drawn = np.concatenate([places[i] for i in generator.integers(len(places), size=len(places))])
        if 0 < truth[drawn].sum() < len(drawn):
            areas.append(_area(values[drawn], truth[drawn]))
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(areas, [tail, 100 - tail]) if areas else (value, value)
    return AreaUnderCurve(
        value=value,
        low=float(low),
        high=float(high),
        positives=int(truth.sum()),
        negatives=int((~truth).sum()),
        subjects=len(places),
        resamples=len(areas),
    )


def _area(values: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float:
    count = int(positive.sum())
    rank_sum = float(rankdata(values)[positive].sum())
    return (rank_sum - count * (count + 1) / 2) / (count * (len(values) - count))
