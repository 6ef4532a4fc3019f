"""Blocks for networks that need a margin: true neighbors inside a volume, reflections of it at its border only.

Tiles lie on a lattice anchored at the volume's first voxel and are always computed at one size, so a voxel's value does
not depend on the block that asked for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.patches.em_matching import Tables, matched
from medgan.volume import VolumeSource

Index3 = tuple[int, int, int]


def reflected_indices(start: int, stop: int, size: int) -> npt.NDArray[np.int64]:
    """Return the voxels that stand at ``start <= i < stop`` of an axis reflected at its ends, which are not repeated.

    Examples
    --------
    >>> reflected_indices(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    if size == 1:
        return np.zeros(stop - start, dtype=np.int64)
    place = np.arange(start, stop) % (2 * size - 2)
    return np.minimum(place, 2 * size - 2 - place)


def read_reflected(source: VolumeSource, box: Box, *, tables: Tables | None = None) -> npt.NDArray[Any]:
    """Return the voxels of a box that may reach beyond the volume, which goes on there as its reflection.

    Parameters
    ----------
    source : VolumeSource
    box : Box
    tables : (K, 256) uint8, optional
        Gray values to replace with, by section (see :mod:`medgan.patches.em_matching`).

    Returns
    -------
    (I, J, K)
        Of the box's shape and the source's type.

    Raises
    ------
    PatchError
        If the box's tables do not fit the volume.
    """
    shape = source.grid.shape
    indices = [reflected_indices(a, b, n) for a, b, n in zip(box.start_ijk, box.stop_ijk, shape)]
    needed = Box(tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices))  # type: ignore[arg-type]
    array = source.read(needed).array
    if tables is not None:
        if len(tables) != shape[2]:
            raise PatchError(f"Tables of gray values are one a section: found {len(tables)} for {shape[2]} sections.")
        array = matched(array, tables, needed.start_ijk[2])
    if needed == box:
        return array
    return array[np.ix_(*(i - a for i, a in zip(indices, needed.start_ijk)))]


def tiles_in(box: Box, tile: Index3) -> Iterator[Box]:
    """Yield the tiles of the lattice that hold a voxel of the box; they may reach beyond it."""
    if min(tile) < 1:
        raise PatchError(f"A tile needs at least one voxel along each axis: found {tile}.")
    ranges = (range(a // t, (b - 1) // t + 1) for a, b, t in zip(box.start_ijk, box.stop_ijk, tile))
    for place in product(*ranges):
        start = tuple(p * t for p, t in zip(place, tile))
        yield Box(start, tuple(s + t for s, t in zip(start, tile)))  # type: ignore[arg-type]


def require_field_of_view(shape: Sequence[int], halo: Sequence[int], label: str) -> None:
    """Refuse a volume in which no voxel has all the neighbors that a network looks at.

    Raises
    ------
    PatchError
        Naming the axes.
    """
    short = [f"{axis} has {n}, needs {2 * h + 1}" for axis, n, h in zip(("x", "y", "z"), shape, halo) if n < 2 * h + 1]
    if short:
        raise PatchError(
            f"{label} is smaller than the network's field of view: {', '.join(short)} voxels. Use a larger volume, or "
            "a model with less depth or with section kernels of 1."
        )


def require_reflectable(shape: Sequence[int], halo: Sequence[int], label: str) -> None:
    """Refuse a volume that would have to be reflected more than once to fill a network's margin.

    Raises
    ------
    PatchError
        Naming the axes.
    """
    short = [f"{axis} has {n}, needs {h + 1}" for axis, n, h in zip(("x", "y", "z"), shape, halo) if n <= h]
    if short:
        raise PatchError(
            f"{label} is smaller than what the network sees on one side of a voxel: {', '.join(short)} voxels. Use a "
            "larger volume, or a model that sees less."
        )
