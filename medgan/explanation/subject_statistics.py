"""Means over cases with intervals that respect that several images may be of one subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from medgan.errors import ExplanationError
from medgan.explanation.explanation import Equivalence, Interval

Float64 = npt.NDArray[np.float64]
FEWEST_SUBJECTS = 6
"""Below this number no interval is given."""


@dataclass(frozen=True, eq=False)
class SubjectBootstrap:
    """Resampled means of several quantities at once.

    Parameters
    ----------
    mean : (Q,) float64
    low, high : (Q,) float64 or None
        95 % percentile interval; None with too few subjects.
    p_value : (Q,) float64 or None
        Two-sided, of the mean being zero.
    cases, subjects : int
    """

    mean: Float64
    low: Float64 | None
    high: Float64 | None
    p_value: Float64 | None
    cases: int
    subjects: int

    def interval(self, quantity: int = 0) -> Interval:
        """Return one quantity's mean and interval."""
        return Interval(
            float(self.mean[quantity]),
            None if self.low is None else float(self.low[quantity]),
            None if self.high is None else float(self.high[quantity]),
            self.cases,
            self.subjects,
        )


def subject_bootstrap(
    values: npt.ArrayLike,
    subjects: Sequence[str],
    *,
    generator: np.random.Generator,
    resamples: int = 2000,
    coverage: float = 0.95,
) -> SubjectBootstrap:
    """Return means over cases, resampled by subject: all cases of a drawn subject come together.

    Parameters
    ----------
    values : (N,) or (N, Q)
        Finite.
    subjects : sequence of str
        One a case. Where subjects are not known, give each image a name of its own and say so beside the result.
    generator : numpy.random.Generator
    resamples : int
    coverage : float

    Raises
    ------
    ExplanationError
        If there is no case, or a value is not finite.

    Notes
    -----
    Percentile bootstrap (Efron 1979) with multinomial weights. The p value is twice the smaller share of resampled
    means on one side of zero, with one added to both counts, so that it is never 0.
    """
    table = np.asarray(values, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if not len(table) or len(table) != len(subjects):
        raise ExplanationError(f"A mean needs one subject a case: found {len(table)} cases, {len(subjects)} subjects.")
    if not np.isfinite(table).all():
        raise ExplanationError("A mean over cases needs finite values.")
    names, place = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    mean = table.mean(axis=0)
    if len(names) < FEWEST_SUBJECTS:
        return SubjectBootstrap(mean, None, None, None, len(table), len(names))
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    sums = np.zeros((len(names), table.shape[1]))
    np.add.at(sums, place, table)
    counts = np.bincount(place, minlength=len(names))
    means = (drawn @ sums) / (drawn @ counts)[:, None]
    low, high = np.quantile(means, [(1 - coverage) / 2, (1 + coverage) / 2], axis=0)
    below, above = (means <= 0).sum(axis=0), (means >= 0).sum(axis=0)
    p_value = np.minimum(2 * (np.minimum(below, above) + 1) / (resamples + 1), 1.0)
    return SubjectBootstrap(mean, low, high, p_value, len(table), len(names))


def false_discovery(p_values: npt.ArrayLike) -> Float64:
    """Return q values (Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x).

    Examples
    --------
    >>> false_discovery([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def equivalence_test(
    label: str, difference: npt.ArrayLike | None, subjects: Sequence[str], *, bound: float, level: float = 0.05
) -> Equivalence:
    """Test that a label that should not change stays constant under translation.

    Parameters
    ----------
    label : str
    difference : (N,) or None
        Fake - real of the label's value or probability; None where neither classifier nor phantom has the label.
    subjects : sequence of str
        One a case.
    bound : float
        Differences of the mean within +- bound count as none; stated before looking.
    level : float

    Raises
    ------
    ExplanationError
        If the bound is not positive.

    Notes
    -----
    Two one-sided t tests (Schuirmann 1987, doi 10.1007/BF01068419) on the subjects' means, with n - 1 degrees of
    freedom. The interval covers ``1 - 2 level``: the label is equivalent exactly where it lies within the bound.
    """
    if not bound > 0:
        raise ExplanationError(f"An equivalence test needs a positive bound: found {bound}.")
    if difference is None:
        sentence = f"{label}: not available (neither the classifier nor the data have this label)."
        return Equivalence(label, None, bound, None, None, sentence)
    values = np.asarray(difference, dtype=np.float64)
    names, place = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    means = np.bincount(place, values) / np.bincount(place)
    n, mean = len(names), float(means.mean())
    if n < FEWEST_SUBJECTS:
        sentence = f"{label}: not tested ({n} subjects, at least {FEWEST_SUBJECTS} are needed)."
        return Equivalence(label, Interval(mean, None, None, len(values), n), bound, None, None, sentence)
    error = float(means.std(ddof=1) / np.sqrt(n))
    if error == 0:
        p_value = 0.0 if abs(mean) < bound else 1.0
        half = 0.0
    else:
        p_low = float(stats.t.sf((mean + bound) / error, n - 1))
        p_high = float(stats.t.cdf((mean - bound) / error, n - 1))
        p_value = max(p_low, p_high)
        half = float(stats.t.ppf(1 - level, n - 1)) * error
    equivalent = p_value < level
    interval = Interval(mean, mean - half, mean + half, len(values), n)
    verdict = "stays constant" if equivalent else "is not shown to stay constant"
    sentence = (
        f"{label} {verdict}: mean change {mean:+.3g} [{mean - half:+.3g}, {mean + half:+.3g}] "
        f"({1 - 2 * level:.0%} interval), bound {bound:g}, p = {p_value:.3g}."
    )
    return Equivalence(label, interval, bound, p_value, equivalent, sentence)
