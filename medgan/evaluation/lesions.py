"""Lesions as objects: the connected parts of a mask, and candidates in a map of probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import EvaluationError
from medgan.volume import LabelMap, Volume

BoolArray = npt.NDArray[np.bool_]

MOST_CANDIDATES = 5
FALL = 2.5
FEWEST_VOXELS = 10
LEAST_PEAK = 0.1


@dataclass(frozen=True, eq=False)
class Candidate:
    """A place where a lesion may be.

    Parameters
    ----------
    mask : (I, J, K) bool
    confidence : float
        Highest probability in it.
    """

    mask: BoolArray
    confidence: float


def components(mask: BoolArray, *, fewest_voxels: int = 1) -> list[BoolArray]:
    """Return the parts of a (I, J, K) mask that touch by face, edge or corner, the largest first."""
    from scipy.ndimage import label

    numbered, count = label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    order = sorted(range(count), key=lambda n: (-sizes[n], n))
    return [np.asarray(numbered == n + 1) for n in order if sizes[n] >= fewest_voxels]


def candidates(
    probability: npt.NDArray[np.floating[Any]],
    *,
    fewest_voxels: int = FEWEST_VOXELS,
    least_peak: float = LEAST_PEAK,
    most: int = MOST_CANDIDATES,
) -> list[Candidate]:
    """Return where a map of probabilities rises, the most confident first; no two overlap.

    Parameters
    ----------
    probability : (I, J, K)
        Of the lesion, in [0, 1].
    fewest_voxels : int
        Smaller ones are noise.
    least_peak : float
        Highest probability that a candidate needs.
    most : int

    Notes
    -----
    The highest voxel, with all that touches it and is at least its probability over 2.5; that is removed, and again.
    After the dynamic lesion extraction of the PI-CAI challenge (Bosma et al. 2023), its numbers as remembered: free
    choices, each an argument or a constant here.
    """
    from scipy.ndimage import label

    left = np.array(probability, dtype=np.float32)
    found: list[Candidate] = []
    # A place that is too small is removed, too, so that the next one is found: the number of rounds is bounded.
    for _ in range(20 * most):
        peak = float(left.max(initial=0.0))
        if peak < least_peak or len(found) == most:
            break
        numbered, _ = label(left >= peak / FALL, structure=np.ones((3, 3, 3)))
        mask = np.asarray(numbered == numbered[np.unravel_index(int(left.argmax()), left.shape)])
        left[mask] = 0.0
        if np.count_nonzero(mask) >= fewest_voxels:
            found.append(Candidate(mask, peak))
    return found


@dataclass(frozen=True)
class LesionRow:
    """One lesion of a result, for people.

    Parameters
    ----------
    number : int
        From 1, the most confident first; its value in the label map of lesions.
    volume_ml : float
    center_xyz_mm : three floats
        Center of mass in RAS+ mm.
    zone : str
        Class that surrounds it; empty where there is none.
    peak_probability : float
    mean_probability : float
    """

    number: int
    volume_ml: float
    center_xyz_mm: tuple[float, float, float]
    zone: str
    peak_probability: float
    mean_probability: float

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "number": self.number,
            "volume_ml": round(self.volume_ml, 4),
            "center_ras_mm": [round(x, 2) for x in self.center_xyz_mm],
            "zone": self.zone,
            "peak_probability": round(self.peak_probability, 4),
            "mean_probability": round(self.mean_probability, 4),
        }


def lesion_rows(
    labels: LabelMap, probability: Volume, *, focus: int, zones: Mapping[int, str], margin_voxels: int = 2
) -> tuple[list[LesionRow], LabelMap]:
    """Return a table of the lesions in a segmentation and a label map that numbers them.

    Parameters
    ----------
    labels : LabelMap
        Most probable class of every voxel.
    probability : Volume
        Of the focus class, on the same grid.
    focus : int
        Class number of lesions.
    zones : mapping of class number to name
        Classes that a lesion can lie in.
    margin_voxels : int
        How far around a lesion the zone is looked for.

    Raises
    ------
    GeometryError
        If the two are not on one grid.

    Notes
    -----
    The zone is the class with most voxels within the margin: a lesion covers the labels of what it lies in.
    """
    from scipy.ndimage import binary_dilation

    labels.grid.require_same_as(probability.grid, this="labels", that="probability", what="A table of lesions")
    parts = sorted(components(labels.array == focus), key=lambda mask: -float(probability.array[mask].max()))
    numbered = np.zeros(labels.shape, dtype=np.uint16)
    rows = []
    for number, mask in enumerate(parts, start=1):
        numbered[mask] = number
        values = probability.array[mask]
        around = labels.array[binary_dilation(mask, np.ones((3, 3, 3)), iterations=margin_voxels) & ~mask]
        counts = {name: int(np.count_nonzero(around == zone)) for zone, name in zones.items()}
        most = max(counts, key=lambda name: counts[name], default="")
        center = labels.grid.world(np.argwhere(mask).mean(axis=0))
        rows.append(
            LesionRow(
                number=number,
                volume_ml=float(np.count_nonzero(mask)) * labels.grid.voxel_volume / 1000,
                center_xyz_mm=(float(center[0]), float(center[1]), float(center[2])),
                zone=most if counts.get(most) else "",
                peak_probability=float(values.max()),
                mean_probability=float(values.mean()),
            )
        )
    return rows, LabelMap(numbered, labels.grid)


@dataclass(frozen=True)
class LesionShape:
    """Volume in ml, and sphericity: 1 for a ball, less for anything else."""

    volume_ml: float
    sphericity: float


def lesion_shapes(
    labels: LabelMap, *, fewest_voxels: int = FEWEST_VOXELS, spacing_mm: float = 1.0
) -> list[LesionShape]:
    """Return volume and sphericity of every connected part of a mask.

    Parameters
    ----------
    labels : LabelMap
        In mm; every label counts as lesion.
    fewest_voxels : int
    spacing_mm : float
        The surface is measured after resampling to cubes of this size, so that masks of different voxels compare.

    Raises
    ------
    EvaluationError
        If the grid is not in mm.

    Notes
    -----
    ``sphericity = pi^(1/3) (6 V)^(2/3) / A`` (Wadell 1935), A and V of the same surface: marching cubes (Lewiner) on
    the resampled mask, where linear interpolation smooths it. With the volume of the voxels instead, small lesions came
    out rounder than a ball. ``volume_ml`` is that of the voxels.
    """
    from scipy.ndimage import zoom
    from skimage.measure import marching_cubes, mesh_surface_area

    if labels.grid.unit != "mm":
        raise EvaluationError(f"A lesion's shape is measured in mm: found a grid in {labels.grid.unit}.")
    shapes = []
    for mask in components(labels.mask(), fewest_voxels=fewest_voxels):
        volume_mm3 = float(np.count_nonzero(mask)) * labels.grid.voxel_volume
        inside = np.argwhere(mask)
        box = tuple(slice(low, high + 1) for low, high in zip(inside.min(axis=0), inside.max(axis=0)))
        padded = np.pad(mask[box].astype(np.float32), 2)
        factors = [spacing / spacing_mm for spacing in labels.grid.spacing]
        cubes = zoom(padded, factors, order=1, grid_mode=True, mode="grid-constant")
        vertices, faces, _, _ = marching_cubes(cubes, level=0.5, spacing=(spacing_mm,) * 3)
        area = float(mesh_surface_area(vertices, faces))
        a, b, c = (vertices[faces[:, corner]] - vertices.mean(axis=0) for corner in range(3))
        enclosed = abs(float(np.einsum("ij,ij->", a, np.cross(b, c)))) / 6
        shapes.append(LesionShape(volume_mm3 / 1000, float(np.pi ** (1 / 3) * (6 * enclosed) ** (2 / 3) / area)))
    return shapes
