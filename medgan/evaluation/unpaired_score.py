"""How good a translator of MR to CT looks without a true CT: what a checkpoint can be chosen by.

Four parts, each better when lower: what is lost on the way back, how far the distribution of HU lies from that of other
people's CTs, how far the shares of air and bone do, and how many voxels disagree with a prior table about their tissue.
None of them proves a translation right; how well they rank checkpoints can be measured where pairs exist.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.overlap import dice
from medgan.evaluation.region import BoolArray
from medgan.evaluation.tissues import AIR, BONE, TISSUES, Tissue

LOW_HU, HIGH_HU = -1024, 3072
SMALLEST_SHARE = 0.005
"""A tissue that the prior gives to fewer voxels of a body than this share is not compared: it would be noise."""

WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"cycle": 2.0, "segmentation": 2.0, "distribution": 1.0, "air and bone": 1.0}
)
"""Weights of the parts in the combined score."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class HuDistribution:
    """Shares of HU in bins of 1 HU from -1024 to 3071, sum 1.

    Examples
    --------
    >>> low, high = (HuDistribution.of([np.full(5, value)]) for value in (-100.0, 40.0))
    >>> low.distance_from(high)
    140.0
    """

    shares: tuple[float, ...]

    @classmethod
    def of(cls, images_hu: Sequence[Array]) -> HuDistribution:
        """Return the distribution over several bodies (flat arrays of HU), each of the same weight.

        Raises
        ------
        EvaluationError
            If there is no image, or one without a voxel.
        """
        if not images_hu or not all(np.size(image) for image in images_hu):
            raise EvaluationError("A distribution of HU needs images with voxels in the body: found none, or an empty.")
        edges = np.arange(LOW_HU, HIGH_HU + 1)
        counts = [np.histogram(np.clip(image, LOW_HU, HIGH_HU - 1), bins=edges)[0] for image in images_hu]
        mean = np.mean([count / count.sum() for count in counts], axis=0)
        return cls(tuple(mean.tolist()))

    def distance_from(self, other: HuDistribution) -> float:
        """Return the 1-Wasserstein distance in HU: the area between the two cumulative distributions."""
        gap = np.cumsum(np.subtract(self.shares, other.shares))
        return round(float(np.abs(gap).sum()), 6)

    def share(self, tissue: Tissue) -> float:
        """Return the share of voxels in a tissue's range."""
        # A bin is represented by its middle, so that the range's ends fall between bins.
        middles = np.arange(LOW_HU, HIGH_HU) + 0.5
        return float(np.asarray(self.shares)[tissue.where(middles)].sum())


@dataclass(frozen=True, kw_only=True)
class UnpairedScore:
    """The four parts for one checkpoint, each better when lower.

    Attributes
    ----------
    cycle : float
        Mean absolute error of the 8-bit round trip in the body, in normalized intensity.
    distribution_hu : float
        Distance of the HU distribution in the body from the training CTs'.
    air_gap, bone_gap : float
        Absolute difference of the share of air (HU <= -300) and bone (HU > 200) from the training CTs'.
    disagreement : float or None
        1 - mean Dice with the prior's tissues; None without a prior.
    """

    cycle: float
    distribution_hu: float
    air_gap: float
    bone_gap: float
    disagreement: float | None = None

    def parts(self) -> dict[str, float]:
        """Return the numbers that are ranked, by name; air and bone are one part."""
        found = {
            "cycle": self.cycle,
            "distribution": self.distribution_hu,
            "air and bone": self.air_gap + self.bone_gap,
        }
        return found if self.disagreement is None else {**found, "segmentation": self.disagreement}


