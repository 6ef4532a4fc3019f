"""Summaries of a cohort with intervals, and differences of two methods on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.cohort_table import CohortTable

FEWEST_SUBJECTS = 6
"""Below this number of subjects no interval is given: a bootstrap of five values knows too few of them."""

COVERAGE = 0.95


@dataclass(frozen=True)
class Summary:
    """One measure over a cohort.

    Parameters
    ----------
    measure, unit : str
    cases, subjects : int
        That have a value.
    undefined : int
        Cases without one; they are not in the mean.
    mean, sd, median : float or None
        Over cases; ``sd`` has n - 1 in the denominator. None without values (``sd``: without two).
    low, high : float or None
        95 % interval of the mean, None with fewer than six subjects.
    """

    measure: str
    unit: str
    cases: int
    subjects: int
    undefined: int
    mean: float | None
    sd: float | None
    median: float | None
    low: float | None
    high: float | None


def summarize(table: CohortTable, *, generator: np.random.Generator, resamples: int = 5000) -> tuple[Summary, ...]:
    """Return a summary of every measure.

    Parameters
    ----------
    table : CohortTable
    generator : numpy.random.Generator
        Draws the resamples; the same state gives the same intervals.
    resamples : int

    Notes
    -----
    Percentile bootstrap of the mean over cases (Efron 1979), resampled by *subject*: all cases of a drawn subject
    come together, because scans of one person are not independent. It is somewhat narrow for few subjects.
    """
    return tuple(
        _summary(
            name, table.units.get(name, ""), [(r.subject_id, r.values[name]) for r in table.rows], generator, resamples
        )
        for name in table.measures
    )


@dataclass(frozen=True)
class PairedDifference:
    """Mean of ``this - that`` over the cases that both have; ``only_one`` cases had a value in one of the two."""

    summary: Summary
    only_one: int

    @property
    def excludes_zero(self) -> bool | None:
        """Tell whether the interval lies on one side of zero; None without an interval."""
        low, high = self.summary.low, self.summary.high
        return None if low is None or high is None else low > 0 or high < 0


def paired_difference(
    *, this: CohortTable, that: CohortTable, measure: str, generator: np.random.Generator, resamples: int = 5000
) -> PairedDifference:
    """Return how much larger a measure is in one table than in another, case by case.

    Parameters
    ----------
    this, that : CohortTable
        The same cases by two methods.
    measure : str
    generator, resamples
        As for :func:`summarize`.

    Raises
    ------
    EvaluationError
        If the measure is missing, its units or a case's subject differ, or the tables share no case.
    """
    for name, table in (("this", this), ("that", that)):
        if measure not in table.measures:
            known = ", ".join(table.measures)
            raise EvaluationError(f"A paired difference needs {measure!r} in both tables: {name} has {known}.")
    unit = this.units.get(measure, "")
    if unit != that.units.get(measure, ""):
        raise EvaluationError(
            f"{measure!r} is in {unit!r} in this table and in {that.units.get(measure, '')!r} in that."
        )
    others = {row.case_id: row for row in that.rows}
    shared = [(row, others[row.case_id]) for row in this.rows if row.case_id in others]
    if not shared:
        raise EvaluationError("A paired difference needs cases that both tables have: found none in common.")
    pairs: list[tuple[str, float | None]] = []
    only_one = len(this.rows) + len(that.rows) - 2 * len(shared)
    for row, other in shared:
        if row.subject_id != other.subject_id:
            raise EvaluationError(
                f"Case {row.case_id} is of subject {row.subject_id} in this table and {other.subject_id} in that."
            )
        a, b = row.values[measure], other.values[measure]
        only_one += (a is None) != (b is None)
        pairs.append((row.subject_id, None if a is None or b is None else a - b))
    return PairedDifference(_summary(measure, unit, pairs, generator, resamples), only_one)


def _summary(
    measure: str,
    unit: str,
    pairs: Sequence[tuple[str, float | None]],
    generator: np.random.Generator,
    resamples: int,
) -> Summary:
    known = [(subject, value) for subject, value in pairs if value is not None]
    subjects = sorted({subject for subject, _ in known})
    values = np.array([value for _, value in known], dtype=np.float64)
    undefined = len(pairs) - len(known)
    if not known:
        return Summary(measure, unit, 0, 0, undefined, None, None, None, None, None)
    low = high = None
    if len(subjects) >= FEWEST_SUBJECTS:
        place = np.array([subjects.index(subject) for subject, _ in known])
        low, high = _interval(values, place, len(subjects), generator, resamples)
    return Summary(
        measure,
        unit,
        len(known),
        len(subjects),
        undefined,
        float(values.mean()),
        float(values.std(ddof=1)) if len(known) > 1 else None,
        float(np.median(values)),
        low,
        high,
    )


def _interval(
    values: npt.NDArray[np.float64],
    subject: npt.NDArray[np.int_],
    subjects: int,
    generator: np.random.Generator,
    resamples: int,
) -> tuple[float, float]:
    """Return the percentile interval of the mean; how often each subject is drawn is multinomial."""
    drawn = generator.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)
    sums, counts = np.bincount(subject, values, subjects), np.bincount(subject, minlength=subjects)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)
