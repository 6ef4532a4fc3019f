"""Where a body is in its volume, as an index that is built once and asked for every patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Place = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BodyVoxels:
    """The voxels of a body, numbered in memory order.

    Attributes
    ----------
    mask : (I, J, K) bool
    before : (I + 1,) int64
        Voxels of the body before each plane of the first axis; the last is their number.
    low, extent : (3,) int64
        First voxel of the body's bounding box, and its length in steps, at least 1.
    rare : int64 array
        Flat indices of voxels whose prior is high; empty where none was asked for.

    Notes
    -----
    Memory is that of the planes' counts and of the rare voxels: a list of all voxels would take 24 times the mask.
    """

    mask: npt.NDArray[np.bool_]
    before: Place
    low: Place
    extent: Place
    rare: Place

    @classmethod
    def of_mask(
        cls, mask: npt.NDArray[np.bool_], prior: npt.NDArray[np.float32] | None = None, above: float | None = None
    ) -> BodyVoxels:
        """Build the index of a mask (I, J, K) that is not empty; rare voxels are those of ``prior`` above a value."""
        before = np.concatenate(([0], np.cumsum(np.count_nonzero(mask, axis=(1, 2))))).astype(np.int64)
        ends = []
        for axis in range(3):
            held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
            ends.append((held[0], held[-1]))
        low, high = np.array(ends, dtype=np.int64).T
        rare = np.zeros(0, dtype=np.int64)
        if prior is not None and above is not None:
            rare = np.flatnonzero(mask & (prior > above)).astype(np.int64)
        return cls(mask, before, low, np.maximum(high - low, 1), rare)

    @property
    def count(self) -> int:
        """Number of voxels."""
        return int(self.before[-1])

    def picked(self, number: int) -> Place:
        """Return the place (i, j, k) of the voxel of a number, from 0."""
        plane = int(np.searchsorted(self.before, number, side="right")) - 1
        flat = np.flatnonzero(self.mask[plane])[number - int(self.before[plane])]
        j, k = divmod(int(flat), self.mask.shape[2])
        return np.array((plane, j, k), dtype=np.int64)

    def at(self, flat: int) -> Place:
        """Return the place (i, j, k) of a flat index into the volume."""
        return np.array(np.unravel_index(flat, self.mask.shape), dtype=np.int64)

    def nearest(self, wanted: npt.NDArray[Any]) -> Place:
        """Return the voxel of the body nearest to a point (3,) in voxels; of several, the first in memory order.

        Notes
        -----
        Looked for in a box around the point that doubles until it holds a voxel not further away than its sides are.
        """
        point = np.asarray(wanted, dtype=np.float64)
        # The box must reach the body: it starts at the distance of the point from the body's bounding box.
        outside = np.maximum(np.maximum(self.low - point, point - (self.low + self.extent)), 0.0)
        reach = int(np.ceil(np.sqrt((outside**2).sum()))) + 4
        while True:
            start = np.maximum(np.floor(point).astype(np.int64) - reach, 0)
            stop = np.minimum(np.ceil(point).astype(np.int64) + reach + 1, self.mask.shape)
            part = self.mask[tuple(slice(a, max(a, b)) for a, b in zip(start, stop))]
            if part.any():
                places = np.argwhere(part) + start
                distances = ((places - point) ** 2).sum(axis=1)
                best = int(np.argmin(distances))
                if distances[best] <= reach**2 or part.shape == self.mask.shape:
                    return np.asarray(places[best], dtype=np.int64)
            reach *= 2
