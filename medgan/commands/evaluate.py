"""``medgan evaluate``: a synthetic image against the true one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.commands.image_input import found_image
from medgan.errors import EvaluationError
from medgan.volume import LabelMap, Quantity, Volume

if TYPE_CHECKING:
    from medgan.evaluation.comparison import Comparison


def evaluate(
    result: Path,
    reference: Path,
    *,
    mask: Path | None = None,
    preset: str = "corrected",
    resample_reference: bool = False,
    series: int | None = None,
    reference_series: int | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    out: Path | None = None,
    assume_axes: bool = False,
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Measure one result against its reference.

    Parameters
    ----------
    result, reference : Path
        Two CT volumes in HU: files, or DICOM as for :func:`medgan.commands.translate.translate`.
    mask : Path, optional
        Label map; the reference's body if not given.
    preset : str
        Rules of measurement.
    resample_reference : bool
        Bring reference and mask onto the result's grid; else one grid is required.
    series, reference_series : int, optional
        Which image of several; ``series`` counts for the reference as well where that has several and none is named.
    allow_gap : bool
        Interpolate one missing slice.
    orthogonal : bool
        Compare on axes at right angles where the result's grid is sheared: both images are resampled.
    out : Path, optional
        File for the measures as JSON.
    assume_axes, overwrite : bool
    console : Console

    Returns
    -------
    dict
        Preset, mask in words, number of voxels, and every measure with value, unit, mask, range and peak.

    Raises
    ------
    MedganError
        If a file is refused, grids differ, or the mask is empty.
    """
    from medgan.evaluation.presets import preset_named
    from medgan.formats import is_supported, read_labels, require_absent, write_bytes
    from medgan.preprocessing.respace import orthogonal as at_right_angles
    from medgan.volume.resample import resample

    rules = preset_named(preset)
    if out is not None:
        require_absent([out], overwrite=overwrite)
    volumes, names, notices = {}, {}, []
    for name, path, index in (("result", result, series), ("reference", reference, reference_series or series)):
        holds_one = is_supported(path) and not path.is_dir()
        item = found_image(path, series=None if holds_one else index, allow_gap=allow_gap, console=console)
        file = item.read(quantity=Quantity.HOUNSFIELD, allow_gap=allow_gap, assume_axes=assume_axes)
        _require_ct(item.label, file.modality_hint)
        notices += [f"{item.label}: {notice}" for notice in file.notices]
        volumes[name], names[name] = file.volume, item.label
    if orthogonal and volumes["result"].grid.is_sheared:
        volumes["result"] = resample(volumes["result"], at_right_angles(volumes["result"].grid))
        resample_reference = True
    labels = read_labels(mask, assume_axes=assume_axes) if mask is not None else None
    comparison, mask_words, resampled = compared(
        result=volumes["result"],
        reference=volumes["reference"],
        mask=labels,
        preset=rules.name,
        resample_reference=resample_reference,
    )
    if resampled:
        notices.append(f"{names['reference']}: resampled (linear) onto the grid of {names['result']}.")
    for notice in notices:
        console.notice(notice)
    facts = {
        "result": names["result"],
        "reference": names["reference"],
        "mask": mask.name if mask is not None else mask_words,
        "reference_resampled": resampled,
        "notices": notices,
        **comparison.as_dict(),
    }
    if out is not None:
        write_bytes(out, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=overwrite)
    return facts


def _require_ct(label: str, modality: str | None) -> None:
    if modality is not None and modality.upper() != "CT":
        raise EvaluationError(f"A comparison in HU needs two CTs: {label} says that it holds {modality}.")


def compared(
    *, result: Volume, reference: Volume, mask: LabelMap | None, preset: str, resample_reference: bool
) -> tuple[Comparison, str, bool]:
    """Return the comparison, the mask in words, and whether the reference was resampled.

    Raises
    ------
    GeometryError
        If grids differ and may not be resampled.
    EvaluationError
        If the two images do not overlap.
    """
    from medgan.evaluation.comparison import compare
    from medgan.evaluation.presets import preset_named
    from medgan.preprocessing.body_mask import REFERENCE_CLOSING_MM, BodyMask

    words = "the mask given"
    if mask is None:
        # The body is found where the whole reference is seen; then it is brought along.
        mask = LabelMap(BodyMask(closing_mm=REFERENCE_CLOSING_MM).found_in(reference).mask, reference.grid, {1: "body"})
        words = "body of the reference (Otsu), within the result's field of view"
    resampled = not reference.grid.same_as(result.grid)
    if resampled and resample_reference:
        reference, mask = brought_onto(result, reference, mask)
    elif resampled:
        reference.grid.require_same_as(
            result.grid, this="reference", that="result", what="A comparison (without --resample)"
        )
    elif not mask.grid.same_as(result.grid) and resample_reference:
        _, mask = brought_onto(result, reference, mask)
    return compare(result=result, reference=reference, mask=mask, preset=preset_named(preset)), words, resampled


def brought_onto(result: Volume, reference: Volume, mask: LabelMap) -> tuple[Volume, LabelMap]:
    """Return reference (linear) and mask (nearest) on the result's grid; the mask ends where the reference was seen.

    Raises
    ------
    EvaluationError
        If nothing of the mask lies in the result's field of view.
    """
    import numpy as np

    from medgan.volume.resample import resample, resample_labels

    moved = resample(reference, result.grid)
    inside = resample_labels(mask, result.grid)
    # Where the reference was not acquired there is nothing to compare with.
    seen = resample_labels(LabelMap(np.ones(reference.shape, dtype=bool), reference.grid), result.grid)
    inside = replace(inside, array=np.where(seen.mask(), inside.array, 0).astype(inside.array.dtype))
    if not inside.mask().any():
        raise EvaluationError(
            "A comparison needs a common region: mask and result do not overlap. Are the two images in one frame?"
        )
    return moved, inside
