"""Whether lesions are found: hits, average precision, free-response curve, and subjects told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.lesions import BoolArray, Candidate

LEAST_OVERLAP = 0.1
"""Intersection over union that makes a candidate a hit, as in PI-CAI."""
FALSE_POSITIVES = (0.5, 1.0, 2.0)
"""Mean false positives a subject at which the sensitivity is reported."""


@dataclass(frozen=True)
class CaseDetections:
    """What was found in one case.

    Parameters
    ----------
    case_id, subject_id : str
    lesions : int
        That the expert delineated.
    found : tuple of (confidence, is a hit)
        One a candidate; a lesion is hit once at most.
    """

    case_id: str
    subject_id: str
    lesions: int
    found: tuple[tuple[float, bool], ...]

    @property
    def score(self) -> float:
        """Confidence that the case has a lesion: the highest of its candidates, 0 without one."""
        return max((confidence for confidence, _ in self.found), default=0.0)


def matched(
    found: Sequence[Candidate],
    lesions: Sequence[BoolArray],
    *,
    case_id: str,
    subject_id: str,
    least_overlap: float = LEAST_OVERLAP,
) -> CaseDetections:
    """Match candidates with an expert's lesions.

    Parameters
    ----------
    found : sequence of Candidate
    lesions : sequence of (I, J, K) bool
    case_id, subject_id : str
    least_overlap : float
        Intersection over union of a hit.

    Notes
    -----
    Saha et al. 2024 (PI-CAI, doi 10.1016/S1470-2045(24)00220-1): a hit needs an overlap of 0.1; one candidate for each
    lesion, so that the sum of overlaps is largest (Hungarian assignment); every other candidate is a false positive.
    """
    from scipy.optimize import linear_sum_assignment

    overlap = np.zeros((len(found), len(lesions)))
    for a, candidate in enumerate(found):
        for b, lesion in enumerate(lesions):
            common = int(np.count_nonzero(candidate.mask & lesion))
            union = int(np.count_nonzero(candidate.mask)) + int(np.count_nonzero(lesion)) - common
            overlap[a, b] = common / union
    overlap[overlap < least_overlap] = 0.0
    rows, columns = linear_sum_assignment(-overlap)
    hits = {int(a) for a, b in zip(rows, columns) if overlap[a, b] > 0}
    outcomes = tuple((candidate.confidence, a in hits) for a, candidate in enumerate(found))
    return CaseDetections(case_id, subject_id, len(lesions), outcomes)


@dataclass(frozen=True)
class FrocPoint:
    """Sensitivity over all lesions where at most so many false positives a subject are accepted."""

    false_positives: float
    sensitivity: float


@dataclass(frozen=True)
class DetectionSummary:
    """Detection over a cohort.

    Parameters
    ----------
    lesions, subjects, subjects_with_lesion : int
    average_precision : float or None
        None without a lesion.
    auroc : float or None
        By subject; None unless there are subjects with and without lesions.
    froc : tuple of FrocPoint
    largest_sensitivity : float or None
        With every candidate accepted.
    """

    lesions: int
    subjects: int
    subjects_with_lesion: int
    average_precision: float | None
    auroc: float | None
    froc: tuple[FrocPoint, ...]
    largest_sensitivity: float | None


def detection_summary(
    cases: Sequence[CaseDetections], *, false_positives: Sequence[float] = FALSE_POSITIVES
) -> DetectionSummary:
    """Return average precision by lesion, AUROC by subject and the free-response curve at some rates.

    Raises
    ------
    EvaluationError
        If there is no case.

    Notes
    -----
    Average precision: the area under precision against recall as a step function, recall counted over all lesions, also
    those without a candidate. A subject's score is the highest of its cases'. Ties are accepted together.
    """
    if not cases:
        raise EvaluationError("A detection is measured on at least one case: found none.")
    subjects = sorted({case.subject_id for case in cases})
    score = {s: max(case.score for case in cases if case.subject_id == s) for s in subjects}
    sick = {s: any(case.lesions for case in cases if case.subject_id == s) for s in subjects}
    lesions = sum(case.lesions for case in cases)
    confidence, true, false = _accepted(cases)
    points = tuple(
        FrocPoint(rate, _sensitivity_at(true, false, lesions, rate * len(subjects))) for rate in false_positives
    )
    return DetectionSummary(
        lesions=lesions,
        subjects=len(subjects),
        subjects_with_lesion=sum(sick.values()),
        average_precision=_average_precision(true, false, lesions) if lesions else None,
        auroc=auroc([score[s] for s in subjects], [sick[s] for s in subjects]),
        froc=points if lesions else (),
        largest_sensitivity=(float(true[-1]) / lesions if confidence.size else 0.0) if lesions else None,
    )


def froc_curve(cases: Sequence[CaseDetections]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return false positives a subject and sensitivity at every confidence, from (0, 0)."""
    lesions, subjects = sum(case.lesions for case in cases), len({case.subject_id for case in cases})
    _, true, false = _accepted(cases)
    return np.concatenate([[0], false / max(subjects, 1)]), np.concatenate([[0], true / max(lesions, 1)])


def auroc(scores: Sequence[float], truths: Sequence[bool]) -> float | None:
    """Return the probability that a score of the positives exceeds one of the negatives, ties counted half.

    Examples
    --------
    >>> auroc([0.9, 0.4, 0.4], [True, True, False]), auroc([1.0], [True])
    (0.75, None)
    """
    from scipy.stats import rankdata

    positive = np.asarray(truths, dtype=bool)
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return None
    ranks = rankdata(np.asarray(scores, dtype=np.float64))
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def _accepted(cases: Sequence[CaseDetections]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return confidences, falling, and how many hits and false positives are accepted at each."""
    every = sorted((found for case in cases for found in case.found), key=lambda each: -each[0])
    confidence = np.array([c for c, _ in every], dtype=np.float64)
    hits = np.array([hit for _, hit in every], dtype=np.float64)
    last_of_ties = np.append(np.diff(confidence) != 0, True)[: confidence.size].astype(bool)
    return confidence[last_of_ties], np.cumsum(hits)[last_of_ties], np.cumsum(1 - hits)[last_of_ties]


def _average_precision(true: npt.NDArray[np.float64], false: npt.NDArray[np.float64], lesions: int) -> float:
    if not true.size:
        return 0.0
    steps = np.diff(np.concatenate([[0.0], true])) / lesions
    return float((steps * true / np.maximum(true + false, 1)).sum())


def _sensitivity_at(
    true: npt.NDArray[np.float64], false: npt.NDArray[np.float64], lesions: int, most_false: float
) -> float:
    allowed = true[false <= most_false + 1e-9]
    return float(allowed.max()) / lesions if allowed.size and lesions else 0.0
