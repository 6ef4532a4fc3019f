"""What a segmenter learns of instances: boundaries between them, or affinities to neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError

Background = Literal["ignored", "boundary"]
Float32 = npt.NDArray[np.float32]
Index3 = tuple[int, int, int]


def boundary_target(instances: npt.NDArray[Any], *, background: Background) -> tuple[Float32, Float32]:
    """Return where boundaries are, and where that is known.

    Parameters
    ----------
    instances : (I, J, K) unsigned integers
    background : {"ignored", "boundary"}
        What 0 means: unlabeled, or membrane.

    Returns
    -------
    target, counted : (1, I, J, K) float32
        A voxel is boundary if one of its six neighbors belongs to another instance; the line is two voxels thick.
    """
    boundary = np.zeros(instances.shape, dtype=bool)
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        differs = instances[low] != instances[high]
        if background == "ignored":
            differs &= (instances[low] != 0) & (instances[high] != 0)
        boundary[low] |= differs
        boundary[high] |= differs
    is_zero = instances == 0
    if background == "boundary":
        boundary |= is_zero
        is_zero = np.zeros_like(is_zero)
    return boundary[None].astype(np.float32), (~is_zero)[None].astype(np.float32)


def affinity_target(
    instances: npt.NDArray[Any], offsets: Sequence[Index3], *, background: Background
) -> tuple[Float32, Float32]:
    """Return which neighbors belong together, and where that is known.

    Parameters
    ----------
    instances : (I, J, K) unsigned integers
    offsets : sequence of three integers
        Neighbor of voxel v: v + offset.
    background : {"ignored", "boundary"}
        What 0 means; a membrane belongs to nothing.

    Returns
    -------
    target, counted : (C, I, J, K) float32
        Not counted where the neighbor lies outside.

    Raises
    ------
    PatchError
        If an offset is longer than the patch.
    """
    target = np.zeros((len(offsets), *instances.shape), dtype=np.float32)
    counted = np.zeros_like(target)
    for channel, offset in enumerate(offsets):
        if any(abs(o) >= n for o, n in zip(offset, instances.shape)):
            raise PatchError(f"Affinities over {tuple(offset)} voxels need a larger patch than {instances.shape}.")
        here = tuple(slice(max(-o, 0), n - max(o, 0)) for o, n in zip(offset, instances.shape))
        there = tuple(slice(max(o, 0), n - max(-o, 0)) for o, n in zip(offset, instances.shape))
        one, other = instances[here], instances[there]
        target[channel][here] = (one == other) & (one != 0)
        counted[channel][here] = 1.0 if background == "boundary" else (one != 0) & (other != 0)
    return target, counted
