"""Intervals of detection measures: the same measures with every subject once, and wider with fewer subjects."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.detection import CaseDetections, detection_summary
from medgan.evaluation.detection_intervals import detection_intervals, weighted_measures


def cohort(subjects: int, seed: int = 1) -> list[CaseDetections]:
    rng = np.random.default_rng(seed)
    cases = []
    for n in range(subjects):
        lesions = int(rng.random() < 0.6)
        found = [(round(float(rng.random()), 1), False) for _ in range(int(rng.integers(0, 4)))]
        if lesions and rng.random() < 0.8:
            found.append((round(float(rng.uniform(0.4, 1)), 1), True))
        cases.append(CaseDetections(f"c{n}", f"s{n // 2}" if n < 4 else f"s{n}", lesions, tuple(found)))
    return cases


@pytest.mark.parametrize("seed", range(5))
def test_with_every_subject_once_they_are_the_measures_themselves(seed):
    cases = cohort(14, seed)
    summary = detection_summary(cases)
    precision, area, sensitivities = weighted_measures(cases, np.ones((1, summary.subjects)))
    assert precision[0] == pytest.approx(summary.average_precision)
    assert area[0] == pytest.approx(summary.auroc)
    assert sensitivities[0] == pytest.approx([point.sensitivity for point in summary.froc])


def test_a_subject_drawn_twice_is_two_subjects():
    cases = cohort(10)
    subjects = sorted({case.subject_id for case in cases})
    weights = np.ones((1, len(subjects)))
    weights[0, 3] = 2
    twin = [CaseDetections(f"{c.case_id}b", "twin", c.lesions, c.found) for c in cases if c.subject_id == subjects[3]]
    summary = detection_summary([*cases, *twin])
    precision, area, sensitivities = weighted_measures(cases, weights)
    assert precision[0] == pytest.approx(summary.average_precision)
    assert area[0] == pytest.approx(summary.auroc)
    assert sensitivities[0] == pytest.approx([point.sensitivity for point in summary.froc])


def test_intervals_hold_the_value_and_narrow_with_more_subjects():
    widths = []
    for subjects in (16, 200):
        cases = cohort(subjects)
        summary = detection_summary(cases)
        found = detection_intervals(cases, generator=np.random.default_rng(2), resamples=400)
        low, high = found.average_precision
        assert low < summary.average_precision < high
        assert found.auroc[0] < summary.auroc < found.auroc[1]
        widths.append(high - low)
    assert widths[1] < 0.5 * widths[0]
    again = detection_intervals(cohort(200), generator=np.random.default_rng(2), resamples=400)
    assert again == found


def test_what_has_no_interval():
    few = [CaseDetections(f"c{n}", f"s{n}", 1, ((0.5, True),)) for n in range(5)]
    found = detection_intervals(few, generator=np.random.default_rng(1))
    assert (found.average_precision, found.auroc, found.sensitivities) == (None, None, (None,) * 3)
    all_sick = [CaseDetections(f"c{n}", f"s{n}", 1, ()) for n in range(8)]
    found = detection_intervals(all_sick, generator=np.random.default_rng(1))
    assert found.auroc is None
    assert found.average_precision == (0.0, 0.0)
    healthy = [CaseDetections(f"c{n}", f"s{n}", 0, ()) for n in range(8)]
    assert detection_intervals(healthy, generator=np.random.default_rng(1)).average_precision is None
    with pytest.raises(EvaluationError, match="at least one case"):
        detection_intervals([], generator=np.random.default_rng(1))
