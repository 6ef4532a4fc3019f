"""What one block needs of a volume, read from the disk once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medgan.geometry import Box, Grid
from medgan.patches.valid_reading import reflected_indices
from medgan.volume import Provenance, Quantity, Volume, VolumeSource


@dataclass(frozen=True, eq=False)
class HeldSource:
    """A volume of which one box is in memory; all else is still read when asked for.

    Parameters
    ----------
    whole : VolumeSource
    held : Volume
        The box's voxels.
    box : Box
    """

    whole: VolumeSource
    held: Volume = field(repr=False)
    box: Box

    @classmethod
    def of(cls, whole: VolumeSource, box: Box) -> HeldSource:
        """Read a box that lies in the volume."""
        return cls(whole, whole.read(box), box)

    @property
    def grid(self) -> Grid:
        """Grid of the whole."""
        return self.whole.grid

    @property
    def quantity(self) -> Quantity:
        """What a voxel measures."""
        return self.whole.quantity

    @property
    def provenance(self) -> Provenance:
        """Of the whole."""
        return self.whole.provenance

    def read(self, box: Box) -> Volume:
        """Return the voxels in a box of the whole."""
        if not self.box.contains(box):
            return self.whole.read(box)
        return self.held.read(box.shifted([-s for s in self.box.start_ijk]))


def needed_indices(
    box: Box, *, tile: Sequence[int], halo: Sequence[int], shape: Sequence[int]
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return the voxels along each axis that the tiles of a box look at, sorted; all lie in the volume.

    Parameters
    ----------
    box : Box
    tile, halo, shape : (I, J, K)
        Of the tiles, of what is read around them, and of the volume, which goes on as its reflection.

    Examples
    --------
    >>> [axis.tolist() for axis in needed_indices(Box((0, 4, 0), (4, 8, 1)), tile=(4, 4, 1), halo=(1, 1, 0),
    ...                                            shape=(9, 9, 1))]
    [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7, 8], [0]]
    """
    spans = []
    for start, stop, t, h, n in zip(box.start_ijk, box.stop_ijk, tile, halo, shape):
        first, last = (start // t) * t - h, -(-stop // t) * t + h
        spans.append(np.unique(reflected_indices(first, last, n)))
    return tuple(spans)


def box_around(indices: Sequence[npt.NDArray[np.int64]]) -> Box:
    """Return the smallest box with all of these voxels."""
    return Box(tuple(int(i[0]) for i in indices), tuple(int(i[-1]) + 1 for i in indices))  # type: ignore[arg-type]
