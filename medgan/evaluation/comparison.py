"""A synthetic image against the true one, by one preset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medgan.errors import EvaluationError
from medgan.evaluation.intensity import (
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise_ratio,
    pearson_correlation,
    root_mean_square_error,
    spearman_correlation,
)
from medgan.evaluation.measure import Measure
from medgan.evaluation.overlap import dice
from medgan.evaluation.presets import Preset
from medgan.evaluation.region import BoolArray, FloatArray, values_in
from medgan.evaluation.similarity import ms_ssim, ssim
from medgan.evaluation.surface import surface_distances
from medgan.evaluation.tissues import AIR, BONE, CONTRAST, TISSUES
from medgan.geometry import bounding_box
from medgan.volume import LabelMap, Volume

EVERY_VOXEL = "every voxel (no mask given)"


@dataclass(frozen=True)
class Comparison:
    """All measures of one result, each with its mask, range and peak.

    Parameters
    ----------
    preset : str
        Name of the rules; every table that shows a measure names it.
    voxels : int
        Number of voxels that count.
    measures : tuple of Measure
    """

    preset: str
    voxels: int
    measures: tuple[Measure, ...]

    def value(self, name: str) -> float | None:
        """Return the value of a measure, None where it is undefined.

        Raises
        ------
        EvaluationError
            If there is no measure of this name.
        """
        for measure in self.measures:
            if measure.name == name:
                return measure.value
        known = ", ".join(m.name for m in self.measures)
        raise EvaluationError(f"A comparison by preset {self.preset} has the measures {known}: found {name!r}.")

    def values(self) -> dict[str, float | None]:
        """Return name and value of every measure: one row of a cohort table."""
        return {measure.name: measure.value for measure in self.measures}

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "preset": self.preset,
            "voxels": self.voxels,
            "measures": {measure.name: measure.as_dict() for measure in self.measures},
        }

    def rows(self) -> list[tuple[str, str, str]]:
        """Return title, value with unit, and statement of every measure, for a printed table."""
        return [(measure.title, measure.text, measure.statement) for measure in self.measures]


def compare(*, result: Volume, reference: Volume, mask: LabelMap | None, preset: Preset) -> Comparison:
    """Measure a result against its reference.

    Parameters
    ----------
    result, reference : Volume
        On one grid in mm, both of the preset's quantity.
    mask : LabelMap or None
        Every label counts. None counts every voxel, which makes large errors of the body look small.
    preset : Preset

    Returns
    -------
    Comparison

    Raises
    ------
    GeometryError
        If the three are not on one grid.
    EvaluationError
        If a quantity or unit is not the preset's, or the mask is empty.

    Notes
    -----
    Tissue errors and correlations are taken where the *reference* lies in a range. Soft-tissue correlation is the
    check of the contrast's sign: near 1 when fat is darker than muscle in the result as in the reference, negative when
    the translation swapped them. Dice and HD95 of air and bone threshold both images; these are not the challenges'
    Dice and HD95, which segment organs.
    """
    reference.grid.require_same_as(result.grid, this="reference", that="result")
    if mask is not None:
        mask.grid.require_same_as(reference.grid, this="mask", that="reference")
    _require_meaning(result, reference, preset)
    inside = np.ones(result.shape, dtype=bool) if mask is None else mask.mask()
    box = bounding_box(inside)
    if box is None:
        raise EvaluationError(
            "A comparison needs at least one voxel in the mask: found none. Was the body found, and does it lie in the "
            "field of view?"
        )
    of = EVERY_VOXEL if mask is None else preset.mask
    near = inside[box.slices]
    values, truth = (values_in(image.array[box.slices], near) for image in (result, reference))
    measures = (
        *_intensity_measures(values, truth, of, preset),
        *_similarity_measures(result, reference, None if mask is None else inside, of, preset),
        *_threshold_measures(
            result.array[box.slices], reference.array[box.slices], near, of, result.grid.spacing, result.grid.is_sheared
        ),
        *_tissue_measures(values, truth, of, preset),
    )
    return Comparison(preset.name, int(values.size), measures)


def _require_meaning(result: Volume, reference: Volume, preset: Preset) -> None:
    for name, volume in (("result", result), ("reference", reference)):
        if volume.quantity is not preset.quantity:
            raise EvaluationError(
                f"The preset {preset.name!r} measures {preset.quantity.label}: found {volume.quantity.label} in the "
                f"{name}. Undo the intensity normalization first."
            )
        if volume.grid.unit != "mm":
            raise EvaluationError(f"A comparison measures distances in mm: found a grid in {volume.grid.unit}.")


def _intensity_measures(values: FloatArray, truth: FloatArray, of: str, preset: Preset) -> Iterator[Measure]:
    clipped = [np.clip(a, preset.low, preset.high) for a in (values, truth)]
    result, reference = clipped if preset.clip_errors else (values, truth)
    extent = f"clipped to {preset.range_text}" if preset.clip_errors else "not clipped"
    unit = preset.quantity.unit
    for name, title, function in (
        ("mae", "Mean absolute error", mean_absolute_error),
        ("me", "Mean error", mean_error),
        ("rmse", "Root mean square error", root_mean_square_error),
    ):
        yield Measure(name, title, function(result=result, reference=reference), unit, of, extent)
    psnr = peak_signal_to_noise_ratio(result=clipped[0], reference=clipped[1], peak=preset.peak)
    finite = np.isfinite(psnr)
    yield Measure(
        "psnr",
        "Peak signal-to-noise ratio",
        psnr if finite else None,
        "dB",
        of,
        f"clipped to {preset.range_text}",
        preset.peak,
        "" if finite else "infinite, the images are equal",
    )


def _similarity_measures(
    result: Volume, reference: Volume, inside: BoolArray | None, of: str, preset: Preset
) -> Iterator[Measure]:
    outside = f"clipped to {preset.range_text}, {preset.low:g} outside the mask"
    no_window = "no window that is centered in the mask lies inside the image"
    value = ssim(
        result=result.array,
        reference=reference.array,
        low=preset.low,
        high=preset.high,
        mask=inside,
        sample_covariance=preset.ssim_sample_covariance,
    )
    note = "" if preset.ssim_is_official else f" (not a measure of the {preset.title})"
    how = f"{outside}, 7 x 7 x 7 uniform window{note}"
    reason = "" if value is not None else no_window
    yield Measure("ssim", "Structural similarity", value, "", of, how, preset.peak, reason)
    several = partial(Measure, "ms_ssim", "Multi-scale structural similarity")
    if preset.multi_scale is None:
        yield several(None, "", of, outside, preset.peak, f"the {preset.title} has no such measure")
        return
    value = ms_ssim(
        result=result.array,
        reference=reference.array,
        low=preset.low,
        high=preset.high,
        scales=preset.multi_scale,
        mask=inside,
    )
    how = f"{outside}, {preset.multi_scale.describe()}"
    yield several(value, "", of, how, preset.peak, "" if value is not None else f"{no_window} at the coarsest scale")


def _threshold_measures(
    result: Any, reference: Any, inside: BoolArray, of: str, spacing_mm: tuple[float, float, float], is_sheared: bool
) -> Iterator[Measure]:
    for tissue in (AIR, BONE):
        here, there = tissue.where(result) & inside, tissue.where(reference) & inside
        overlap = dice(result=here, reference=there)
        how = f"{tissue.range_text} in each image"
        reason = "" if overlap is not None else f"no {tissue.name} in either image, not counted"
        yield Measure(f"dice_{tissue.name}", f"Dice of {tissue.name}", overlap, "", of, how, None, reason)
        distance = partial(Measure, f"hd95_{tissue.name}", f"95 % Hausdorff distance of {tissue.name}")
        if is_sheared:
            yield distance(None, "mm", of, how, None, "the grid is sheared, its axes are not at right angles")
            continue
        found = surface_distances(result=here, reference=there, spacing_mm=spacing_mm)
        yield distance(found.hd95_mm, "mm", of, how, None, found.reason)


def _tissue_measures(values: FloatArray, truth: FloatArray, of: str, preset: Preset) -> Iterator[Measure]:
    if preset.clip_errors:
        values, truth = (np.clip(a, preset.low, preset.high) for a in (values, truth))
    for tissue in TISSUES:
        there = tissue.where(truth)
        found = bool(there.any())
        how = f"reference {tissue.range_text}"
        reason = "" if found else f"no voxel of the reference has {tissue.range_text}"
        for kind, title, function in (
            ("mae", "Mean absolute error", mean_absolute_error),
            ("me", "Mean error", mean_error),
        ):
            name = f"{kind}_{tissue.name.replace(' ', '_')}"
            value = function(result=values[there], reference=truth[there]) if found else None
            yield Measure(name, f"{title} in {tissue.name}", value, preset.quantity.unit, of, how, None, reason)
    there = CONTRAST.where(truth)
    enough = int(np.count_nonzero(there)) >= 2
    for name, kind, correlation in (
        ("soft_tissue_r", "Pearson", pearson_correlation),
        ("soft_tissue_rho", "Spearman", spearman_correlation),
    ):
        value = correlation(result=values[there], reference=truth[there]) if enough else None
        reason = "" if value is not None else "an image is constant there, or fewer than two voxels lie there"
        yield Measure(
            name,
            f"Soft-tissue correlation, the contrast's sign ({kind})",
            value,
            "",
            of,
            f"reference {CONTRAST.range_text}",
            None,
            reason,
        )
