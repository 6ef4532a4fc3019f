"""Densely packed neurites with membranes in two electron microscopic contrasts whose mapping is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from medgan.geometry import Grid
from medgan.phantoms.em_contrast import EmContrast
from medgan.volume import LabelMap, Provenance, Quantity, Volume

Float32 = npt.NDArray[np.float32]

LEVELS = 64
"""The specimen's brightness has so many steps in [0.1, 1], so that uint8 images can be mapped without loss."""
LABELED_CONTRAST = EmContrast(low=0.1, high=0.9)
UNLABELED_CONTRAST = EmContrast(low=0.2, high=0.85, gamma=1.3)


@dataclass(frozen=True)
class NeuritePhantom:
    """One specimen under two microscopes, with the truth.

    Parameters
    ----------
    labeled, unlabeled : Volume
        uint8 EM_SIGNAL in the specimen's frame, nm.
    instances : LabelMap
        uint16; every voxel belongs to one connected neurite, membranes included.
    boundaries : LabelMap
        1 on membranes.
    mitochondria : LabelMap
        1 inside mitochondria.
    contrast_map : (256,) uint8 or None
        Gray value in ``unlabeled`` of each gray value in ``labeled``; None if one of the contrasts
        blurs, drifts or is noisy. Gray values that do not occur map to 0.
    """

    labeled: Volume
    unlabeled: Volume
    instances: LabelMap
    boundaries: LabelMap
    mitochondria: LabelMap
    contrast_map: npt.NDArray[np.uint8] | None


def neurite_phantom(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (96, 96, 96),
    spacing_nm: Sequence[float] = (10.0, 10.0, 10.0),
    caliber_nm: float = 220.0,
    membrane_nm: float = 24.0,
    labeled_contrast: EmContrast = LABELED_CONTRAST,
    unlabeled_contrast: EmContrast = UNLABELED_CONTRAST,
) -> NeuritePhantom:
    """Return one random block of neuropil.

    Parameters
    ----------
    generator : numpy.random.Generator
        The specimen does not depend on the contrasts.
    shape : (I, J, K)
        Sections are stacked along the third axis.
    spacing_nm : three floats
    caliber_nm : float
        About the diameter of a neurite; sets how many there are.
    membrane_nm : float
        Thickness of the dark line between two neurites.
    labeled_contrast, unlabeled_contrast : EmContrast

    Returns
    -------
    NeuritePhantom

    Notes
    -----
    Neurites are the Voronoi cells of tubes of random caliber around random, slowly turning curves: they fill space,
    as in tissue, and touch along curved sheets.
    """
    grid = Grid.axis_aligned(shape, spacing=spacing_nm, unit="nm", frame="specimen")
    curves = _curves(grid, caliber_nm, generator)
    instances = _connected(_cells(grid, curves))
    depth_nm = _depth(instances, grid)
    mitochondria = _mitochondria(grid, curves, depth_nm, caliber_nm, generator)
    brightness = _brightness(instances, depth_nm, mitochondria, membrane_nm, generator)

    provenance = Provenance().then("neurite phantom")
    contrast_map = None
    if labeled_contrast.is_pure and unlabeled_contrast.is_pure:
        steps = np.linspace(0.1, 1, LEVELS, dtype=np.float32)
        contrast_map = np.zeros(256, dtype=np.uint8)
        contrast_map[labeled_contrast.imaged(steps, generator)] = unlabeled_contrast.imaged(steps, generator)
        contrast_map.setflags(write=False)
    labeled, unlabeled = (c.imaged(brightness, generator) for c in (labeled_contrast, unlabeled_contrast))
    return NeuritePhantom(
        labeled=Volume(labeled, grid, Quantity.EM_SIGNAL, provenance),
        unlabeled=Volume(unlabeled, grid, Quantity.EM_SIGNAL, provenance),
        instances=LabelMap(instances, grid),
        boundaries=LabelMap(depth_nm <= membrane_nm / 2, grid, {1: "membrane"}),
        mitochondria=LabelMap(mitochondria, grid, {1: "mitochondrion"}),
        contrast_map=contrast_map,
    )


@dataclass(frozen=True)
class _Curve:
    """A space curve in nm, one point about every half caliber, and the radius of the tube around it."""

    points_nm: npt.NDArray[np.float64]
    radius_nm: float


def _curves(grid: Grid, caliber_nm: float, generator: np.random.Generator) -> list[_Curve]:
    extent = np.asarray(grid.shape) * grid.spacing
    # A straight line through a box of side L has length about L: L^3 = n L (pi/4) caliber^2.
    side = float(extent.prod() ** (1 / 3))
    count = max(int(np.ceil(extent.prod() / (side * np.pi / 4 * caliber_nm**2))), 2)
    t = np.linspace(-1.2, 1.2, max(int(2.4 * np.linalg.norm(extent) / (0.25 * caliber_nm)), 16))[:, None]
    curves = []
    for _ in range(count):
        middle = generator.uniform(-0.05, 1.05, size=3) * extent
        direction = generator.normal(size=3)
        direction /= np.linalg.norm(direction)
        path = middle + t * np.linalg.norm(extent) * direction
        for harmonic in (1, 2, 3):
            sway = generator.normal(size=3) * 0.5 * caliber_nm / harmonic
            path = path + sway * np.sin(np.pi * harmonic * 1.7 * t + generator.uniform(0, 2 * np.pi))
        radius = caliber_nm * float(np.exp(generator.normal(-1.6, 0.6)))
        curves.append(_Curve(path, min(radius, 0.8 * caliber_nm)))
    return curves


