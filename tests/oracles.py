"""Images whose exact answer is a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume


@dataclass(frozen=True)
class Ramp:
    """``offset + slope . xyz``: linear interpolation reproduces it at every point inside the image, on any grid."""

    slope: tuple[float, float, float] = (0.7, -1.3, 0.4)
    offset: float = 25.0

    def at(self, xyz: np.ndarray) -> np.ndarray:
        """Exact values at world points (..., 3)."""
        return np.asarray(xyz) @ np.asarray(self.slope) + self.offset

    def on(self, grid: Grid, quantity: Quantity = Quantity.MR_SIGNAL) -> Volume:
        """Return the ramp sampled at the voxel centers."""
        return Volume(self.at(voxel_centers(grid)).astype(np.float32), grid, quantity)


def voxel_centers(grid: Grid) -> np.ndarray:
    """World positions (I, J, K, 3) of all voxel centers."""
    return grid.world(np.moveaxis(np.indices(grid.shape), 0, -1))


def is_within(grid: Grid, xyz: np.ndarray, *, margin_voxel: float = 0.0) -> np.ndarray:
    """Tell for each point whether it lies between the outermost voxel centers of a grid."""
    ijk = grid.index(xyz)
    return ((ijk >= margin_voxel) & (ijk <= np.asarray(grid.shape) - 1 - margin_voxel)).all(axis=-1)


def ball(grid: Grid, *, center: Sequence[float], radius: float) -> LabelMap:
    """Return the voxels whose centers lie in a ball, in the grid's unit."""
    distance = np.linalg.norm(voxel_centers(grid) - np.asarray(center), axis=-1)
    return LabelMap(distance <= radius, grid, {1: "ball"})


def ball_volume(radius: float) -> float:
    """Volume of a ball."""
    return 4 / 3 * math.pi * radius**3


def lens_volume(first: float, second: float, distance: float) -> float:
    """Volume that two balls share.

    Notes
    -----
    ``pi (r + s - d)^2 (d^2 + 2 d (r + s) - 3 (r - s)^2) / (12 d)`` between touching and containing.
    """
    if distance >= first + second:
        return 0.0
    if distance <= abs(first - second):
        return ball_volume(min(first, second))
    return (
        math.pi
        * (first + second - distance) ** 2
        * (distance**2 + 2 * distance * (first + second) - 3 * (first - second) ** 2)
        / (12 * distance)
    )


def ball_dice(first: float, second: float, distance: float) -> float:
    """Dice coefficient of two balls."""
    return 2 * lens_volume(first, second, distance) / (ball_volume(first) + ball_volume(second))
