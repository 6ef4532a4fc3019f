"""A random prostate in T2w, ADC and high-b DWI, with and without a lesion."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.phantoms.paired_imaging import centered_grid, coil_bias, rician
from medgan.phantoms.prostate_anatomy import GLAND, ProstateAnatomy, Region, prostate_regions
from medgan.phantoms.solids import Points, gyroid, paint
from medgan.volume import LabelMap, Provenance, Quantity, Volume

Float32 = npt.NDArray[np.float32]
Regions = npt.NDArray[np.uint8]
Offset = tuple[float, float, float]

_TETRAHEDRON: tuple[Offset, ...] = (
    (0.25, 0.25, 0.25),
    (0.25, -0.25, -0.25),
    (-0.25, 0.25, -0.25),
    (-0.25, -0.25, 0.25),
)
"""Where a voxel is sampled for its partial volume, in voxels from its center."""

SIGNALS: dict[Region, tuple[float, float, float]] = {
    Region.FAT: (720, 150, 40),
    Region.MUSCLE: (120, 1350, 130),
    Region.BONE: (20, 0, 5),
    Region.BONE_MARROW: (480, 300, 60),
    Region.URINE: (1000, 2900, 900),
    Region.GAS: (0, 0, 0),
    Region.STOOL: (260, 900, 150),
    Region.VESSEL: (850, 1500, 300),
    Region.VESICLE: (900, 2000, 600),
    Region.CAPSULE: (110, 1000, 140),
    Region.PERIPHERAL_ZONE: (800, 1750, 420),
    Region.TRANSITION_ZONE: (430, 1350, 330),
    Region.BRIGHT_NODULE: (690, 1550, 400),
    Region.DARK_NODULE: (260, 1050, 300),
    Region.STROMA: (150, 950, 160),
    Region.URETHRA: (560, 1600, 350),
    Region.LESION: (290, 720, 330),
}
"""T2-weighted signal, diffusion coefficient in 1e-6 mm^2/s, fat-suppressed signal without diffusion weighting.

