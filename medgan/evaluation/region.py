"""The voxels that count, and values inside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


def require_pair(
    *, result: npt.NDArray[Any], reference: npt.NDArray[Any], mask: BoolArray | None, measure: str
) -> None:
    """Refuse two arrays that cannot be compared voxel by voxel.

    Raises
    ------
    EvaluationError
        If shapes differ, the mask is not of booleans, or no voxel counts.
    """
    if result.shape != reference.shape:
        raise EvaluationError(
            f"{measure} needs two arrays of one shape: found {result.shape} for the result and {reference.shape} for "
            "the reference. Resample the result onto the reference's grid."
        )
    if mask is None:
        if result.size == 0:
            raise EvaluationError(f"{measure} needs at least one voxel: found an array of shape {result.shape}.")
        return
    if mask.dtype != np.bool_ or mask.shape != result.shape:
        raise EvaluationError(
            f"{measure} needs a mask of booleans of shape {result.shape}: found {mask.dtype} of shape {mask.shape}."
        )
    if not mask.any():
        raise EvaluationError(f"{measure} needs at least one voxel in the mask: found none. Check the mask's labels.")


def values_in(array: npt.NDArray[Any], mask: BoolArray | None) -> FloatArray:
    """Return the values in the mask as a flat float32 array (all values if there is no mask)."""
    return np.asarray(array.ravel() if mask is None else array[mask], dtype=np.float32)
