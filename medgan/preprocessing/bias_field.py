"""Take the receive coil's shading out of an MR image."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from pydantic.dataclasses import dataclass

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import Grid
from medgan.preprocessing.body_mask import BodyMask
from medgan.preprocessing.intensity import STRICT
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample, resample_labels

CONTROL_POINTS = 4
"""Per axis on the coarsest level: one cubic patch, the smoothest field that N4 knows."""
FEWEST_VOXELS = 4


@dataclass(frozen=True, config=STRICT)
class BiasField:
    """Divide MR signal by a smooth field, found by N4 inside the body; the field's logarithm has mean 0 there.

    Parameters
    ----------
    shrink_mm : float
        Largest voxel of the copy that the field is found on.
    levels : int
        The mesh starts with one patch an axis and doubles from level to level: more follow a stronger coil, and
        anatomy too.
    iterations : int
        On each level.

    Notes
    -----
    N4 (Tustison et al. 2010, doi 10.1109/TMI.2010.2046908) by SimpleITK. The copy ends where the image ends, so that
    the B-spline of the logarithm is evaluated at the full resolution's voxels and no field is interpolated. Deviations:
    a fixed number of iterations instead of a convergence threshold, which stopped some phantoms after the first.
    One thread, so that the bits do not depend on the machine. The body is the label ``body`` where the case has it.
    """

    revision: ClassVar[int] = 1
    stage: Literal["bias_field"] = "bias_field"
    shrink_mm: float = Field(default=5.0, gt=0)
    levels: int = Field(default=2, ge=1, le=5)
    iterations: int = Field(default=40, ge=1)

    def __call__(self, case: Case) -> Case:
        """Return the case with its MR corrected.

        Raises
        ------
        PreprocessingError
            If the image is no MR, has an axis of fewer than four voxels, or no signal in the body.
        GeometryError
            If the label ``body`` is on another grid.
        """
        volume = case.image
        if volume.quantity is not Quantity.MR_SIGNAL:
            raise PreprocessingError(
                f"Stage bias_field needs MR signal: case {case.case_id} has {volume.quantity.label}."
            )
        if min(volume.shape) < FEWEST_VOXELS:
            raise PreprocessingError(
                f"Stage bias_field needs {FEWEST_VOXELS} voxels along each axis: case {case.case_id} has "
                f"{' x '.join(map(str, volume.shape))}."
            )
        body = case.labels.get("body")
        if body is None:
            body = LabelMap(BodyMask().found_in(volume).mask, volume.grid)
        body.grid.require_same_as(volume.grid, this="body", that="image", what="Stage bias_field")
        if not (volume.array[body.mask()] > 0).any():
            raise PreprocessingError(f"Stage bias_field needs signal in the body: case {case.case_id} has none.")
        log_field = self.log_field_of(volume, body)
        spread = float(np.ptp(log_field[body.mask()]))
        corrected = volume.mapped(
            lambda values: values / np.exp(log_field),
            step=self.stage,
            shrink_mm=self.shrink_mm,
            levels=self.levels,
            iterations=self.iterations,
            log_range_in_body=round(spread, 4),
        )
        return case.with_image(next(iter(case.images)), corrected)

    def log_field_of(self, volume: Volume, body: LabelMap) -> npt.NDArray[np.float32]:
        """Return the natural logarithm (I, J, K) of the field, of mean 0 in the body."""
        import SimpleITK as sitk

        coarse = _coarse(volume.grid, self.shrink_mm)
        copy = resample(volume, coarse, antialias=True)
        # N4 takes logarithms: what has no signal cannot count.
        inside = resample_labels(body, coarse).mask() & (copy.array > 0)
        if not inside.any():
            return np.zeros(volume.shape, dtype=np.float32)
        n4 = sitk.N4BiasFieldCorrectionImageFilter()
        n4.SetNumberOfThreads(1)
        n4.SetMaximumNumberOfIterations([self.iterations] * self.levels)
        n4.SetConvergenceThreshold(0.0)
        n4.SetNumberOfControlPoints([CONTROL_POINTS] * 3)
        n4.Execute(_image(copy.array, coarse), _image(inside.astype(np.uint8), coarse))
        field = n4.GetLogBiasFieldAsImage(_image(np.zeros(volume.shape, np.float32), volume.grid))
        log_field = sitk.GetArrayFromImage(field).transpose(2, 1, 0)
        return np.asarray(log_field - log_field[body.mask()].mean(dtype=np.float64), dtype=np.float32)


def _coarse(grid: Grid, largest_mm: float) -> Grid:
    """Return a grid whose outermost voxel centers are those of ``grid``, with voxels of at most ``largest_mm``."""
    count, spacing = np.asarray(grid.shape), np.asarray(grid.spacing)
    extent = (count - 1) * spacing
    fewer = np.minimum(np.maximum(np.ceil(extent / largest_mm).astype(int) + 1, FEWEST_VOXELS), count)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.direction * (extent / (fewer - 1))
    return Grid(tuple(fewer), affine, grid.unit, grid.frame)


def _image(array: npt.NDArray[Any], grid: Grid) -> Any:
    """Return an ITK image in the grid's own axes: a field along axes needs no world, and shear has none in ITK."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing)
    return image