def unpaired_score(
    *, cycle: float, translated_hu: Sequence[Array], training: HuDistribution, disagreement: float | None
) -> UnpairedScore:
    """Return the score of one checkpoint.

    Parameters
    ----------
    cycle : float
        See :func:`cycle_error`, mean over cases.
    translated_hu : sequence of flat arrays
        HU in the body of each translated validation image.
    training : HuDistribution
        Of the training CTs' bodies: other subjects than the translated ones.
    disagreement : float or None
        See :func:`tissue_disagreement`, mean over cases.
    """
    found = HuDistribution.of(translated_hu)
    return UnpairedScore(
        cycle=cycle,
        distribution_hu=found.distance_from(training),
        air_gap=abs(found.share(AIR) - training.share(AIR)),
        bone_gap=abs(found.share(BONE) - training.share(BONE)),
        disagreement=disagreement,
    )


def in_eight_bits(normalized: Array) -> npt.NDArray[np.float32]:
    """Return an image in [-1, 1] rounded to 256 levels, so that nothing hides between them on the way back.

    Examples
    --------
    >>> (in_eight_bits(np.array([-1.0, 0.001, 0.003, 1.0])) * 255).round(3).tolist()
    [-255.0, 1.0, 1.0, 255.0]
    """
    levels = np.rint((np.clip(normalized, -1.0, 1.0) + 1.0) * 127.5)
    return np.asarray(levels / 127.5 - 1.0, dtype=np.float32)


def cycle_error(*, original: Array, returned: Array, body: BoolArray) -> float:
    """Return the mean absolute difference in the body of a source image and what came back from its translation."""
    return float(np.abs(original[body].astype(np.float64) - returned[body]).mean())


def tissue_disagreement(*, translated_hu: Array, expected_hu: Array) -> float | None:
    """Return 1 - mean Dice of the tissues that a prior expects; None where it expects none.

    Parameters
    ----------
    translated_hu, expected_hu : flat arrays of the same voxels
        HU of the translation, and what a table of intensities makes of the source: air, fat, soft tissue and bone by
        their ranges. A tissue counts if the prior gives it to at least 0.5 % of the voxels.
    """
    overlaps = []
    for tissue in TISSUES:
        expected = tissue.where(expected_hu)
        if expected.mean() >= SMALLEST_SHARE:
            overlaps.append(dice(result=tissue.where(translated_hu), reference=expected) or 0.0)
    return 1.0 - math.fsum(overlaps) / len(overlaps) if overlaps else None


def mean_ranks(scores: Sequence[UnpairedScore], weights: Mapping[str, float] = WEIGHTS) -> list[float]:
    """Return the combined score of each checkpoint: its weighted mean rank over the parts; lower is better.

    Parameters
    ----------
    scores : sequence of UnpairedScore
        Of all checkpoints of one training: the score of one depends on the others.
    weights : mapping of part to weight
        Parts that the scores lack do not count.

    Notes
    -----
    A free choice. Ranks make parts of different units comparable; equal values share their mean rank. The parts that
    look at the distribution alone count half: it is what the discriminators train on, and it does not say *where* bone
    is. In one development training of 5,000 steps they fell while the paired error rose (Spearman's rho over six
    checkpoints -0.71 for the distribution, -0.94 for air and bone), and the round trip and the tissues rose with it
    (0.77 and 0.83); with equal weights the score had -0.12.

    Raises
    ------
    EvaluationError
        If there is no checkpoint, or they do not have the same parts.
    """
    from scipy.stats import rankdata

    parts = [score.parts() for score in scores]
    if not parts or any(part.keys() != parts[0].keys() for part in parts):
        raise EvaluationError("Checkpoints are ranked by the same parts: found none, or parts that differ.")
    names = list(parts[0])
    ranks = np.array([rankdata([part[name] for part in parts]) for name in names])
    return [float(rank) for rank in np.average(ranks, axis=0, weights=[weights[name] for name in names])]


def best_of(ranks: Sequence[float]) -> int:
    """Return the position of the lowest mean rank; of equal ones the last, which was trained longest.

    Examples
    --------
    >>> best_of([2.0, 1.5, 1.5, 3.0])
    2
    """
    lowest = min(ranks)
    return max(position for position, rank in enumerate(ranks) if rank == lowest)
