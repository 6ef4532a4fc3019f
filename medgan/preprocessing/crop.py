"""Cut a case down to its body."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import bounding_box
from medgan.preprocessing.intensity import STRICT


@dataclass(frozen=True, config=STRICT)
class Crop:
    """Keep the bounding box of a label map plus a margin, within the image."""

    revision: ClassVar[int] = 1
    stage: Literal["crop"] = "crop"
    label: str = "body"
    margin_mm: float = Field(default=8.0, ge=0)

    def __call__(self, case: Case) -> Case:
        """Return the case cropped.

        Raises
        ------
        PreprocessingError
            If the label map is empty.
        GeometryError
            If an image is not on the label map's grid.
        """
        labels = case.label(self.label)
        box = bounding_box(labels.mask())
        if box is None:
            raise PreprocessingError(
                f"Stage crop needs a label map {self.label!r} with voxels in it: case {case.case_id} has none."
            )
        margin = [int(np.ceil(self.margin_mm / s)) for s in labels.grid.spacing]
        box = box.expanded(margin).intersection(labels.grid.box)
        for name, volume in case.images.items():
            volume.grid.require_same_as(labels.grid, this=name, that=self.label, what="Stage crop")
            case = case.with_image(name, volume.cropped(box))
        for name, other in case.labels.items():
            other.grid.require_same_as(labels.grid, this=name, that=self.label, what="Stage crop")
            case = case.with_label(name, other.read(box))
        return case
