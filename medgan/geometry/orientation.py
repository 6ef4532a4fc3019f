"""Axis orders: which anatomical direction each array axis runs in, and how to get from one order to another."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError
from medgan.geometry.grid import Grid

_POSITIVE, _NEGATIVE = "RAS", "LPI"


@dataclass(frozen=True)
class AxisMap:
    """A signed permutation of array axes: pick axis ``order[a]`` for new axis ``a``, then reverse where ``flips[a]``.

    Examples
    --------
    >>> array = np.arange(6).reshape(1, 2, 3)
    >>> AxisMap((2, 1, 0), (True, False, False)).applied_to(array).shape
    (3, 2, 1)
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def __post_init__(self) -> None:
        if sorted(self.order) != [0, 1, 2] or len(self.flips) != 3:
            raise GeometryError(f"An axis map needs each of three axes once: found {self.order}, {self.flips}.")

    def applied_to(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return a view of a (I, J, K) array with its axes reordered and reversed."""
        view = array.transpose(self.order)
        return view[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def applied_to_grid(self, grid: Grid) -> Grid:
        """Return the grid that the reordered array lies on: the same voxels at the same places."""
        shape = tuple(grid.shape[axis] for axis in self.order)
        to_old = np.zeros((4, 4))
        to_old[3, 3] = 1.0
        for new, (old, flip) in enumerate(zip(self.order, self.flips)):
            to_old[old, new] = -1.0 if flip else 1.0
            to_old[old, 3] = shape[new] - 1 if flip else 0.0
        return Grid(shape, grid.affine @ to_old, grid.unit, grid.frame)  # type: ignore[arg-type]


def axis_codes(grid: Grid) -> str:
    """Return the direction that each array axis runs toward, such as ``"RAS"`` or ``"LIP"``.

    The assignment maximizes the sum of absolute direction cosines over the six axis orders, so an oblique grid always
    gets three different letters.

    Raises
    ------
    GeometryError
        If the grid is of a specimen, which has no anatomical directions.
    """
    order, positive = _closest_world_axes(grid)
    return "".join((_POSITIVE if p else _NEGATIVE)[axis] for axis, p in zip(order, positive))


def axis_map_to(grid: Grid, codes: str) -> AxisMap:
    """Return the axis map that brings ``grid`` closest to an orientation such as ``"RAS"``.

    Raises
    ------
    GeometryError
        If ``codes`` does not name each of R/L, A/P, S/I once, or the grid is of a specimen.
    """
    wanted = [next((a for a in range(3) if c in _POSITIVE[a] + _NEGATIVE[a]), None) for c in codes]
    if len(codes) != 3 or None in wanted or len(set(wanted)) != 3:
        raise GeometryError(
            f"An orientation names one of R/L, one of A/P and one of S/I, such as 'RAS': found {codes!r}."
        )
    world_axis, positive = _closest_world_axes(grid)
    order = tuple(world_axis.index(w) for w in wanted)
    flips = tuple(positive[old] != (code in _POSITIVE) for old, code in zip(order, codes))
    return AxisMap(order, flips)  # type: ignore[arg-type]


def _closest_world_axes(grid: Grid) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    if grid.frame != "patient":
        raise GeometryError("Anatomical directions need a grid in the patient's frame: this one is of a specimen.")
    cosines = grid.direction
    best = max(permutations(range(3)), key=lambda order: sum(abs(cosines[w, a]) for a, w in enumerate(order)))
    return best, tuple(bool(cosines[w, a] > 0) for a, w in enumerate(best))
