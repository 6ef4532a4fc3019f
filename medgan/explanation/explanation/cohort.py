"""What explanations of many cases amount to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.explanation.explanation.rate import Rate
from medgan.explanation.explanation.values import IMAGE, FloatArray, frozen, json_value


@dataclass(frozen=True)
class Interval:
    """A mean with its interval; without an interval (too few subjects) ``low`` and ``high`` are None."""

    mean: float
    low: float | None
    high: float | None
    cases: int
    subjects: int

    @property
    def excludes_zero(self) -> bool | None:
        """Tell whether the interval lies on one side of zero; None without an interval."""
        return None if self.low is None or self.high is None else self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Success:
    """How often one direction of translation flips the classifier.

    Parameters
    ----------
    direction : str
        Such as ``"normal to pneumonia"``.
    queries : int
        Images of the source class.
    flips : Rate
        Fakes of the wanted class among *all correctly classified* queries.
    accepted : Rate
        Pairs kept for attribution among the same.
    dropped : mapping of str to int
        Reason to number of queries.
    """

    direction: str
    queries: int
    flips: Rate
    accepted: Rate
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class RegionDifference:
    """Mean of fake - real in one region over all cases of one direction.

    Parameters
    ----------
    region : str
    difference : Interval
        In gray values of the [-1, 1] scale; bootstrap by subject.
    p_value, q_value : float or None
        Two-sided, and after Benjamini and Hochberg (1995) over all regions of the table.
    discovery : bool
        Whether ``q_value`` is below the stated false discovery rate.
    """

    region: str
    difference: Interval
    p_value: float | None
    q_value: float | None
    discovery: bool


@dataclass(frozen=True, eq=False)
class Atlas:
    """Where translations change images, over a cohort of one direction.

    Parameters
    ----------
    direction : str
    grid : tuple of int
        Rows and columns (and slabs) of the grid on the body box.
    regions : tuple of RegionDifference
    picture : float32 array
        Mean difference on the body box, resampled to one shape.
    false_discovery_rate : float
    """

    direction: str
    grid: tuple[int, ...]
    regions: tuple[RegionDifference, ...]
    picture: FloatArray = field(metadata=IMAGE)
    false_discovery_rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "picture", frozen(self.picture))


@dataclass(frozen=True)
class Equivalence:
    """Whether a label that should not change stays constant under translation.

    Parameters
    ----------
    label : str
    difference : Interval or None
        Mean of fake - real with its 90 % interval; None where the label is not available.
    bound : float
        Differences within +- bound count as none.
    p_value : float or None
        Of the two one-sided tests, the larger.
    equivalent : bool or None
    sentence : str
    """

    label: str
    difference: Interval | None
    bound: float
    p_value: float | None
    equivalent: bool | None
    sentence: str


@dataclass(frozen=True)
class Control:
    """How often a change that should mean nothing flips the classifier.

    Parameters
    ----------
    name : str
        ``"same-class translation"``, ``"class-mean residual"`` or ``"another subject's residual"``.
    direction : str
    flips : Rate
    mean_absolute_change : float
        Of the image, in gray values.
    sentence : str
    """

    name: str
    direction: str
    flips: Rate
    mean_absolute_change: float
    sentence: str


@dataclass(frozen=True)
class Diversity:
    """Whether changes are as varied as real findings.

    Parameters
    ----------
    direction : str
    changes, findings : int
        How many were compared.
    location_sd, findings_location_sd : float or None
        Root of the summed variances of their centers, in pixels; None where there are fewer than two.
    similarity, findings_similarity : float or None
        Mean cosine similarity of two of them.
    mode_collapse : bool or None
        None where there are no findings to compare with.
    sentence : str
    """

    direction: str
    changes: int
    findings: int
    location_sd: float | None
    findings_location_sd: float | None
    similarity: float | None
    findings_similarity: float | None
    mode_collapse: bool | None
    sentence: str


@dataclass(frozen=True)
class RegionRestoration:
    """What one region carries of the flips.

    Parameters
    ----------
    region : str
    area : float
        Mean share of the image.
    share_of_change : float
        Mean share of ``|fake - real|`` in the region.
    undone : Rate
        Flips that vanish when the real region is put back into the fake.
    """

    region: str
    area: float
    share_of_change: float
    undone: Rate


@dataclass(frozen=True)
class Localization:
    """Which region the flips hang on, largest share undone first."""

    direction: str
    regions: tuple[RegionRestoration, ...]
    sentence: str


@dataclass(frozen=True, eq=False)
class DosePath:
    """Scores on the way from real to fake.

    Parameters
    ----------
    direction : str
    doses : (D,) float64
        From 0 to 1.
    scores : (N, D) float64
        Probability of the wanted class.
    monotone : Rate
        Cases whose score never falls by more than the tolerance.
    tolerance : float
    median_flip_dose : float or None
        Median of the first dose with the wanted class, over cases that reach it.
    """

    direction: str
    doses: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    monotone: Rate
    tolerance: float
    median_flip_dose: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "doses", frozen(self.doses, np.float64))
        object.__setattr__(self, "scores", frozen(self.scores, np.float64))


@dataclass(frozen=True)
class ReliabilityBin:
    """Cases whose predicted probability lies in one bin.

    Parameters
    ----------
    low, high : float
    confidence : float or None
        Mean predicted probability; None for an empty bin.
    observed : Rate
        Share that truly have the class.
    """

    low: float
    high: float
    confidence: float | None
    observed: Rate


@dataclass(frozen=True)
class Calibration:
    """Whether predicted probabilities are frequencies.

    Parameters
    ----------
    images : str
        ``"real"`` or ``"fake"``; a fake's label is the class that was asked for.
    bins : tuple of ReliabilityBin
    expected_error, largest_error, brier : float
        ECE, MCE (over bins with cases) and the Brier score.
    """

    images: str
    bins: tuple[ReliabilityBin, ...]
    expected_error: float
    largest_error: float
    brier: float


@dataclass(frozen=True)
class MethodSummary:
    """One attribution method over a cohort.

    Parameters
    ----------
    method, direction : str
        ``direction`` of the translation, or ``"all"``.
    dac, first_tenth, optimal_area, insertion, deletion : Interval or None
    smallest_flipping_area : Interval or None
        Over the cases in which some area flips.
    flipping : Rate
        Those cases.
    dac_over_residual : Interval or None
        Paired difference from the residual's area; None for the residual itself.
    mean_curve : tuple of float
        Mean change of score at 101 areas from 0 to 1.
    curve_low, curve_high : tuple of float
        95 % band by subject; empty with too few subjects.
    """

    method: str
    direction: str
    dac: Interval
    first_tenth: Interval
    optimal_area: Interval
    insertion: Interval | None
    deletion: Interval | None
    smallest_flipping_area: Interval | None
    flipping: Rate
    dac_over_residual: Interval | None
    mean_curve: tuple[float, ...]
    curve_low: tuple[float, ...] = ()
    curve_high: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class CohortResult:
    """Everything about a cohort. Parts that were not computed are empty."""

    class_names: tuple[str, ...]
    success: tuple[Success, ...]
    verdicts: Mapping[str, Mapping[str, int]]
    methods: tuple[MethodSummary, ...] = ()
    alternatives: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    atlas: tuple[Atlas, ...] = ()
    equivalence: tuple[Equivalence, ...] = ()
    controls: tuple[Control, ...] = ()
    diversity: tuple[Diversity, ...] = ()
    localization: tuple[Localization, ...] = ()
    dose: tuple[DosePath, ...] = ()
    calibration: tuple[Calibration, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but images as JSON values; a rate has its interval."""
        found: dict[str, Any] = json_value(self)
        return found