Free choices in a plausible order: against the peripheral zone a lesion is dark in T2w and ADC and bright at high b.
"""


@dataclass(frozen=True)
class ProstatePhantom:
    """One prostate in three contrasts, with the truth on both grids.

    Parameters
    ----------
    t2w : Volume
        MR_SIGNAL.
    adc : Volume
        MR_SIGNAL holding 1e-6 mm^2/s, on the grid of the diffusion images.
    dwi : Volume
        MR_SIGNAL at ``b_value``, on the grid of the diffusion images.
    zones, zones_dwi : LabelMap
        1 peripheral zone, 2 transition zone (with its stroma); both together are the gland.
    lesion, lesion_dwi : LabelMap
        1 in the lesion; empty in the twin without it.
    b_value : float
        In s/mm^2.
    """

    t2w: Volume
    adc: Volume
    dwi: Volume
    zones: LabelMap
    lesion: LabelMap
    zones_dwi: LabelMap
    lesion_dwi: LabelMap
    b_value: float


@dataclass(frozen=True)
class ProstateTwins:
    """The same pelvis, the same noise, with and without the lesion: images differ inside the lesion only."""

    with_lesion: ProstatePhantom
    without_lesion: ProstatePhantom


def prostate_twins(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (120, 120, 20),
    spacing_mm: Sequence[float] = (0.8, 0.8, 3.0),
    diffusion_spacing_mm: Sequence[float] = (2.0, 2.0, 3.6),
    b_value: float = 1400.0,
    noise: float = 0.0,
    contrast: float = 1.0,
    partial_volume: bool = False,
    bias_strength: float = 0.0,
) -> ProstateTwins:
    """Return one subject with and without its lesion; the parameters are those of :func:`prostate_phantom`."""
    images = [
        prostate_phantom(
            generator=copy.deepcopy(generator),
            lesion=lesion,
            shape=shape,
            spacing_mm=spacing_mm,
            diffusion_spacing_mm=diffusion_spacing_mm,
            b_value=b_value,
            noise=noise,
            contrast=contrast,
            partial_volume=partial_volume,
            bias_strength=bias_strength,
        )
        for lesion in (True, False)
    ]
    return ProstateTwins(*images)


def prostate_phantom(
    *,
    generator: np.random.Generator,
    lesion: bool = True,
    shape: Sequence[int] = (120, 120, 20),
    spacing_mm: Sequence[float] = (0.8, 0.8, 3.0),
    diffusion_spacing_mm: Sequence[float] = (2.0, 2.0, 3.6),
    b_value: float = 1400.0,
    noise: float = 0.0,
    contrast: float = 1.0,
    partial_volume: bool = False,
    bias_strength: float = 0.0,
) -> ProstatePhantom:
    """Return one random prostate.

    Parameters
    ----------
    generator : numpy.random.Generator
        One subject a generator. Nothing that is drawn depends on ``lesion``.
    lesion : bool
    shape : (I, J, K)
    spacing_mm : three floats
        Grid of T2w, RAS+, centered on the gland.
    diffusion_spacing_mm : three floats
        Spacing of ADC and DWI, which cover the same extent.
    b_value : float
        Diffusion weighting of ``dwi`` in s/mm^2.
    noise : float
        Standard deviation of Rician noise in T2w and in every diffusion image, as a share of 1000 for T2w and of 400
        for diffusion.
    contrast : float
        How far the lesion's three signals lie from those of the tissue it grew in, as a share of the way to the
        table's: 0 is invisible.
    partial_volume : bool
        Average four samples in each voxel, the corners of a tetrahedron; the truth stays that of voxel centers.
    bias_strength : float
        Range of the logarithm of the coil's bias field, one for T2w and one for the diffusion images.

    Returns
    -------
    ProstatePhantom

    Notes
    -----
    ``dwi = S0 exp(-b ADC)``; ``adc = log(S_50 / S_800) / 750`` of two images that are as noisy as ``dwi``, limited to
    [0, 3500] 1e-6 mm^2/s, as scanners do it. Without noise and partial volume that is the table's value to float32
    rounding.
    """
    anatomy = ProstateAnatomy.sampled(generator)
    t2_grid = centered_grid(shape, spacing_mm)
    diffusion_grid = t2_grid.respaced(diffusion_spacing_mm)
    coils = copy.deepcopy(generator)
    offsets = _TETRAHEDRON if partial_volume else ((0.0, 0.0, 0.0),)
    share = contrast if lesion else 0.0

    zones, lesion_map = _truth(t2_grid, anatomy, lesion=lesion)
    signal = _averaged(lambda offset: _t2w(_shifted(t2_grid, offset), anatomy, share), offsets)
    t2w = rician(signal * coil_bias(t2_grid, coils, strength=bias_strength), generator, sigma=noise * 1000)

    zones_dwi, lesion_dwi = _truth(diffusion_grid, anatomy, lesion=lesion)
    weightings = (50.0, 800.0, float(b_value))
    signals = _averaged(
        lambda offset: _diffusion(_shifted(diffusion_grid, offset), anatomy, share, weightings), offsets
    )
    bias = coil_bias(diffusion_grid, coils, strength=bias_strength)
    at_50, at_800, dwi = (rician(one * bias, generator, sigma=noise * 400) for one in signals)
    floor = np.float32(1e-3)
    fitted = np.log(np.maximum(at_50, floor) / np.maximum(at_800, floor)) * np.float32(1e6 / 750)
    provenance = Provenance().then("prostate phantom", lesion=lesion)
    return ProstatePhantom(
        t2w=Volume(t2w, t2_grid, Quantity.MR_SIGNAL, provenance),
        adc=Volume(np.clip(fitted, 0, 3500), diffusion_grid, Quantity.MR_SIGNAL, provenance),
        dwi=Volume(dwi, diffusion_grid, Quantity.MR_SIGNAL, provenance),
        zones=zones,
        lesion=lesion_map,
        zones_dwi=zones_dwi,
        lesion_dwi=lesion_dwi,
        b_value=b_value,
    )


def _averaged(image_at: Callable[[Offset], Float32], offsets: Sequence[Offset]) -> Float32:
    total = image_at(offsets[0])
    for offset in offsets[1:]:
        total = total + image_at(offset)
    return total / np.float32(len(offsets)) if len(offsets) > 1 else total


def _shifted(grid: Grid, offset: Offset) -> Grid:
    """Return the grid moved by a part of a voxel."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.world(offset)
    return Grid(grid.shape, affine, grid.unit, grid.frame)


