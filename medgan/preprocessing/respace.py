"""Bring the voxels of a case to one size."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import field_validator
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import Grid
from medgan.preprocessing.intensity import STRICT
from medgan.volume import Volume
from medgan.volume.memory_order import row_major
from medgan.volume.resample import Interpolation, resample, resample_labels


@dataclass(frozen=True, config=STRICT)
class Respace:
    """Resample every image to one spacing over the same extent, with right angles.

    Parameters
    ----------
    spacing_mm : (i, j, k)
        Along the axes as they are when the stage runs: reorient first.
    interpolation : {"linear", "cubic", "nearest"}
    antialias : bool
        Smooth first along axes that become coarser.

    Notes
    -----
    A sheared grid (tilted gantry) gets orthogonal axes here: the third axis is made perpendicular to the first two,
    and the extent is that of the sheared corners.
    """

    spacing_mm: tuple[float, float, float]
    revision: ClassVar[int] = 1
    stage: Literal["respace"] = "respace"
    interpolation: Interpolation = "linear"
    antialias: bool = True

    @field_validator("spacing_mm")
    @classmethod
    def _positive(cls, spacing: tuple[float, float, float]) -> tuple[float, float, float]:
        if not np.isfinite(spacing).all() or min(spacing) <= 0:
            raise ValueError(f"a spacing must be three positive lengths in mm: found {list(spacing)}")
        return spacing

    def __call__(self, case: Case) -> Case:
        """Return the case with images resampled and label maps moved by nearest neighbor.

        Raises
        ------
        PreprocessingError
            If an image is not in mm.
        """
        grids = {name: image.grid for name, image in case.images.items()}
        for name, grid in (grids | {name: labels.grid for name, labels in case.labels.items()}).items():
            if grid.unit != "mm":
                raise PreprocessingError(
                    f"Stage respace needs images in mm: {name!r} of case {case.case_id} is in {grid.unit}."
                )
        for name, volume in case.images.items():
            grid = orthogonal(volume.grid).respaced(self.spacing_mm)
            moved = resample(volume, grid, interpolation=self.interpolation, antialias=self.antialias)
            # Masks and patches, which come next, run along the last axis; files and ITK along the first one.
            array = row_major(moved.array)
            case = case.with_image(name, Volume.of_finite(array, grid, moved.quantity, moved.provenance))
        for name, labels in case.labels.items():
            case = case.with_label(name, resample_labels(labels, orthogonal(labels.grid).respaced(self.spacing_mm)))
        return case


def orthogonal(grid: Grid) -> Grid:
    """Return a grid with right angles that holds every corner of ``grid``; the same grid where angles are right."""
    if not grid.is_sheared:
        return grid
    # Gram-Schmidt in the order of the axes keeps the first axis and the plane of the first two.
    q, r = np.linalg.qr(grid.affine[:3, :3])
    axes = q * np.sign(np.diag(r)) * np.asarray(grid.spacing)
    frame = Grid(
        (1, 1, 1), np.block([[axes, grid.affine[:3, 3:]], [np.zeros((1, 3)), np.ones((1, 1))]]), grid.unit, grid.frame
    )
    corners = frame.index(grid.corners_xyz())
    low, high = np.floor(corners.min(axis=0) + 1e-6), np.ceil(corners.max(axis=0) - 1e-6)
    affine = frame.affine.copy()
    affine[:3, 3] = frame.world(low)
    return Grid(tuple((high - low + 1).astype(int)), affine, grid.unit, grid.frame)
