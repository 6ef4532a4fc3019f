"""Cases of simple shapes whose body is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from oracles import voxel_centers

from medgan.cohort import Case
from medgan.geometry import Grid
from medgan.volume import LabelMap, Provenance, Quantity, Volume

MR, CT, NORMALIZED = Quantity.MR_SIGNAL, Quantity.HOUNSFIELD, Quantity.NORMALIZED
GRID = Grid.axis_aligned((48, 44, 20), spacing=(3, 3, 4), origin=(-70.5, -64.5, -38))
"""144 x 132 x 80 mm, centered on the origin."""


def case_of(array: np.ndarray, quantity: Quantity, grid: Grid = GRID, body: np.ndarray | None = None) -> Case:
    """Return a case of one image, with a body label where a mask is given."""
    volume = Volume(np.array(array, np.float32), grid, quantity, Provenance(("ab" * 32,)))
    case = Case("phantom_1", "phantom_1", {quantity.label: volume})
    return case if body is None else case.with_label("body", LabelMap(body, grid, {1: "body"}))


def ball_mask(grid: Grid = GRID, *, center: Sequence[float] = (0, 0, 0), radius: float = 30) -> np.ndarray:
    """Voxels whose centers lie in a ball."""
    return np.linalg.norm(voxel_centers(grid) - np.asarray(center), axis=-1) <= radius


def tube_mask(grid: Grid = GRID, *, center: Sequence[float] = (0, 0), radius: float = 30) -> np.ndarray:
    """Voxels in a cylinder along z that leaves the image at both ends."""
    return np.linalg.norm(voxel_centers(grid)[..., :2] - np.asarray(center), axis=-1) <= radius


def ct_of(body: np.ndarray, rng: np.random.Generator, *, tissue_hu: float = 40.0, noise_hu: float = 12.0) -> np.ndarray:
    """HU of tissue in air, with noise."""
    return np.where(body, tissue_hu, -1000.0) + rng.normal(0, noise_hu, body.shape)


def mr_of(body: np.ndarray, rng: np.random.Generator, *, signal: float = 300.0, noise: float = 8.0) -> np.ndarray:
    """Signal of tissue in air with Rician noise."""
    real, imaginary = rng.normal(0, noise, (2, *body.shape))
    return np.hypot(np.where(body, signal, 0.0) + real, imaginary)


def prepared_case(
    shape: Sequence[int], rng: np.random.Generator, *, case_id: str = "c", body: np.ndarray | None = None
) -> Case:
    """Return a normalized case: random values in the body, -1 outside; the whole image is body unless it is given."""
    grid = Grid.axis_aligned(tuple(shape), spacing=(2, 2, 3))
    mask = np.ones(grid.shape, bool) if body is None else body
    values = np.where(mask, rng.uniform(-1, 1, grid.shape), -1.0).astype(np.float32)
    image = Volume(values, grid, Quantity.NORMALIZED)
    return Case(case_id, case_id, {"mr": image}, {"body": LabelMap(mask, grid, {1: "body"})})
