"""Cut a case down to a box that is known beforehand."""

from __future__ import annotations

from itertools import product
from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import Box, Grid
from medgan.preprocessing.intensity import STRICT

Corner = tuple[float, float, float]


@dataclass(frozen=True, config=STRICT)
class CropBox:
    """Keep a box given in world coordinates or in voxels.

    Parameters
    ----------
    start, stop : three numbers each
        In mm (world, right-anterior-superior): two opposite corners of the box, along the world's axes. In voxels:
        first voxel inside and first outside, along the axes as they are when the stage runs (reorient first).
    unit : {"mm", "nm", "voxel"}
        nm is for specimens.
    beyond : {"clip", "pad"}
        What of the box lies outside the image is left out, with a notice, or filled with the quantity's outside value.

    Notes
    -----
    A world box keeps the smallest box of voxels that holds every voxel center in it; on an oblique grid that is more
    than the box.
    """

    start: Corner
    stop: Corner
    revision: ClassVar[int] = 1
    stage: Literal["crop_box"] = "crop_box"
    unit: Literal["mm", "nm", "voxel"] = "mm"
    beyond: Literal["clip", "pad"] = "clip"

    @model_validator(mode="after")
    def _is_box(self) -> CropBox:
        if not np.isfinite([*self.start, *self.stop]).all() or any(b <= a for a, b in zip(self.start, self.stop)):
            raise ValueError(f"a box must start before it stops: found {list(self.start)} to {list(self.stop)}")
        if self.unit == "voxel" and not all(float(n).is_integer() for n in (*self.start, *self.stop)):
            raise ValueError(f"voxels are counted in whole numbers: found {list(self.start)} to {list(self.stop)}")
        return self

    def __call__(self, case: Case) -> Case:
        """Return the case cropped; a world box crops each image on its own grid.

        Raises
        ------
        PreprocessingError
            If no voxel of an image lies in the box, or an image is in another unit.
        GeometryError
            If a box in voxels meets images on different grids.
        """
        grids = [*(image.grid for image in case.images.values()), *(labels.grid for labels in case.labels.values())]
        if self.unit == "voxel":
            for grid in grids[1:]:
                grid.require_same_as(grids[0], this="one", that="another", what="Stage crop_box in voxels")
        clipped = []
        for name, image in case.images.items():
            box, is_whole = self._box_in(image.grid, name, case.case_id)
            clipped += [] if is_whole else [name]
            case = case.with_image(name, image.cropped(box))
        for name, labels in case.labels.items():
            box, is_whole = self._box_in(labels.grid, name, case.case_id)
            clipped += [] if is_whole else [name]
            case = case.with_label(name, labels.read(box))
        if not clipped:
            return case
        return case.with_notice(f"The box to crop to ends beyond the image and was cut there: {', '.join(clipped)}.")

    def _box_in(self, grid: Grid, name: str, case_id: str) -> tuple[Box, bool]:
        """Return the voxels to keep, and whether they are all of the box."""
        box = self._box_of(grid, name, case_id)
        if box is None or not box.intersects(grid.box):
            raise PreprocessingError(
                f"Stage crop_box needs voxels between {_words(self.start)} and {_words(self.stop)} {self.unit}: "
                f"{name!r} of case {case_id} has none there. It holds {grid.describe()}."
            )
        kept = box if self.beyond == "pad" else box.intersection(grid.box)
        return kept, kept == box

    def _box_of(self, grid: Grid, name: str, case_id: str) -> Box | None:
        if self.unit == "voxel":
            return Box(tuple(map(int, self.start)), tuple(map(int, self.stop)))  # type: ignore[arg-type]
        if grid.unit != self.unit:
            raise PreprocessingError(
                f"Stage crop_box in {self.unit} needs images in {self.unit}: {name!r} of case {case_id} is in "
                f"{grid.unit}."
            )
        corners = grid.index(list(product(*zip(self.start, self.stop))))
        # A center on the box's face is in it, whatever rounding makes of it.
        low, high = np.ceil(corners.min(axis=0) - 1e-6), np.floor(corners.max(axis=0) + 1e-6) + 1
        return Box(tuple(low), tuple(high)) if (high > low).all() else None


def _words(corner: Corner) -> str:
    return f"({', '.join(f'{x:g}' for x in corner)})"
