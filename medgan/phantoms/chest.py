"""Chest radiograph twins: one subject with and without a lesion, and an optional marker as a planted shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medgan.errors import VolumeError
from medgan.phantoms.chest_anatomy import ChestAnatomy, Float32, chest_attenuation, displayed, lung_thickness, plane
from medgan.volume import Provenance, Quantity, Radiograph

Mask = npt.NDArray[np.bool_]
LesionKind = Literal["nodule", "consolidation"]
BRIGHTEST = 0.7
"""Background stops here, so that a lesion of contrast up to 0.3 is added without clipping."""


@dataclass(frozen=True)
class ChestTwins:
    """One chest twice: the images differ by ``profile``, and nowhere outside ``lesion``.

    Parameters
    ----------
    with_lesion, without_lesion : Radiograph
        NORMALIZED, in [-1, 1].
    profile : (H, W) float32
        What the lesion adds.
    lesion : (H, W) bool
        Where ``profile`` is positive.
    lungs : (H, W) bool
        Lung fields, without what heart and mediastinum hide.
    marker : (H, W) bool
        Pixels of the letter in the corner; all False if there is none.
    """

    with_lesion: Radiograph
    without_lesion: Radiograph
    profile: Float32
    lesion: Mask
    lungs: Mask
    marker: Mask


def chest_twins(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (256, 256),
    spacing_mm: tuple[float, float] | None = None,
    kind: LesionKind = "nodule",
    contrast: float = 0.22,
    marker: bool = False,
    noise: float = 0.0,
) -> ChestTwins:
    """Return one random chest with and without a lesion.

    Parameters
    ----------
    generator : numpy.random.Generator
        One subject a generator. The anatomy does not depend on any other argument.
    shape : (H, W)
        Rows and columns.
    spacing_mm : (row, column), optional
        By default the image is 350 mm high.
    kind : {"nodule", "consolidation"}
        A round spot of 8 to 24 mm, or an uneven patch of 40 to 80 mm.
    contrast : float
        Largest brightness that the lesion adds, at most 0.3.
    marker : bool
        Put the letter L in the upper corner on the patient's left, in both twins: a shortcut to be exposed.
    noise : float
        Standard deviation of Gaussian noise, the same in both twins.

    Returns
    -------
    ChestTwins

    Raises
    ------
    VolumeError
        If the contrast is not in (0, 0.3], or no lung lies in the image.
    """
    if not 0 < contrast <= 1 - BRIGHTEST:
        raise VolumeError(f"A lesion's contrast must lie in (0, {1 - BRIGHTEST:.1f}]: found {contrast}.")
    rows, columns = int(shape[0]), int(shape[1])
    spacing = (350 / rows, 350 / rows) if spacing_mm is None else (float(spacing_mm[0]), float(spacing_mm[1]))
    anatomy = ChestAnatomy.sampled(generator)
    u, v = plane((rows, columns), spacing)
    lungs_mm = lung_thickness(anatomy, u, v)
    lungs = np.asarray(lungs_mm > 25)
    if not lungs.any():
        raise VolumeError(f"A chest needs lungs in the image: found none in {rows} x {columns} pixels of {spacing} mm.")
    background = displayed(chest_attenuation(anatomy, u, v, lungs_mm=lungs_mm), blur_px=0.8 / spacing[0])
    profile = _lesion_profile(generator, kind, u, v, lungs, spacing) * np.float32(contrast)
    if noise:
        background = background + np.float32(noise) * generator.standard_normal(background.shape, dtype=np.float32)
    background = np.clip(background, -1, np.float32(BRIGHTEST))
    marker_mask = _letter_mask((rows, columns)) if marker else np.zeros((rows, columns), dtype=bool)
    profile[marker_mask] = 0
    background[marker_mask] = 0.95
    provenance = Provenance().then("chest phantom")
    profile.setflags(write=False)
    return ChestTwins(
        with_lesion=Radiograph(background + profile, spacing, Quantity.NORMALIZED, provenance),
        without_lesion=Radiograph(background, spacing, Quantity.NORMALIZED, provenance),
        profile=profile,
        lesion=profile > 0,
        lungs=lungs,
        marker=marker_mask,
    )


def _lesion_profile(
    generator: np.random.Generator, kind: LesionKind, u: Float32, v: Float32, lungs: Mask, spacing: tuple[float, float]
) -> Float32:
    """Return a bump (H, W) with maximum 1 around a point of the lungs, of compact support and uneven outline."""
    # Of random points in mm the first one in a lung, so that it is the same place at any resolution.
    tried = generator.uniform((-120, -120), (110, 120), size=(300, 2)) / spacing + (np.array(lungs.shape) - 1) / 2
    places = np.rint(tried).astype(int)
    places = places[((places >= 0) & (places < lungs.shape)).all(axis=1)]
    places = np.concatenate([places[lungs[tuple(places.T)]], np.argwhere(lungs)[:1]])
    row, column = places[0]
    radius = float(generator.uniform(4, 12) if kind == "nodule" else generator.uniform(20, 40))
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


def _letter_mask(shape: tuple[int, int]) -> Mask:
    """Return the pixels of a letter L near the upper right corner, about a tenth of the image high."""
    height = max(shape[0] // 10, 5)
    stroke = max(height // 5, 1)
    top, left = shape[0] // 16, shape[1] - shape[1] // 16 - round(0.65 * height)
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + height, left : left + stroke] = True
    mask[top + height - stroke : top + height, left : left + round(0.65 * height)] = True
    return mask
