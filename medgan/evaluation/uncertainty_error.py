"""Does a map of uncertainty know where the error is?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.intensity import spearman_correlation
from medgan.geometry import bounding_box
from medgan.volume import LabelMap, Volume

FEWEST_BLOCKS = 10
"""Below this number of blocks no correlation is given."""


@dataclass(frozen=True)
class UncertaintyCorrelation:
    """How well an uncertainty ranks the error.

    Parameters
    ----------
    rho : float or None
        Spearman's rank correlation over the blocks; None where it is undefined, ``reason`` then says why.
    blocks : int
        Blocks that count.
    block_voxels : (I, J, K)
        Their extent.
    reason : str
    """

    rho: float | None
    blocks: int
    block_voxels: tuple[int, int, int]
    reason: str = ""


def uncertainty_error_correlation(
    *, uncertainty: Volume, result: Volume, reference: Volume, mask: LabelMap, block_mm: float = 10.0
) -> UncertaintyCorrelation:
    """Return the rank correlation of uncertainty and absolute error over the blocks of a coarse grid.

    Parameters
    ----------
    uncertainty, result, reference : Volume
        On one grid in mm; result and reference in one unit.
    mask : LabelMap
        The body, on that grid; a block counts where at least half of it lies in the body, with the mean over those
        voxels.
    block_mm : float
        Edge of a block; rounded to whole voxels along each axis, at least one.

    Raises
    ------
    GeometryError
        If the four are not on one grid.
    EvaluationError
        If the block is not positive.

    Notes
    -----
    Single voxels are dominated by noise and by edges displaced by a voxel; a reader asks about places. The length of
    10 mm is a free choice. Blocks of one image are not independent: rho is a description of one case, and an interval
    comes from subjects.

    Examples
    --------
    >>> from medgan.geometry import Grid
    >>> from medgan.volume import Quantity
    >>> grid = Grid.axis_aligned((4, 4, 4), spacing=(5, 5, 5))
    >>> error = np.arange(64, dtype=np.float32).reshape(4, 4, 4)
    >>> zero = Volume(np.zeros((4, 4, 4), np.float32), grid, Quantity.HOUNSFIELD)
    >>> off = Volume(error, grid, Quantity.HOUNSFIELD)
    >>> body = LabelMap(np.ones((4, 4, 4), bool), grid)
    >>> uncertainty_error_correlation(uncertainty=off, result=off, reference=zero, mask=body, block_mm=5).rho
    1.0
    """
    if not (math.isfinite(block_mm) and block_mm > 0):
        raise EvaluationError(f"Blocks of a coarse grid need a positive edge in mm: found {block_mm}.")
    for name, image in (("uncertainty", uncertainty), ("reference", reference), ("mask", mask)):
        image.grid.require_same_as(result.grid, this=name, that="result")
    edge = tuple(max(1, round(block_mm / spacing)) for spacing in result.grid.spacing)
    block = (edge[0], edge[1], edge[2])
    inside = mask.mask()
    box = bounding_box(inside)
    if box is None:
        return UncertaintyCorrelation(None, 0, block, "the mask is empty")
    cut = box.slices
    error = np.abs(np.subtract(result.array[cut], reference.array[cut], dtype=np.float32))
    counts = _block_sums(inside[cut], block)
    counted = counts >= math.prod(block) / 2
    blocks = int(np.count_nonzero(counted))
    if blocks < FEWEST_BLOCKS:
        return UncertaintyCorrelation(
            None, blocks, block, f"{blocks} blocks lie in the body, and a correlation needs {FEWEST_BLOCKS}"
        )
    means = [
        (_block_sums(np.where(inside[cut], values, 0), block)[counted] / counts[counted]).astype(np.float32)
        for values in (uncertainty.array[cut], error)
    ]
    rho = spearman_correlation(result=means[0], reference=means[1])
    return UncertaintyCorrelation(rho, blocks, block, "" if rho is not None else "one of the two is constant")


def _block_sums(array: npt.NDArray[Any], block: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """Return sums over blocks; the last block of an axis may hold fewer voxels."""
    sums = np.asarray(array, dtype=np.float64)
    for axis, length in enumerate(block):
        sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], length), axis=axis)
    return sums
