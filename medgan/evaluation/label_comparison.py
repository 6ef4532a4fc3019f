"""A segmentation against the expert's, label by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgan.errors import EvaluationError
from medgan.evaluation.measure import Measure
from medgan.evaluation.overlap import dice, jaccard
from medgan.evaluation.surface import SurfaceDistances, surface_distances
from medgan.geometry import bounding_box
from medgan.volume import LabelMap


@dataclass(frozen=True)
class LabelComparison:
    """Measures of one label.

    Parameters
    ----------
    label : int
    name : str
        From the reference's names, the number where it has none.
    result_voxels, reference_voxels : int
    measures : tuple of Measure
        Dice, Jaccard, HD95, ASSD and Hausdorff distance.
    """

    label: int
    name: str
    result_voxels: int
    reference_voxels: int
    measures: tuple[Measure, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "label": self.label,
            "name": self.name,
            "result_voxels": self.result_voxels,
            "reference_voxels": self.reference_voxels,
            "measures": {measure.name: measure.as_dict() for measure in self.measures},
        }


def compare_labels(
    *, result: LabelMap, reference: LabelMap, labels: Sequence[int] | None = None
) -> tuple[LabelComparison, ...]:
    """Measure every label of a segmentation.

    Parameters
    ----------
    result, reference : LabelMap
        On one grid in mm.
    labels : sequence of int, optional
        Default: every label but 0 that occurs in one of the two.

    Raises
    ------
    GeometryError
        If the two are not on one grid.
    EvaluationError
        If the grid is not in mm.

    Notes
    -----
    A label that is absent in both is not counted (None, with the reason); in one, its Dice is 0 and its distances are
    undefined. Distances are undefined on a sheared grid, whose axes are not at right angles.
    """
    reference.grid.require_same_as(result.grid, this="reference", that="result")
    if result.grid.unit != "mm":
        raise EvaluationError(f"A comparison of labels measures distances in mm: found a grid in {result.grid.unit}.")
    if labels is None:
        labels = sorted({int(v) for m in (result, reference) for v in np.unique(m.array)} - {0})
    return tuple(_of_label(result, reference, label) for label in labels)


def _of_label(result: LabelMap, reference: LabelMap, label: int) -> LabelComparison:
    here, there = result.array == label, reference.array == label
    counts = int(np.count_nonzero(here)), int(np.count_nonzero(there))
    box = bounding_box(here | there)
    if box is not None:
        here, there = here[box.slices], there[box.slices]
    if result.grid.is_sheared:
        distances = SurfaceDistances(None, None, None, "the grid is sheared, its axes are not at right angles")
    else:
        distances = surface_distances(result=here, reference=there, spacing_mm=result.grid.spacing)
    absent = "" if box is not None else "absent in both, not counted"
    of, how = "every voxel", f"label {label} in each image"
    measures = (
        Measure("dice", "Dice", dice(result=here, reference=there), "", of, how, None, absent),
        Measure("jaccard", "Jaccard", jaccard(result=here, reference=there), "", of, how, None, absent),
        Measure("hd95", "95 % Hausdorff distance", distances.hd95_mm, "mm", of, how, None, distances.reason),
        Measure("assd", "Average symmetric surface distance", distances.assd_mm, "mm", of, how, None, distances.reason),
        Measure("hausdorff", "Hausdorff distance", distances.hausdorff_mm, "mm", of, how, None, distances.reason),
    )
    name = reference.names.get(label, str(label))
    return LabelComparison(label, name, *counts, measures)
