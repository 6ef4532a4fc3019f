"""From the weights of a chosen checkpoint to a bundle with its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.inference.bundle import ModelBundle


def export_segmenter(
    folder: Path,
    *,
    experiment: SegmentationExperiment,
    weights: Mapping[str, Any],
    temperature: float,
    config_sha256: str,
    manifest_digest: str,
    steps: int,
    cases: int,
    results: Sequence[Mapping[str, Any]] = (),
) -> ModelBundle[Any]:
    """Write a segmenter as a bundle; ``results`` are what was measured of it, for its card.

    Raises
    ------
    BundleError
        If the folder exists.
    """
    from medgan.inference.bundle import ModelBundle
    from medgan.reporting.model_card import render_model_card

    settings, model, data = experiment.method_settings(), experiment.model, experiment.data
    if model.half_precision_weights:
        weights = {name: tensor.half() for name, tensor in weights.items()}
    facts: dict[str, Any] = {
        "name": model.name,
        "task": "segmentation",
        "classes": list(data.classes),
        "focus": data.focus,
        "inside": list(data.inside),
        "channels": [channel.model_dump(mode="json") for channel in data.channels],
        "working": experiment.working.model_dump(mode="json"),
        "neighbors": experiment.sampling.neighbors,
        "depth": experiment.sampling.depth,
        "allows_missing": experiment.sampling.augment.channel_dropout > 0,
        "temperature": temperature,
        "on_phantoms": data.phantoms is not None,
        "trained_anatomy": model.trained_anatomy,
        "network": {
            "name": "unet",
            "settings": {
                "spatial_dims": settings.spatial_dims,
                "in_channels": settings.in_channels,
                "classes": settings.classes,
                "width": settings.segmenter.width,
                "levels": settings.segmenter.levels,
                "normalization": settings.segmenter.normalization,
                "halve_last": settings.segmenter.halve_last,
            },
        },
        "training": {
            "method": experiment.method,
            "config_sha256": config_sha256,
            "manifest_sha256": manifest_digest,
            "steps": steps,
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
    }
    card = render_model_card(_card(experiment, steps=steps, cases=cases, temperature=temperature, results=results))
    return ModelBundle.write(folder, facts=facts, weights=weights, card=card)


def _card(
    experiment: SegmentationExperiment,
    *,
    steps: int,
    cases: int,
    temperature: float,
    results: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    model, settings, data = experiment.model, experiment.method_settings(), experiment.data
    channels = ", ".join(channel.name for channel in data.channels)
    recipe = [
        f"{settings.spatial_dims}-D U-Net of width {settings.segmenter.width} with {settings.segmenter.levels} levels "
        f"on {channels}; {experiment.working.size[0]} x {experiment.working.size[1]} pixels of "
        f"{experiment.working.spacing_mm[0]:g} x {experiment.working.spacing_mm[1]:g} mm about the image's middle.",
        f"Arm {settings.arm}: weights after {steps} of {settings.steps} steps with batches of "
        f"{experiment.sampling.batch}, chosen on validation subjects; seed {experiment.seed}; temperature "
        f"{temperature:.3g}.",
    ]
    return {
        "name": model.name,
        "task": f"Segmentation of {', '.join(data.classes[1:])} in {channels}",
        "trained_anatomy": model.trained_anatomy,
        "intended_use": model.intended_use,
        "not_for": model.not_for,
        "license": model.license,
        "training_data": [
            {"name": model.data, "license": model.data_license, "citation": model.data_citation, "cases": cases}
        ],
        "recipe": recipe,
        "results": list(results),
        "limits": model.limits,
    }
