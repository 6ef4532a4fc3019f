"""Find the rigid movement that brings one image onto another of another modality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.preprocessing.respace import orthogonal
from medgan.volume import LabelMap, Volume
from medgan.volume.resample import resample, resample_labels

Matrix = npt.NDArray[np.float64]

BINS = 40
SAMPLES = 20_000
"""Voxels that the mutual information is estimated from, at most."""
SEED = 1
FEWEST_VOXELS = 4


@dataclass(frozen=True)
class RigidFit:
    """A movement and how well it fits.

    Parameters
    ----------
    to_fixed : (4, 4) float64
        Maps world points of the moving image to the fixed image's world.
    mutual_information : float
        Mattes mutual information on the finest level, in nats.
    """

    to_fixed: Matrix
    mutual_information: float


def rigid_fit(
    *,
    fixed: Volume,
    moving: Volume,
    region: LabelMap,
    start: Matrix,
    levels_mm: tuple[float, ...],
    turns: bool = True,
) -> RigidFit | None:
    """Return the movement of the moving image that maximizes the mutual information, or None if overlap is lost.

    Parameters
    ----------
    fixed, moving : Volume
        Each on its own grid, in mm; sheared or oblique ones too.
    region : LabelMap
        Where the fixed image is compared, on its grid.
    start : (4, 4)
        Rigid map from moving to fixed world points to begin with.
    levels_mm : floats
        Voxel sizes, from coarse to fine, that both images are compared at.
    turns : bool
        Search rotations, too; otherwise shifts only, from the shift that ``start`` is.

    Returns
    -------
    RigidFit or None
        None if, on the way, too few points of the region fall into the moving image to compare anything.

    Notes
    -----
    Mattes et al. 2003, doi 10.1109/TMI.2002.803888, by SimpleITK. Powell's method climbs: limbs are so nearly
    symmetric about their axis that the gradient methods stopped up to 15 degrees short on phantoms. One thread and a
    fixed seed of the sampling give the same bits every time.
    """
    import SimpleITK as sitk

    transform: Any = sitk.Euler3DTransform() if turns else sitk.TranslationTransform(3)
    if turns:
        transform.SetCenter(fixed.grid.world((np.asarray(fixed.shape) - 1) / 2).tolist())
        _set_matrix(transform, _inverse(start))
    else:
        transform.SetOffset((-start[:3, 3]).tolist())
    value = 0.0
    for level_mm in levels_mm:
        grid = _level_grid(fixed.grid, level_mm)
        search = sitk.ImageRegistrationMethod()
        search.SetNumberOfThreads(1)
        search.SetMetricAsMattesMutualInformation(BINS)
        search.SetMetricFixedMask(_image(resample_labels(region, grid).array, grid))
        search.SetMetricSamplingStrategy(search.RANDOM)
        search.SetMetricSamplingPercentage(min(1.0, SAMPLES / int(np.prod(grid.shape))), SEED)
        search.SetInterpolator(sitk.sitkLinear)
        search.SetOptimizerAsPowell(
            numberOfIterations=20, stepLength=1.0, stepTolerance=0.01, valueTolerance=1e-5, maximumLineIterations=30
        )
        search.SetOptimizerScalesFromPhysicalShift()
        search.SetInitialTransform(transform, inPlace=True)
        try:
            search.Execute(_compared(fixed, level_mm), _compared(moving, level_mm))
        except RuntimeError as error:
            # ITK has one class for all failures; the text of this one asks for more overlap.
            if "overlap" in str(error):
                return None
            raise
        value = -float(search.GetMetricValue())
    return RigidFit(_inverse(_matrix_of(transform) if turns else _shift_of(transform)), value)


def rotation_degrees(rigid: Matrix) -> float:
    """Return the angle that a rigid (4, 4) map turns by.

    Examples
    --------
    >>> rotation_degrees(np.diag([-1.0, -1.0, 1.0, 1.0]))
    180.0
    """
    cosine = (np.trace(rigid[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def moved_grid(grid: Grid, rigid: Matrix) -> Grid:
    """Return the grid after a movement of its world."""
    return Grid(grid.shape, rigid @ grid.affine, grid.unit, grid.frame)


def _level_grid(grid: Grid, level_mm: float) -> Grid:
    """Return the grid at a level: orthogonal, as coarse as the level but where an axis would lose its shape."""
    straight = orthogonal(grid)
    extent = np.asarray(straight.shape) * straight.spacing
    return straight.respaced(tuple(np.minimum(level_mm, extent / FEWEST_VOXELS)))


def _compared(volume: Volume, level_mm: float) -> Any:
    grid = _level_grid(volume.grid, level_mm)
    return _image(resample(volume, grid, antialias=True).array, grid)


def _image(array: npt.NDArray[Any], grid: Grid) -> Any:
    """Return an ITK image whose world is ours (RAS+): both images and the transform agree on it."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction.ravel().tolist())
    return image


def _inverse(rigid: Matrix) -> Matrix:
    inverse = np.eye(4)
    inverse[:3, :3] = rigid[:3, :3].T
    inverse[:3, 3] = -rigid[:3, :3].T @ rigid[:3, 3]
    return inverse


def _set_matrix(transform: Any, rigid: Matrix) -> None:
    center = np.asarray(transform.GetCenter())
    transform.SetMatrix(rigid[:3, :3].ravel().tolist(), 1e-6)
    transform.SetTranslation((rigid[:3, 3] + rigid[:3, :3] @ center - center).tolist())


def _shift_of(transform: Any) -> Matrix:
    shift = np.eye(4)
    shift[:3, 3] = transform.GetOffset()
    return shift


def _matrix_of(transform: Any) -> Matrix:
    linear = np.asarray(transform.GetMatrix()).reshape(3, 3)
    center = np.asarray(transform.GetCenter())
    rigid = np.eye(4)
    rigid[:3, :3] = linear
    rigid[:3, 3] = center + np.asarray(transform.GetTranslation()) - linear @ center
    return rigid
