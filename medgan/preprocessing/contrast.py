"""Even out the contrast of electron microscopic sections."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.preprocessing.intensity import STRICT
from medgan.volume import Quantity


@dataclass(frozen=True, config=STRICT)
class Contrast:
    """Contrast-limited adaptive histogram equalization (CLAHE) of each section along the third axis.

    Parameters
    ----------
    tile_voxels : int
        Side of the square that a histogram is taken over, at most the section.
    clip_limit : float
        Share of a tile's voxels that one gray value may hold; what is above is spread over all. 1 limits nothing.
    bins : int
        Gray values of a histogram.

    Notes
    -----
    Pizer et al. 1987, doi 10.1016/S0734-189X(87)80186-X, by scikit-image. Deviations: a section of one gray value (a
    missing one) stays as it is, and integers stay integers of their width over their whole range.
    """

    revision: ClassVar[int] = 1
    stage: Literal["contrast"] = "contrast"
    tile_voxels: int = Field(default=64, ge=2)
    clip_limit: float = Field(default=0.01, gt=0, le=1)
    bins: int = Field(default=256, ge=2)

    def __call__(self, case: Case) -> Case:
        """Return the case with its sections equalized, in the type they had.

        Raises
        ------
        PreprocessingError
            If the image is no EM, or is not of 8 or 16 bit.
        """
        volume = case.image
        if volume.quantity is not Quantity.EM_SIGNAL or volume.array.dtype.kind != "u":
            raise PreprocessingError(
                f"Stage contrast needs EM sections of 8 or 16 bit: case {case.case_id} has {volume.quantity.label} as "
                f"{volume.array.dtype}."
            )
        equalized = volume.mapped(
            self._equalized,
            step=self.stage,
            tile_voxels=self.tile_voxels,
            clip_limit=self.clip_limit,
            bins=self.bins,
        )
        return case.with_image(next(iter(case.images)), equalized)

    def _equalized(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        from skimage.exposure import equalize_adapthist

        highest = np.iinfo(array.dtype).max
        tile = tuple(min(self.tile_voxels, n) for n in array.shape[:2])
        result = array.copy()
        for index in range(array.shape[2]):
            section = array[:, :, index]
            if section.min() == section.max():
                continue
            share = equalize_adapthist(section, kernel_size=tile, clip_limit=self.clip_limit, nbins=self.bins)
            result[:, :, index] = np.rint(share * highest)
        return result
