"""Bring the axes of a case into one anatomical order."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import field_validator
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.geometry import Grid, axis_map_to
from medgan.preprocessing.intensity import STRICT


@dataclass(frozen=True, config=STRICT)
class Reorient:
    """Reorder and reverse axes so that they run closest to ``codes``; voxels are copied bit for bit."""

    revision: ClassVar[int] = 1
    stage: Literal["reorient"] = "reorient"
    codes: str = "RAS"

    @field_validator("codes")
    @classmethod
    def _known(cls, codes: str) -> str:
        axis_map_to(Grid((1, 1, 1), np.eye(4)), codes)
        return codes

    def __call__(self, case: Case) -> Case:
        """Return the case with every image and label map reordered on its own grid.

        Raises
        ------
        GeometryError
            If an image is of a specimen, which has no anatomical directions.
        """
        for name, volume in case.images.items():
            case = case.with_image(name, volume.reordered(axis_map_to(volume.grid, self.codes)))
        for name, labels in case.labels.items():
            case = case.with_label(name, labels.reordered(axis_map_to(labels.grid, self.codes)))
        return case
