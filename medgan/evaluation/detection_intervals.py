"""How sure average precision, AUROC and sensitivities are: intervals by drawing subjects again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.cohort_summary import FEWEST_SUBJECTS
from medgan.evaluation.detection import FALSE_POSITIVES, CaseDetections

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class DetectionIntervals:
    """95 % intervals of a :class:`~medgan.evaluation.detection.DetectionSummary`; None where there is none.

    ``sensitivities`` are those at the rates of false positives that were asked for, in their order.
    """

    average_precision: Interval | None
    auroc: Interval | None
    sensitivities: tuple[Interval | None, ...]


def detection_intervals(
    cases: Sequence[CaseDetections],
    *,
    generator: np.random.Generator,
    false_positives: Sequence[float] = FALSE_POSITIVES,
    resamples: int = 2000,
) -> DetectionIntervals:
    """Return percentile intervals of the measures of detection, by bootstrap over subjects.

    Parameters
    ----------
    cases : sequence of CaseDetections
    generator : numpy.random.Generator
        The same state gives the same intervals.
    false_positives : sequence of float
    resamples : int

    Raises
    ------
    EvaluationError
        If there is no case.

    Notes
    -----
    Every measure is a function of how often each subject was drawn, so that all resamples are computed at once; with
    every subject drawn once it is that of :func:`~medgan.evaluation.detection.detection_summary`. Resamples without a
    lesion (for the AUROC: without one of the two groups) are left out.
    """
    if not cases:
        raise EvaluationError("A detection is measured on at least one case: found none.")
    subjects = sorted({case.subject_id for case in cases})
    if len(subjects) < FEWEST_SUBJECTS:
        return DetectionIntervals(None, None, (None,) * len(false_positives))
    count = len(subjects)
    weights = generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    precision, area, sensitivities = weighted_measures(cases, weights, false_positives=false_positives)
    return DetectionIntervals(
        average_precision=_interval(precision),
        auroc=_interval(area),
        sensitivities=tuple(_interval(column) for column in sensitivities.T),
    )


def weighted_measures(
    cases: Sequence[CaseDetections], weights: Floats, *, false_positives: Sequence[float] = FALSE_POSITIVES
) -> tuple[Floats, Floats, Floats]:
    """Return average precision (R,), AUROC (R,) and sensitivities (R, rates) of R resamples; NaN if undefined.

    Parameters
    ----------
    cases : sequence of CaseDetections
    weights : (R, S) float64
        How often each of the sorted subjects counts.
    false_positives : sequence of float
    """
    subjects = sorted({case.subject_id for case in cases})
    place = {subject: number for number, subject in enumerate(subjects)}
    lesions, scores = np.zeros(len(subjects)), np.zeros(len(subjects))
    found = []
    for case in cases:
        where = place[case.subject_id]
        lesions[where] += case.lesions
        scores[where] = max(scores[where], case.score)
        found += [(confidence, hit, where) for confidence, hit in case.found]
    found.sort(key=lambda each: -each[0])
    confidence = np.array([each[0] for each in found], dtype=np.float64)
    hits = np.array([each[1] for each in found], dtype=np.float64)
    owner = np.array([each[2] for each in found], dtype=np.intp)
    # Ties are accepted together, as in detection_summary.
    last = np.append(np.diff(confidence) != 0, True)[: confidence.size].astype(bool)
    drawn = weights[:, owner]
    true = np.cumsum(drawn * hits, axis=1)[:, last]
    false = np.cumsum(drawn * (1 - hits), axis=1)[:, last]
    total, people = weights @ lesions, weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.diff(np.concatenate([np.zeros((len(weights), 1)), true], axis=1), axis=1) / total[:, None]
        precision = (steps * true / np.maximum(true + false, 1)).sum(axis=1)
        precision[total == 0] = np.nan
        columns = []
        for rate in false_positives:
            allowed = np.where(false <= rate * people[:, None] + 1e-9, true, 0.0)
            columns.append(allowed.max(axis=1, initial=0.0) / total)
        sick = lesions > 0
        higher = (scores[sick][:, None] > scores[~sick]) + 0.5 * (scores[sick][:, None] == scores[~sick])
        pairs = weights[:, sick].sum(axis=1) * weights[:, ~sick].sum(axis=1)
        area = np.einsum("rp,pn,rn->r", weights[:, sick], higher, weights[:, ~sick]) / pairs
    return precision, area, np.stack(columns, axis=1)


def _interval(values: Floats) -> Interval | None:
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
