"""Chest radiograph twins: one subject with and without a lesion, and an optional marker as a planted shortcut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms.chest_anatomy import ChestAnatomy, Float32, chest_attenuation, displayed, lung_thickness, plane
from medgan.phantoms.chest_lesion import LesionKind, Mask, lesion_profile
from medgan.volume import Provenance, Quantity, Radiograph

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
    has_bubble : bool
        Gas in the stomach below the left dome: a feature that has nothing to do with lesion and marker.
    """

    with_lesion: Radiograph
    without_lesion: Radiograph
    profile: Float32
    lesion: Mask
    lungs: Mask
    marker: Mask
    has_bubble: bool


def chest_twins(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (256, 256),
    spacing_mm: tuple[float, float] | None = None,
    kind: LesionKind = "nodule",
    contrast: float = 0.22,
    scale: float = 1.0,
    marker: bool = False,
    bubble: bool | None = None,
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
    scale : float
        Factor on the lesion's size.
    marker : bool
        Put the letter L in the upper corner on the patient's left, in both twins: a shortcut to be exposed.
    bubble : bool, optional
        Whether there is gas in the stomach; by default as the anatomy has it.
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
    if bubble is not None:
        anatomy = replace(anatomy, has_bubble=bubble)
    u, v = plane((rows, columns), spacing)
    lungs_mm = lung_thickness(anatomy, u, v)
    lungs = np.asarray(lungs_mm > 25)
    if not lungs.any():
        raise VolumeError(f"A chest needs lungs in the image: found none in {rows} x {columns} pixels of {spacing} mm.")
    background = displayed(chest_attenuation(anatomy, u, v, lungs_mm=lungs_mm), blur_px=0.8 / spacing[0])
    profile = lesion_profile(generator, kind, u, v, lungs, spacing, scale=scale) * np.float32(contrast)
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
        has_bubble=anatomy.has_bubble,
    )


def _letter_mask(shape: tuple[int, int]) -> Mask:
    """Return the pixels of a letter L near the upper right corner, about a tenth of the image high."""
    height = max(shape[0] // 10, 5)
    stroke = max(height // 5, 1)
    top, left = shape[0] // 16, shape[1] - shape[1] // 16 - round(0.65 * height)
    mask = np.zeros(shape, dtype=bool)
    mask[top : top + height, left : left + stroke] = True
    mask[top + height - stroke : top + height, left : left + round(0.65 * height)] = True
    return mask
