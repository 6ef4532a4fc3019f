"""Leave nothing but air around the body in a CT."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.preprocessing.intensity import STRICT
from medgan.preprocessing.morphology import MaskArray, filled, large_parts, opened, parts_with
from medgan.volume import LabelMap, Quantity, Volume

TISSUE_HU = -500.0
"""Halfway between air and soft tissue: a voxel that is half skin."""
DEVICE_HU = -800.0
"""What is denser than this outside the body is counted as couch or device; air is not, noisy as it may be."""


@dataclass(frozen=True, config=STRICT)
class Couch:
    """Set everything outside the body to -1024 HU: couch, cushions, masks, tubes and noise.

    Parameters
    ----------
    label : str
        Label map of the body.
    detach_mm : float
        Inside the label, too, what is thinner than twice this and separated from the body by air is no body: a couch
        right below the skin is often taken along by the closing that makes a body mask smooth. 0 keeps all of it.

    Notes
    -----
    What touches the skin without a voxel of air between cannot be told from it, and stays as far as the label holds it.
    """

    revision: ClassVar[int] = 1
    stage: Literal["couch"] = "couch"
    label: str = "body"
    detach_mm: float = Field(default=6.0, ge=0)

    def __call__(self, case: Case) -> Case:
        """Return the case with its CT cleared outside the body; the notice counts what was removed.

        Raises
        ------
        PreprocessingError
            If the image is no CT in HU.
        CohortError
            If there is no such label map.
        GeometryError
            If it is on another grid.
        """
        volume, body = case.image, case.label(self.label)
        if volume.quantity is not Quantity.HOUNSFIELD:
            raise PreprocessingError(f"Stage couch needs CT in HU: case {case.case_id} has {volume.quantity.label}.")
        body.grid.require_same_as(volume.grid, this=self.label, that="image", what="Stage couch")
        cleared = ~body.mask() | self._detached(volume, body)
        devices = int(np.count_nonzero(cleared & (volume.array > DEVICE_HU)))
        air = Quantity.HOUNSFIELD.outside
        changed = int(np.count_nonzero(cleared & (volume.array != air)))
        image = volume.mapped(
            lambda hu: np.where(cleared, np.float32(air), hu),
            step=self.stage,
            label=self.label,
            detach_mm=self.detach_mm,
            voxels_changed=changed,
            device_voxels=devices,
        )
        case = case.with_image(next(iter(case.images)), image)
        if body.mask().all():
            return case.with_notice("No couch was removed: the body fills the whole image.")
        if devices == 0:
            return case
        milliliters = devices * volume.grid.voxel_volume / 1000
        return case.with_notice(
            f"{devices} voxels ({milliliters:.0f} ml) of couch or devices outside the body were set to {air:.0f} HU."
        )

    def _detached(self, volume: Volume, body: LabelMap) -> MaskArray:
        """Return what lies in the label but is separated from the body by air."""
        # Lungs and bowel are body: only what lies open to the outside can be detached.
        solid = filled(body.mask() & (volume.array > TISSUE_HU))
        core = large_parts(opened(solid, self.detach_mm, volume.grid.spacing), share=0.1) if self.detach_mm else solid
        if not core.any():
            return np.zeros_like(solid)
        return np.asarray(solid & ~parts_with(solid | core, core))
