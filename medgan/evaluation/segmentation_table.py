"""Measures of a segmented class, image by image: with the class, and apart from those, without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.cohort_table import CaseRow, CohortTable
from medgan.evaluation.region import BoolArray

PAPER = {
    "cross_entropy": ("0.35 ± 0.29", "0.37 ± 0.33", "0.98 ± 0.14"),
    "adversarial": ("0.41 ± 0.28", "0.55 ± 0.36", "0.98 ± 0.14"),
    "hybrid": ("0.39 ± 0.29", "0.49 ± 0.35", "0.98 ± 0.14"),
}
"""Dice, sensitivity and specificity of Kohl et al. 2017 (arXiv 1702.08014): another data set, 152 patients."""


@dataclass(frozen=True)
class ImageMeasures:
    """One slice.

    Parameters
    ----------
    position : int
        Slice number along the last axis.
    has_focus : bool
        Whether the expert marked anything.
    dice, sensitivity, hd95_mm : float or None
        Of slices with the class; ``hd95_mm`` is None where nothing was predicted.
    specificity : float
    false_ml : float
        Volume that is predicted and not the expert's.
    """

    position: int
    has_focus: bool
    dice: float | None
    sensitivity: float | None
    specificity: float
    hd95_mm: float | None
    false_ml: float


def image_measures(
    *, result: BoolArray, reference: BoolArray, spacing_mm: Sequence[float], counted: BoolArray | None = None
) -> list[ImageMeasures]:
    """Measure every slice of a class.

    Parameters
    ----------
    result, reference : (I, J, K) bool
        Slices are those along the last axis.
    spacing_mm : three floats
    counted : (I, J, K) bool, optional
        Voxels whose negatives count for the specificity; default: all.

    Raises
    ------
    EvaluationError
        If shapes differ or a spacing is not positive.

    Notes
    -----
    A slice without the class has no Dice: 2 * 0 / 0 is not 1. HD95 is measured between the outlines within the slice:
    the larger of the two directed 95th percentiles, as in :mod:`medgan.evaluation.surface`.
    """
    if result.shape != reference.shape or result.ndim != 3 or len(spacing_mm) != 3 or not min(spacing_mm) > 0:
        raise EvaluationError(
            f"Slices are compared in two (I, J, K) masks of one shape with positive spacings: found {result.shape}, "
            f"{reference.shape} and {tuple(spacing_mm)}."
        )
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    rows = []
    for k in range(result.shape[2]):
        found, expert = result[..., k], reference[..., k]
        negative = ~expert if counted is None else ~expert & counted[..., k]
        both, claimed, there = (int(np.count_nonzero(mask)) for mask in (found & expert, found, expert))
        false = int(np.count_nonzero(found & negative))
        negatives = int(np.count_nonzero(negative))
        rows.append(
            ImageMeasures(
                position=k,
                has_focus=there > 0,
                dice=2 * both / (claimed + there) if there else None,
                sensitivity=both / there if there else None,
                specificity=1 - false / negatives if negatives else 1.0,
                hd95_mm=_hd95(found, expert, spacing_mm[:2]) if there and claimed else None,
                false_ml=(claimed - both) * voxel_ml,
            )
        )
    return rows


def _hd95(found: BoolArray, expert: BoolArray, spacing_mm: Sequence[float]) -> float:
    there, back = _to_outline(found, expert, spacing_mm), _to_outline(expert, found, spacing_mm)
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def _to_outline(mask: BoolArray, other: BoolArray, spacing_mm: Sequence[float]) -> npt.NDArray[np.float64]:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~_outline(other), sampling=spacing_mm)[_outline(mask)])


def _outline(mask: BoolArray) -> BoolArray:
    from scipy.ndimage import binary_erosion

    return np.asarray(mask & ~binary_erosion(mask))


WITH_FOCUS = ("dice", "sensitivity", "specificity", "hd95")
WITHOUT_FOCUS = ("false_ml", "false_rate", "specificity")
UNITS = {"hd95": "mm", "false_ml": "ml"}


def image_tables(
    images: Sequence[tuple[str, str, ImageMeasures]],
) -> tuple[CohortTable | None, CohortTable | None]:
    """Return one table of the images with the class and one of those without; None where there is no such image.

    Parameters
    ----------
    images : sequence of (case id, subject id, ImageMeasures)
    """
    with_focus, without = [], []
    for case_id, subject_id, one in images:
        name = f"{case_id}_slice{one.position:03d}"
        if one.has_focus:
            values: dict[str, float | None] = {
                "dice": one.dice,
                "sensitivity": one.sensitivity,
                "specificity": one.specificity,
                "hd95": one.hd95_mm,
            }
            with_focus.append(CaseRow(name, subject_id, values))
        else:
            values = {
                "false_ml": one.false_ml,
                "false_rate": float(one.false_ml > 0),
                "specificity": one.specificity,
            }
            without.append(CaseRow(name, subject_id, values))
    return _table(with_focus), _table(without)


def _table(rows: Sequence[CaseRow]) -> CohortTable | None:
    if not rows:
        return None
    return CohortTable(tuple(rows), {name: unit for name, unit in UNITS.items() if name in rows[0].values})
