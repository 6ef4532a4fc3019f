"""A volume cut into blocks of whole chunks, each with a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from medgan.errors import InferenceError
from medgan.geometry import Box

Index3 = tuple[int, int, int]
_KEY = re.compile(r"(\d+)-(\d+)-(\d+)")


@dataclass(frozen=True)
class BlockGrid:
    """The blocks of a volume, from its first voxel on; the last ones end with it.

    Parameters
    ----------
    shape_ijk : (I, J, K)
    block_ijk : (I, J, K)
        Voxels of a block.

    Raises
    ------
    InferenceError
        If a block has no voxel.

    Examples
    --------
    >>> BlockGrid((100, 64, 64), (64, 64, 64)).keys
    ('0-0-0', '0-0-1')
    >>> BlockGrid((100, 64, 64), (64, 64, 64)).box("0-0-1")
    Box(start_ijk=(64, 0, 0), stop_ijk=(100, 64, 64))
    """

    shape_ijk: Index3
    block_ijk: Index3

    def __post_init__(self) -> None:
        if min(self.block_ijk) < 1:
            raise InferenceError(f"A block needs at least one voxel along each axis: found {self.block_ijk[::-1]}.")

    @property
    def counts_ijk(self) -> Index3:
        """Blocks along each axis."""
        i, j, k = (-(-n // b) for n, b in zip(self.shape_ijk, self.block_ijk))
        return i, j, k

    @property
    def keys(self) -> tuple[str, ...]:
        """Names ``z-y-x`` of all blocks, in the order in which files store them."""
        return tuple("-".join(map(str, place)) for place in product(*(range(n) for n in self.counts_ijk[::-1])))

    def box(self, key: str) -> Box:
        """Return the voxels of a block.

        Raises
        ------
        InferenceError
            If there is no such block.
        """
        match = _KEY.fullmatch(key)
        place = tuple(int(n) for n in match.groups())[::-1] if match else (-1,)
        if len(place) != 3 or any(not 0 <= p < n for p, n in zip(place, self.counts_ijk)):
            raise InferenceError(f"There is no block {key!r}: a volume of {self.shape_ijk[::-1]} has {len(self.keys)}.")
        start = tuple(p * b for p, b in zip(place, self.block_ijk))
        return Box(start, tuple(min(s + b, n) for s, b, n in zip(start, self.block_ijk, self.shape_ijk)))  # type: ignore[arg-type]

    def in_words(self, key: str) -> str:
        """Return the block's name and voxels, z, y, x as the options say them."""
        box = self.box(key)
        spans = ", ".join(f"{a}-{b}" for a, b in zip(box.start_ijk[::-1], box.stop_ijk[::-1]))
        return f"{key} (voxels {spans} along z, y, x)"


def whole_chunks(block_ijk: Sequence[int], unit_ijk: Sequence[int]) -> Index3:
    """Return the block made larger to whole chunks, so that no two blocks write one.

    Examples
    --------
    >>> whole_chunks((100, 64, 1), (64, 64, 64))
    (128, 64, 64)
    """
    i, j, k = (int(-(-b // u) * u) for b, u in zip(np.maximum(block_ijk, 1), unit_ijk))
    return i, j, k
