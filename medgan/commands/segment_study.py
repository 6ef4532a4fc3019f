"""Segment the channels of one study: a label map and lesion probabilities on the first channel's own grid."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.segment import SegmentRequest
from medgan.commands.segment_alignment import aligned
from medgan.commands.segment_channels import FoundChannels, found_channels, named_channels
from medgan.volume import LabelMap, Volume

if TYPE_CHECKING:
    from medgan.evaluation.lesions import LesionRow
    from medgan.inference.segmentation_facts import SegmentationFacts
    from medgan.inference.segmenter import Segmentation


@dataclass(frozen=True)
class SegmentOutputs:
    """The files of a segmentation."""

    labels: Path
    probability: Path
    lesions: Path
    table: Path
    picture: Path
    sidecar: Path

    @classmethod
    def named(cls, name: str, focus: str, out: Path | None) -> SegmentOutputs:
        """Return the paths in a folder; the focus class names the files about it."""
        folder, word = out or Path(), focus.replace(" ", "_")
        return cls(
            labels=folder / f"{name}_labels.nii.gz",
            probability=folder / f"{name}_{word}_probability.nii.gz",
            lesions=folder / f"{name}_{word}_numbers.nii.gz",
            table=folder / f"{name}_{word}s.csv",
            picture=folder / f"{name}_segmentation.png",
            sidecar=folder / f"{name}_segmentation.json",
        )

    def as_dict(self) -> dict[str, str]:
        """Return the paths as given, as text."""
        return {name: str(path) for name, path in vars(self).items()}


def segment_study(request: SegmentRequest) -> dict[str, Any]:
    """Segment one study and write label map, probabilities, numbered lesions, table, picture and JSON.

    Raises
    ------
    MedganError
        If an image or output is refused; nothing is written then.
    """
    request.require_unused("voxel_size", "block", because="segments images of patients, whose headers say their voxels")
    import torch

    from medgan.commands.devices import resolve_device
    from medgan.evaluation.lesions import lesion_rows
    from medgan.formats import require_absent
    from medgan.inference.segmenter import Segmenter, on_grid
    from medgan.training.precision import resolve_precision

    facts: SegmentationFacts = request.bundle.facts
    console, begun = request.console, time.perf_counter()
    named = named_channels(request.channels, facts)
    found = found_channels(
        request.source, named, facts, allow_gap=request.allow_gap, assume_axes=request.assume_axes, console=console
    )
    outputs = SegmentOutputs.named(found.name, facts.focus, request.out)
    require_absent(vars(outputs).values(), overwrite=request.overwrite)
    case = aligned(found.case, facts) if request.align else found.case
    read_seconds = time.perf_counter() - begun

    chosen = resolve_device(request.device)
    record = resolve_precision(request.precision, device=chosen)
    segmenter = Segmenter(request.bundle, device=chosen, precision=record.precision, flips=request.flips)
    with console.progress("segmenting") as advance:
        result = segmenter.segment(case, progress=advance)
    if facts.warning is not None:
        console.notice(facts.warning)
    for notice in result.prepared.notices:
        console.notice(notice)
    reference = case.images[facts.channels[0].name]
    labels, probability = on_grid(result.probabilities, result.grid, reference.grid, facts)
    zones = {facts.classes.index(name): name for name in facts.inside if name != facts.focus}
    rows, numbered = lesion_rows(labels, probability, focus=facts.focus_class, zones=zones)
    sidecar = _sidecar(facts, found, result, rows, labels, reference, request)
    sidecar |= {
        "device": chosen,
        "threads": torch.get_num_threads(),
        "precision": record.as_dict(),
        "seconds": {
            "read": round(read_seconds, 3),
            **result.seconds,
            "all": round(time.perf_counter() - begun, 3),
        },
    }
    _write(outputs, result, reference, labels, probability, numbered, sidecar, facts, overwrite=request.overwrite)
    return {**sidecar, "outputs": outputs.as_dict()}


def study_lines(facts: dict[str, Any]) -> list[str]:
    """Return a segmentation for people: its warning, the lesions, the files."""
    lines = [facts["warning"]] if facts.get("warning") else []
    for row in facts.get("lesions", ()):
        center = ", ".join(f"{x:.0f}" for x in row["center_ras_mm"])
        zone = f", {row['zone']}" if row["zone"] else ""
        lines.append(
            f"{facts['model']['focus']} {row['number']}: {row['volume_ml']:.2f} ml at ({center}) mm RAS{zone}, "
            f"peak probability {row['peak_probability']:.2f}"
        )
    if "lesions" in facts and not facts["lesions"]:
        highest = facts["highest_probability"]
        lines.append(f"no {facts['model']['focus']} found; highest probability {highest:.2f}")
    return [*lines, *map(str, facts["outputs"].values())]


def _sidecar(
    facts: SegmentationFacts,
    found: FoundChannels,
    result: Segmentation,
    rows: list[LesionRow],
    labels: LabelMap,
    reference: Volume,
    options: SegmentRequest,
) -> dict[str, Any]:
    from medgan import __version__

    milliliter = labels.grid.voxel_volume / 1000
    focus = result.probabilities[facts.focus_class]
    return {
        "medgan": __version__,
        "warning": facts.warning,
        "model": {
            "name": facts.name,
            "focus": facts.focus,
            "trained_anatomy": facts.trained_anatomy,
            "on_phantoms": facts.on_phantoms,
            "weights_sha256": facts.weights_sha256,
            "temperature": facts.temperature,
            "license": facts.license,
            "intended_use": facts.intended_use,
        },
        "channels": {
            name: {"choice": found.choices.get(name, "missing"), "sha256": list(volume.provenance.sources)}
            for name, volume in result.prepared.images.items()
        },
        "options": {"align": options.align, "flips": options.flips},
        "lesions": [row.as_dict() for row in rows],
        "highest_probability": round(float(focus.max()), 4),
        "mean_entropy": round(float(result.entropy.mean()), 5),
        "volumes_ml": {
            name: round(int(np.count_nonzero(labels.array == number)) * milliliter, 3)
            for number, name in enumerate(facts.classes)
            if number
        },
        "grid": {
            "shape": list(reference.shape),
            "spacing_mm": [round(s, 6) for s in reference.grid.spacing],
            "affine_ras": reference.grid.affine.tolist(),
        },
        "notices": list(result.prepared.notices),
    }


def _write(
    outputs: SegmentOutputs,
    result: Segmentation,
    reference: Volume,
    labels: LabelMap,
    probability: Volume,
    numbered: LabelMap,
    sidecar: dict[str, Any],
    facts: SegmentationFacts,
    *,
    overwrite: bool,
) -> None:
    """Write all files, the label map last: where it is, the others are."""
    from medgan.formats import made_folder, write_bytes, write_labels, write_volume

    made_folder(outputs.labels.parent)
    write_bytes(
        outputs.picture, segmentation_picture(result, reference, labels, probability, facts), overwrite=overwrite
    )
    write_bytes(outputs.table, _csv(sidecar["lesions"], facts).encode(), overwrite=overwrite)
    write_bytes(outputs.sidecar, (json.dumps(sidecar, indent=1) + "\n").encode(), overwrite=overwrite)
    write_labels(numbered, outputs.lesions, overwrite=overwrite)
    write_volume(probability, outputs.probability, overwrite=overwrite)
    write_labels(labels, outputs.labels, overwrite=overwrite)


def segmentation_picture(
    result: Segmentation,
    reference: Volume,
    labels: LabelMap,
    probability: Volume,
    facts: SegmentationFacts,
    *,
    expert: LabelMap | None = None,
) -> bytes:
    """Return a PNG: contours on the first channel and on what the network saw of the others, on the result's grid."""
    from medgan.reporting.panel import Panel, percentile_window
    from medgan.reporting.segmentation_figure import contour_sheet, shown_slices
    from medgan.volume.resample import resample

    names = [channel.name for channel in facts.channels]
    panels = [Panel(reference, names[0].upper(), percentile_window(reference), synthetic=False)]
    for name in names[1:]:
        moved = resample(result.prepared.images[name], reference.grid)
        panels.append(Panel(moved, f"{name.upper()} as the network saw it", (-1.0, 1.0), synthetic=False))
    panels.append(Panel(probability, f"probability of {facts.focus}", (0.0, 1.0), synthetic=False))
    field = max(n * s for n, s in zip(facts.working.size, facts.working.spacing_mm))
    stamp = "TRAINED ON PHANTOMS ONLY" if facts.on_phantoms else "not for diagnosis"
    return contour_sheet(
        panels,
        labels=labels,
        slices=shown_slices(labels, facts.focus_class, probability.array),
        expert=expert,
        field_mm=field,
        title=f"{facts.name}: {facts.headline}" + (" – says nothing about a person" if facts.on_phantoms else ""),
        focus=facts.focus,
        stamp=stamp,
    )


def _csv(rows: list[dict[str, Any]], facts: SegmentationFacts) -> str:
    """Return the table; every row says which model it is from, and whether that knows phantoms only."""
    lines = [
        "number,volume_ml,x_ras_mm,y_ras_mm,z_ras_mm,zone,peak_probability,mean_probability,model,model_on_phantoms"
    ]
    origin = (facts.name, "yes" if facts.on_phantoms else "no")
    for row in rows:
        values = (row["number"], row["volume_ml"], *row["center_ras_mm"], row["zone"])
        lines.append(",".join(map(str, (*values, row["peak_probability"], row["mean_probability"], *origin))))
    return "\n".join(lines) + "\n"
