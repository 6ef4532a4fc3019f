"""Claims that were fixed beforehand: paired differences by subject, their p-values, corrected for their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medgan.errors import EvaluationError
from medgan.evaluation.cohort_summary import PairedDifference, paired_difference
from medgan.evaluation.cohort_table import CohortTable


@dataclass(frozen=True)
class Claim:
    """One difference.

    Parameters
    ----------
    name : str
    difference : PairedDifference
        With its 95 % interval, not corrected.
    p, p_holm : float or None
        Of no difference, by sign flips over subjects; None below six subjects.
    by_subject : dict of subject to float
        Mean difference of the subject's images.
    """

    name: str
    difference: PairedDifference
    p: float | None
    p_holm: float | None
    by_subject: dict[str, float]

    @property
    def verdict(self) -> str:
        """What may be said."""
        if self.difference.excludes_zero is None or self.p_holm is None:
            return "too few subjects for an interval: the values are printed"
        if self.difference.excludes_zero and self.p_holm < 0.05:
            return "the interval excludes 0, also after Holm's correction"
        if self.difference.excludes_zero:
            return "the interval excludes 0, but not after Holm's correction (p > 0.05)"
        return "no difference shown: the interval includes 0"


def claims(
    tables: Mapping[str, CohortTable],
    pairs: Sequence[tuple[str, str]],
    *,
    measure: str,
    generator: np.random.Generator,
    fewest_subjects: int = 6,
) -> list[Claim]:
    """Return the paired difference of each pair of arms, with Holm's correction over the pairs.

    Parameters
    ----------
    tables : mapping of arm to CohortTable
        The same images by every arm.
    pairs : sequence of (arm, arm it is compared with)
    measure : str
    generator : numpy.random.Generator
    fewest_subjects : int

    Raises
    ------
    EvaluationError
        If an arm has no table.
    """
    unknown = sorted({arm for pair in pairs for arm in pair} - set(tables))
    if unknown:
        raise EvaluationError(f"Claims compare arms that were measured: {', '.join(unknown)} was not.")
    found = []
    for this, that in pairs:
        difference = paired_difference(this=tables[this], that=tables[that], measure=measure, generator=generator)
        by_subject = subject_differences(this=tables[this], that=tables[that], measure=measure)
        p = sign_flip_p(list(by_subject.values()), generator=generator) if len(by_subject) >= fewest_subjects else None
        found.append((f"{this} − {that}", difference, p, by_subject))
    corrected = holm([p for _, _, p, _ in found])
    return [
        Claim(name, difference, p, adjusted, by_subject)
        for (name, difference, p, by_subject), adjusted in zip(found, corrected)
    ]


def subject_differences(*, this: CohortTable, that: CohortTable, measure: str) -> dict[str, float]:
    """Return the mean of ``this - that`` over the images of every subject that both tables have."""
    others = {row.case_id: row.values[measure] for row in that.rows}
    pairs: dict[str, list[float]] = {}
    for row in this.rows:
        a, b = row.values[measure], others.get(row.case_id)
        if a is not None and b is not None:
            pairs.setdefault(row.subject_id, []).append(a - b)
    return {subject: float(np.mean(values)) for subject, values in sorted(pairs.items())}


def sign_flip_p(differences: Sequence[float], *, generator: np.random.Generator, flips: int = 20_000) -> float:
    """Return the two-sided p-value of a mean of zero: how often random signs give a mean as far from it.

    Notes
    -----
    One-sample permutation test; exact up to the number of flips, for differences that are symmetric about zero. The
    observed signs count as one of the flips, so that p is never 0.
    """
    values = np.asarray(differences, dtype=np.float64)
    signs = generator.integers(0, 2, size=(flips, values.size)) * 2 - 1
    extreme = np.abs(signs @ values) >= abs(values.sum()) - 1e-12
    return float((1 + extreme.sum()) / (1 + flips))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for their number, step by step from the smallest (Holm 1979); None stays None.

    Examples
    --------
    >>> holm([0.01, 0.04, None])
    [0.02, 0.04, None]
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, place) in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p))
        corrected[place] = running
    return corrected
