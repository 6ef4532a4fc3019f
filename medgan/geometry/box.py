"""A half-open box of voxels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError

Index3 = tuple[int, int, int]


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number of any numeric type; NaN, infinity and text are not."""
    return isinstance(value, Real) and float(value).is_integer()


@dataclass(frozen=True)
class Box:
    """Voxels ``start_ijk <= ijk < stop_ijk``; empty boxes are refused, negative indices are allowed.

    Parameters
    ----------
    start_ijk, stop_ijk : three integers each
        First voxel inside and first voxel outside, along each axis.

    Raises
    ------
    GeometryError
        If an axis has no voxel.

    Examples
    --------
    >>> Box((0, 0, 0), (4, 5, 6)).intersection(Box((2, 2, 2), (9, 9, 9)))
    Box(start_ijk=(2, 2, 2), stop_ijk=(4, 5, 6))
    """

    start_ijk: Index3
    stop_ijk: Index3

    def __post_init__(self) -> None:
        for name in ("start_ijk", "stop_ijk"):
            values = getattr(self, name)
            if len(values) != 3 or not all(is_whole(v) for v in values):
                raise GeometryError(f"A box needs three whole numbers for {name}: found {tuple(values)!r}.")
            object.__setattr__(self, name, tuple(int(v) for v in values))
        if any(b <= a for a, b in zip(self.start_ijk, self.stop_ijk)):
            raise GeometryError(
                f"A box needs at least one voxel on each axis: found {self.start_ijk} to {self.stop_ijk}."
            )

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """Return the box that holds all voxels of an array of this shape."""
        return cls((0, 0, 0), tuple(int(n) for n in shape))  # type: ignore[arg-type]

    @property
    def shape(self) -> Index3:
        """Number of voxels along each axis."""
        return tuple(b - a for a, b in zip(self.start_ijk, self.stop_ijk))  # type: ignore[return-value]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index expression for an array whose origin is voxel (0, 0, 0); needs non-negative starts.

        Raises
        ------
        GeometryError
            If the box begins before voxel 0, where Python would count from the end.
        """
        if min(self.start_ijk) < 0:
            raise GeometryError(f"An array cannot be indexed by a box that starts at {self.start_ijk}: clip it first.")
        return tuple(slice(a, b) for a, b in zip(self.start_ijk, self.stop_ijk))  # type: ignore[return-value]

    def contains(self, other: Box) -> bool:
        """Tell whether every voxel of ``other`` lies in this box."""
        return all(a <= c and d <= b for a, b, c, d in self._with(other))

    def intersects(self, other: Box) -> bool:
        """Tell whether the two boxes share a voxel."""
        return all(max(a, c) < min(b, d) for a, b, c, d in self._with(other))

    def intersection(self, other: Box) -> Box:
        """Return the voxels in both boxes.

        Raises
        ------
        GeometryError
            If there are none.
        """
        if not self.intersects(other):
            raise GeometryError(f"Two boxes need a common voxel: found {self} and {other}.")
        pairs = [(max(a, c), min(b, d)) for a, b, c, d in self._with(other)]
        return Box(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))  # type: ignore[arg-type]

    def expanded(self, margin: int | Sequence[int]) -> Box:
        """Return the box grown by ``margin`` voxels on both sides of each axis (negative shrinks)."""
        margins = tuple(margin) if isinstance(margin, Iterable) else (int(margin),) * 3
        return Box(
            tuple(a - m for a, m in zip(self.start_ijk, margins)),  # type: ignore[arg-type]
            tuple(b + m for b, m in zip(self.stop_ijk, margins)),  # type: ignore[arg-type]
        )

    def shifted(self, offset_ijk: Sequence[int]) -> Box:
        """Return the box moved by whole voxels."""
        return Box(
            tuple(a + o for a, o in zip(self.start_ijk, offset_ijk)),  # type: ignore[arg-type]
            tuple(b + o for b, o in zip(self.stop_ijk, offset_ijk)),  # type: ignore[arg-type]
        )

    def _with(self, other: Box) -> list[tuple[int, int, int, int]]:
        return list(zip(self.start_ijk, self.stop_ijk, other.start_ijk, other.stop_ijk))


def bounding_box(mask: npt.NDArray[np.bool_]) -> Box | None:
    """Return the smallest box that holds every voxel of a (I, J, K) mask, or None if the mask is empty.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.zeros((4, 5, 6), dtype=bool)
    >>> mask[1:3, 2, 4] = True
    >>> bounding_box(mask)
    Box(start_ijk=(1, 2, 4), stop_ijk=(3, 3, 5))
    """
    lines = np.asarray(mask.any(axis=2))
    occupied = [np.flatnonzero(axis) for axis in (lines.any(axis=1), lines.any(axis=0), mask.any(axis=(0, 1)))]
    if occupied[0].size == 0:
        return None
    start, stop = zip(*((int(axis[0]), int(axis[-1]) + 1) for axis in occupied))
    return Box(start, stop)
