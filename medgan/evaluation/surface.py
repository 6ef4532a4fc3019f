"""Distances between the surfaces of two regions, in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.evaluation.region import BoolArray, require_pair
from medgan.geometry import bounding_box


@dataclass(frozen=True)
class SurfaceDistances:
    """Three summaries of the distances between two surfaces, all None with a ``reason`` where they are undefined.

    Parameters
    ----------
    hausdorff_mm : float or None
        Largest distance from a surface voxel of one region to the surface of the other.
    hd95_mm : float or None
        The larger of the two directed 95th percentiles.
    assd_mm : float or None
        Mean over the surface voxels of both regions (average symmetric surface distance).
    reason : str
        Why there is no distance; empty where there is one.
    """

    hausdorff_mm: float | None
    hd95_mm: float | None
    assd_mm: float | None
    reason: str = ""


def surface_distances(*, result: BoolArray, reference: BoolArray, spacing_mm: Sequence[float]) -> SurfaceDistances:
    """Return the distances between the surfaces of two (I, J, K) boolean arrays.

    Parameters
    ----------
    result, reference : (I, J, K) bool
    spacing_mm : three floats
        Distance between voxel centers along each axis, in mm; the axes must be at right angles.

    Raises
    ------
    EvaluationError
        If shapes differ or a spacing is not positive.

    Notes
    -----
    A surface is the set of voxels *of* the region with one of six neighbors outside it (beyond the array is outside).
    Distances are Euclidean, between voxel centers. The 95th percentile is taken in each direction and the larger one
    counts, as in MONAI and so in the SynthRAD2025 challenge; pooling both directions first, as some tools do, gives
    smaller values when surfaces differ in size. Percentiles interpolate linearly. Nothing is undefined but an empty
    region: its distance would be infinite, and any finite stand-in would be a choice of weight, so it is None.
    """
    require_pair(result=result, reference=reference, mask=None, measure="A surface distance")
    spacing = tuple(float(s) for s in spacing_mm)
    if len(spacing) != 3 or result.ndim != 3 or not min(spacing) > 0:
        raise EvaluationError(
            f"A surface distance needs three positive spacings in mm and three axes: found {spacing} for an array of "
            f"{result.ndim} axes."
        )
    box = bounding_box(result | reference)
    empty = [name for name, region in (("result", result), ("reference", reference)) if not region.any()]
    if box is None or empty:
        return SurfaceDistances(None, None, None, f"the region is absent in the {' and in the '.join(empty)}")
    surfaces = [_surface(region[box.slices]) for region in (result, reference)]
    there, back = (_distances(surfaces[a], surfaces[b], spacing) for a, b in ((0, 1), (1, 0)))
    return SurfaceDistances(
        hausdorff_mm=float(max(there.max(), back.max())),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        assd_mm=float((there.sum() + back.sum()) / (there.size + back.size)),
    )


def _surface(region: BoolArray) -> BoolArray:
    from scipy.ndimage import binary_erosion

    return np.asarray(region & ~binary_erosion(region))


def _distances(surface: BoolArray, other: BoolArray, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Return, for each voxel of one surface, the distance in mm to the nearest voxel of the other."""
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~other, sampling=spacing_mm)[surface])
