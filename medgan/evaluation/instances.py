"""How well instances agree: variation of information, adapted Rand and the CREMI score, from counts that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medgan.errors import EvaluationError

LabelArray = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, eq=False)
class Overlaps:
    """How many voxels each pair of a result's and a reference's instance shares.

    Parameters
    ----------
    result_ids, reference_ids : (n,) uint64
        A pair each, no pair twice.
    voxels : (n,) int64
    """

    result_ids: npt.NDArray[np.uint64]
    reference_ids: npt.NDArray[np.uint64]
    voxels: npt.NDArray[np.int64]

    @property
    def total(self) -> int:
        """Voxels that were counted."""
        return int(self.voxels.sum())


@dataclass(frozen=True)
class InstanceScores:
    """Agreement of instances; 0 is perfect everywhere.

    Parameters
    ----------
    voi_split, voi_merge : float
        Bits: ``H(result | reference)`` grows where a reference instance was split, ``H(reference | result)`` where
        several were merged.
    adapted_rand_error : float
        In [0, 1].
    rand_split, rand_merge : float
        Rand recall and precision, in [0, 1], 1 is perfect: the shares of pairs of voxels kept together rightly.
    voxels : int
        How many were counted.
    """

    voi_split: float
    voi_merge: float
    adapted_rand_error: float
    rand_split: float
    rand_merge: float
    voxels: int

    @property
    def voi(self) -> float:
        """Variation of information in bits."""
        return self.voi_split + self.voi_merge

    @property
    def cremi_score(self) -> float:
        """Geometric mean of variation of information and adapted Rand error."""
        return float(np.sqrt(self.voi * self.adapted_rand_error))

    def as_dict(self) -> dict[str, float]:
        """Return all measures by name."""
        return {
            "voi_split": self.voi_split,
            "voi_merge": self.voi_merge,
            "voi": self.voi,
            "adapted_rand_error": self.adapted_rand_error,
            "cremi_score": self.cremi_score,
            "voxels": self.voxels,
        }


def overlaps(*, result: npt.NDArray[np.integer], reference: npt.NDArray[np.integer]) -> Overlaps:
    """Count the voxels that instances share, where the reference is not 0.

    Parameters
    ----------
    result, reference : integer arrays of one shape
        Instance numbers up to uint64; 0 in the reference is not counted, 0 in the result is one more instance.

    Raises
    ------
    EvaluationError
        If the shapes differ.
    """
    if result.shape != reference.shape:
        raise EvaluationError(f"Instances are compared on one grid: found shapes {result.shape} and {reference.shape}.")
    counted = reference != 0
    found, numbers = np.unique(result[counted].astype(np.uint64), return_inverse=True)
    true, references = np.unique(reference[counted].astype(np.uint64), return_inverse=True)
    if not found.size:
        empty = np.empty(0, dtype=np.uint64)
        return Overlaps(empty, empty, np.empty(0, dtype=np.int64))
    # Both numberings are dense now, so a pair is one number that cannot overflow for any array that fits in memory.
    pairs, voxels = np.unique(references.astype(np.int64) * len(found) + numbers, return_counts=True)
    return Overlaps(found[pairs % len(found)], true[pairs // len(found)], voxels.astype(np.int64))


def added(tables: Sequence[Overlaps]) -> Overlaps:
    """Return the sum of counts whose numbers mean the same instances: blocks of one volume.

    Raises
    ------
    EvaluationError
        If there are none.
    """
    _require_some(tables)
    result = np.concatenate([t.result_ids for t in tables])
    reference = np.concatenate([t.reference_ids for t in tables])
    voxels = np.concatenate([t.voxels for t in tables])
    pairs, place = np.unique(np.stack([result, reference], axis=1), axis=0, return_inverse=True)
    total = np.zeros(len(pairs), dtype=np.int64)
    np.add.at(total, place.ravel(), voxels)
    return Overlaps(pairs[:, 0], pairs[:, 1], total)


def pooled(tables: Sequence[Overlaps]) -> Overlaps:
    """Return the counts of volumes that have nothing to do with each other: equal numbers are different instances.

    Raises
    ------
    EvaluationError
        If there are none.
    """
    _require_some(tables)
    apart, before = [], [0, 0]
    for table in tables:
        numbered = []
        for side, ids in enumerate((table.result_ids, table.reference_ids)):
            different, dense = np.unique(ids, return_inverse=True)
            numbered.append((dense.ravel() + before[side]).astype(np.uint64))
            before[side] += len(different)
        apart.append(Overlaps(numbered[0], numbered[1], table.voxels))
    return added(apart)


def instance_scores(table: Overlaps) -> InstanceScores:
    """Return all measures of a table of counts.

    Raises
    ------
    EvaluationError
        If no voxel was counted.

    Notes
    -----
    With shares ``p_ij`` of voxels in result instance i and reference instance j: ``VOI_split = -sum p_ij log2(p_ij /
    q_j)`` and ``VOI_merge = -sum p_ij log2(p_ij / p_i)`` (Meila 2007, split and merge as in CREMI, which uses bits,
    too). Adapted Rand error = 1 - F of ``precision = sum p_ij^2 / sum p_i^2`` and ``recall = sum p_ij^2 / sum q_j^2``
    (Arganda-Carreras et al. 2015, doi 10.3389/fnana.2015.00142, with all pairs, also of a voxel with itself, as in
    CREMI's and SNEMI3D's code). CREMI score = sqrt(VOI * ARAND). Deviation: voxels of background in the result are one
    instance here; SNEMI3D makes each an instance of its own.
    """
    if not table.total:
        raise EvaluationError("Instances cannot be compared: the reference has no voxel that is not 0.")
    share = table.voxels / table.total
    _, result = np.unique(table.result_ids, return_inverse=True)
    _, reference = np.unique(table.reference_ids, return_inverse=True)
    of_result, of_reference = np.bincount(result.ravel(), share), np.bincount(reference.ravel(), share)
    split = float(-(share * np.log2(share / of_reference[reference.ravel()])).sum())
    merge = float(-(share * np.log2(share / of_result[result.ravel()])).sum())
    together = float((share**2).sum())
    precision, recall = together / float((of_result**2).sum()), together / float((of_reference**2).sum())
    error = 1 - 2 * precision * recall / (precision + recall)
    # Rounding may leave a perfect result a hair below zero.
    return InstanceScores(
        max(0.0, split), max(0.0, merge), max(0.0, error), min(recall, 1.0), min(precision, 1.0), table.total
    )


def without_borders(reference: LabelArray, *, distance: float, spacing: Sequence[float]) -> LabelArray:
    """Return a reference with 0 near the border of instances, where annotators disagree.

    Parameters
    ----------
    reference : unsigned integers
        Instance numbers.
    distance : float
        In the unit of the spacing; CREMI leaves out 15 nm in the plane. 0 changes nothing.
    spacing : one number an axis

    Notes
    -----
    Deviation from CREMI's code, which erodes section by section: the distance is measured in space.
    """
    if distance <= 0:
        return reference
    touching = np.zeros(reference.shape, dtype=bool)
    for axis in range(reference.ndim):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(reference.ndim))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(reference.ndim))
        differs = reference[low] != reference[high]
        touching[low] |= differs
        touching[high] |= differs
    if not touching.any():
        return reference
    near = ndimage.distance_transform_edt(~touching, sampling=tuple(spacing)) < distance
    return np.where(near, 0, reference).astype(reference.dtype)


def _require_some(tables: Sequence[Overlaps]) -> None:
    if not tables:
        raise EvaluationError("Counts can be added up where there are some: found none.")
