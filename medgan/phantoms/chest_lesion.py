"""A lesion of random place, size and outline, for phantoms and for real radiographs as backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_opening, gaussian_filter, label

from medgan.errors import VolumeError
from medgan.phantoms.chest_anatomy import Float32, plane

Mask = npt.NDArray[np.bool_]
LesionKind = Literal["nodule", "consolidation"]
_FIELDS = ((0.16, 0.72, 0.12, 0.44), (0.16, 0.72, 0.56, 0.88))
"""Rows and columns, as shares of a frontal radiograph, that mostly hold the right and the left lung."""


@dataclass(frozen=True)
class PlantedLesion:
    """A real radiograph with a lesion that was never there.

    Parameters
    ----------
    image : (H, W) float32
        In [-1, 1].
    profile : (H, W) float32
        What was added, after clipping.
    mask : (H, W) bool
        Where ``profile`` is positive.
    """

    image: Float32
    profile: Float32
    mask: Mask


def lesion_profile(
    generator: np.random.Generator,
    kind: LesionKind,
    u: Float32,
    v: Float32,
    lungs: Mask,
    spacing: tuple[float, float],
    *,
    scale: float = 1.0,
) -> Float32:
    """Return a bump (H, W) with maximum 1 around a point of the lungs, of compact support and uneven outline.

    Parameters
    ----------
    generator : numpy.random.Generator
        Draws place, size and outline.
    kind : {"nodule", "consolidation"}
    u, v : (1, W) and (H, 1) float32
        Coordinates in mm from :func:`~medgan.phantoms.chest_anatomy.plane`.
    lungs : (H, W) bool
        Where the lesion may be centered; not empty.
    spacing : (row, column)
        In mm.
    scale : float
        Factor on the size.
    """
    # Of random points in mm the first one in a lung, so that it is the same place at any resolution.
    tried = generator.uniform((-120, -120), (110, 120), size=(300, 2)) / spacing + (np.array(lungs.shape) - 1) / 2
    places = np.rint(tried).astype(int)
    places = places[((places >= 0) & (places < lungs.shape)).all(axis=1)]
    places = np.concatenate([places[lungs[tuple(places.T)]], np.argwhere(lungs)[:1]])
    row, column = places[0]
    radius = scale * float(generator.uniform(4, 12) if kind == "nodule" else generator.uniform(20, 40))
    stretch, turn = float(generator.uniform(0.75, 1)), float(generator.uniform(0, np.pi))
    waves = [(m, float(generator.uniform(0, 0.12)), float(generator.uniform(0, 2 * np.pi))) for m in (2, 3, 5)]
    radius = max(radius, 1.6 * max(spacing))
    x, y = u - u[0, column], v - v[row, 0]
    a, b = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / stretch
    angle = np.arctan2(b, a)
    outline = 1 + sum(size * np.cos(m * angle + phase) for m, size, phase in waves)
    rest = np.clip(1 - (np.square(a) + np.square(b)) / np.square(radius * outline), 0, None)
    if kind == "nodule":
        profile = np.sqrt(rest)  # the chord of a ball
    else:
        patches = gaussian_filter(generator.standard_normal(lungs.shape), 4 / spacing[0], mode="nearest")
        patches /= max(float(np.abs(patches).max()), 1e-6)
        profile = rest**0.7 * (0.75 + 0.25 * patches) * lungs
    peak = float(profile.max())
    return np.asarray(profile / peak if peak > 0 else profile, dtype=np.float32)


def plant_lesion(
    background: Float32,
    *,
    generator: np.random.Generator,
    lungs: Mask,
    height_mm: float = 400.0,
    kind: LesionKind = "consolidation",
    contrast: float = 0.45,
    scale: float = 1.0,
) -> PlantedLesion:
    """Add a lesion to a radiograph.

    Parameters
    ----------
    background : (H, W) float32
        In [-1, 1].
    generator : numpy.random.Generator
    lungs : (H, W) bool
        Where the lesion may be centered, from :func:`estimated_lungs`.
    height_mm : float
        Height of the image: radiographs without pixel spacing need an assumption for the lesion's size.
    kind : {"nodule", "consolidation"}
    contrast : float
        Largest brightness added, of the range [-1, 1].
    scale : float
        Factor on the lesion's size.

    Raises
    ------
    VolumeError
        If the contrast is not in (0, 1], shapes differ, or no lung is given.
    """
    if not 0 < contrast <= 1:
        raise VolumeError(f"A planted lesion's contrast must lie in (0, 1]: found {contrast}.")
    if background.shape != lungs.shape or not lungs.any():
        raise VolumeError(
            f"A planted lesion needs lungs on its image: found {int(lungs.sum())} pixels, shape {lungs.shape} on "
            f"{background.shape}."
        )
    spacing = (height_mm / background.shape[0],) * 2
    u, v = plane(background.shape, spacing)
    profile = lesion_profile(generator, kind, u, v, lungs, spacing, scale=scale) * np.float32(contrast)
    image = np.minimum(background + profile, np.float32(1))
    added = image - background
    return PlantedLesion(image=image, profile=added, mask=added > 0)


def estimated_lungs(image: Float32) -> Mask:
    """Return roughly where the lungs of a frontal radiograph are: dark pixels of the two lung fields.

    Parameters
    ----------
    image : (H, W) float32
        Larger values brighter; upright.

    Notes
    -----
    A place to plant lesions, no segmentation: in two fixed fields, pixels darker than the median of the field's
    smoothed values, less the darkest part that touches the image's side (air), and of the pieces those larger than a
    quarter of the largest. Where nothing remains, the fields themselves.

    Examples
    --------
    >>> bool(estimated_lungs(np.zeros((50, 50), dtype=np.float32)).any())
    True
    """
    rows, columns = image.shape
    smooth = gaussian_filter(image.astype(np.float32), rows / 64, mode="nearest")
    fields = np.zeros(image.shape, dtype=bool)
    found = np.zeros(image.shape, dtype=bool)
    for top, bottom, left, right in _FIELDS:
        field = (slice(round(top * rows), round(bottom * rows)), slice(round(left * columns), round(right * columns)))
        fields[field] = True
        found[field] = smooth[field] < np.median(smooth[field])
    pieces, _ = label(smooth < np.percentile(smooth, 12))
    air = np.isin(pieces, np.setdiff1d(np.concatenate([pieces[:, 0], pieces[:, -1]]), [0]))
    parts, _ = label(binary_opening(found & ~air, iterations=max(rows // 64, 1)))
    sizes = np.bincount(parts.ravel())[1:]
    found = np.isin(parts, 1 + np.flatnonzero(sizes > 0.25 * sizes.max(initial=0)))
    return np.asarray(found if found.any() else fields)