def _cells(grid: Grid, curves: Sequence[_Curve]) -> npt.NDArray[np.uint16]:
    """Return for every voxel the number, from 1, of the tube that is nearest."""
    seeds = np.zeros(grid.shape, dtype=np.uint16)
    for number, curve in enumerate(curves, start=1):
        # Points no further apart than the finest voxel, so that a thin tube leaves no gap.
        steps = np.linalg.norm(np.diff(curve.points_nm, axis=0), axis=1)
        along = np.concatenate([[0], np.cumsum(steps)])
        fine = np.arange(0, along[-1], 0.7 * min(grid.spacing))
        ijk = np.rint(
            np.stack([np.interp(fine, along, curve.points_nm[:, a]) for a in range(3)], axis=1) / grid.spacing
        )
        inside = np.unique(ijk[((ijk >= 0) & (ijk < grid.shape)).all(axis=1)].astype(int), axis=0)
        free = inside[seeds[tuple(inside.T)] == 0]
        seeds[tuple(free.T)] = number
    if not seeds.any():
        seeds[tuple(n // 2 for n in grid.shape)] = 1
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, sampling=grid.spacing, return_indices=True)
    thin = seeds[tuple(nearest)]
    # Second round: thick tubes reach further. Their cores claim what lies within their radius and their own cell.
    radius = np.array([0.0, *(curve.radius_nm for curve in curves)])
    core = np.where(distance < np.maximum(radius[thin] * 0.8, 1.01 * min(grid.spacing)), thin, 0)
    nearest = ndimage.distance_transform_edt(
        core == 0, sampling=grid.spacing, return_distances=False, return_indices=True
    )
    return np.asarray(core[tuple(nearest)], dtype=np.uint16)


def _connected(cells: npt.NDArray[np.uint16], minimum: int = 60) -> npt.NDArray[np.uint16]:
    """Number the connected parts of the cells from 1; crumbs of fewer voxels go to the nearest larger part."""
    parts = np.zeros(cells.shape, dtype=np.int32)
    count = 0
    for number, where in enumerate(ndimage.find_objects(cells.astype(np.int32)), start=1):
        if where is None:
            continue
        pieces, found = ndimage.label(cells[where] == number)
        parts[where][pieces > 0] = pieces[pieces > 0] + count
        count += found
    sizes = np.bincount(parts.ravel())
    large = np.flatnonzero(sizes >= min(minimum, sizes.max()))
    kept = np.where(np.isin(parts, large), parts, 0)
    nearest = ndimage.distance_transform_edt(kept == 0, return_distances=False, return_indices=True)
    _, numbers = np.unique(kept[tuple(nearest)], return_inverse=True)
    return np.asarray(numbers.reshape(cells.shape) + 1, dtype=np.uint16)


def _depth(instances: npt.NDArray[np.uint16], grid: Grid) -> Float32:
    """Return the distance in nm of each voxel from the sheet between two neurites (half a voxel beside it)."""
    touching = np.zeros(instances.shape, dtype=bool)
    for axis in range(3):
        low = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        high = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        differs = instances[low] != instances[high]
        touching[low] |= differs
        touching[high] |= differs
    if not touching.any():
        return np.full(instances.shape, np.inf, dtype=np.float32)
    distance = ndimage.distance_transform_edt(~touching, sampling=grid.spacing)
    return np.asarray(distance + min(grid.spacing) / 2, dtype=np.float32)


def _mitochondria(
    grid: Grid, curves: Sequence[_Curve], depth_nm: Float32, caliber_nm: float, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Draw sausages along the axes of some thick neurites, off the membrane."""
    found = np.zeros(grid.shape, dtype=bool)
    spacing = np.asarray(grid.spacing)
    for curve in curves:
        first, length = int(generator.integers(len(curve.points_nm))), int(generator.integers(6, 15))
        radius = float(generator.uniform(0.18, 0.28)) * caliber_nm
        for point in curve.points_nm[first : first + length]:
            start = np.maximum(np.floor((point - radius) / spacing).astype(int), 0)
            stop = np.minimum(np.ceil((point + radius) / spacing).astype(int) + 1, grid.shape)
            if (stop <= start).any():
                continue
            axes = np.ogrid[tuple(slice(int(a), int(b)) for a, b in zip(start, stop))]
            squared = sum((axes[a] * spacing[a] - point[a]) ** 2 for a in range(3))
            found[tuple(slice(int(a), int(b)) for a, b in zip(start, stop))] |= squared < radius**2
    return np.asarray(found & (depth_nm > 0.12 * caliber_nm))


def _brightness(
    instances: npt.NDArray[np.uint16],
    depth_nm: Float32,
    mitochondria: npt.NDArray[np.bool_],
    membrane_nm: float,
    generator: np.random.Generator,
) -> Float32:
    """Return the specimen's quantized brightness in [0.1, 1]: bright cytoplasm, dark membranes, gray mitochondria."""
    cytoplasm = generator.uniform(0.72, 0.88, size=int(instances.max()) + 1).astype(np.float32)
    grain = ndimage.gaussian_filter(generator.standard_normal(instances.shape, dtype=np.float32), 0.8)
    field = cytoplasm[instances] + np.float32(0.16) * grain
    if mitochondria.any():
        skin = mitochondria & ~ndimage.binary_erosion(mitochondria)
        field[mitochondria] -= np.float32(0.26)
        field[skin] -= np.float32(0.22)
    # A Gaussian profile that falls to one half at the membrane's edge.
    dark = np.exp(-np.float32(np.log(2)) * np.square(depth_nm / np.float32(membrane_nm / 2)))
    field += dark * (np.float32(0.16) - field)
    step = np.rint((np.clip(field, 0.1, 1) - 0.1) / 0.9 * (LEVELS - 1)).astype(np.int64)
    return np.asarray(np.linspace(0.1, 1, LEVELS, dtype=np.float32)[step])