def _truth(grid: Grid, anatomy: ProstateAnatomy, *, lesion: bool) -> tuple[LabelMap, LabelMap]:
    """Return zones without the lesion, and the lesion mask, at voxel centers."""
    points = _points(grid, anatomy)
    regions = prostate_regions(points, anatomy)
    zones = np.zeros(grid.shape, dtype=np.uint8)
    zones[np.isin(regions, (*GLAND, Region.URETHRA, Region.CAPSULE))] = 2
    zones[(regions == Region.PERIPHERAL_ZONE) | (regions == Region.CAPSULE)] = 1
    is_lesion = _lesion(regions, points, anatomy) if lesion else np.zeros(grid.shape, dtype=bool)
    return (
        LabelMap(zones, grid, {1: "peripheral zone", 2: "transition zone"}),
        LabelMap(is_lesion, grid, {1: "lesion"}),
    )


def _t2w(grid: Grid, anatomy: ProstateAnatomy, share: float) -> Float32:
    """Return the T2-weighted signal at voxel centers, textured, without noise."""
    points = _points(grid, anatomy)
    regions = prostate_regions(points, anatomy)
    is_lesion = _lesion(regions, points, anatomy)
    return _signal(0, regions, is_lesion, share) * _texture(points, anatomy)


def _diffusion(grid: Grid, anatomy: ProstateAnatomy, share: float, weightings: Sequence[float]) -> Float32:
    """Return the signals (b-values, I, J, K) at voxel centers, without noise."""
    points = _points(grid, anatomy)
    regions = prostate_regions(points, anatomy)
    is_lesion = _lesion(regions, points, anatomy)
    adc = _signal(1, regions, is_lesion, share)
    s0 = _signal(2, regions, is_lesion, share) * _texture(points, anatomy)
    return np.stack([s0 * np.exp(-np.float32(b * 1e-6) * adc) for b in weightings])


def _signal(index: int, regions: Regions, is_lesion: npt.NDArray[np.bool_], share: float) -> Float32:
    """Return the tissue's signal; in the lesion a share of the way to the lesion's."""
    table = np.array([SIGNALS[region][index] for region in Region], dtype=np.float32)
    signal = np.take(table, regions)
    if share:
        wanted = table[Region.LESION]
        mixed = wanted if share == 1 else signal + np.float32(share) * (wanted - signal)
        signal = np.where(is_lesion, mixed, signal)
    return np.asarray(signal, dtype=np.float32)


def _points(grid: Grid, anatomy: ProstateAnatomy) -> Points:
    return Points.of_grid(grid, anatomy_to_world=np.eye(4), warp=anatomy.warp)


def _lesion(regions: Regions, points: Points, anatomy: ProstateAnatomy) -> npt.NDArray[np.bool_]:
    painted = regions.copy()
    paint(painted, points, anatomy.lesion, Region.LESION, over=GLAND)
    return np.asarray(painted == Region.LESION)


def _texture(points: Points, anatomy: ProstateAnatomy) -> Float32:
    """Return the relative texture of the signal, slanted, so that the pattern does not line up with the slices."""
    u, v, w = points.x + 0.4 * points.y, points.y - 0.6 * points.z, points.z + 0.5 * points.x
    fine = gyroid(u, v, w, wavelength_mm=7, phase=anatomy.phase)
    coarse = gyroid(v, w, u, wavelength_mm=23, phase=anatomy.phase)
    return np.asarray(1 + np.float32(0.05) * fine + np.float32(0.06) * coarse, dtype=np.float32)
