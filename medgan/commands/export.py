"""From a trained state to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.volume import Quantity

if TYPE_CHECKING:
    import torch

    from medgan.commands.training_settings import CycleGANExperiment
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.domain_check import Fingerprint
    from medgan.methods.cyclegan import CycleGANState
    from medgan.preprocessing.recipe import Recipe


def export_bundle(
    folder: Path,
    *,
    experiment: CycleGANExperiment,
    state: CycleGANState,
    recipe: Recipe,
    config_sha256: str,
    manifest_digest: str,
    fingerprints: Sequence[Fingerprint],
) -> ModelBundle:
    """Write the source-to-target generator of a training as a bundle; averaged weights where the training kept them.

    Raises
    ------
    BundleError
        If the folder exists.
    """
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.domain_check import TrainedDomain
    from medgan.preprocessing.recipe import Recipe
    from medgan.reporting.model_card import render_model_card

    target_map = Recipe(tuple(experiment.recipe.target)).intensity_map
    generator, data, model = experiment.cyclegan.generator, experiment.data, experiment.model
    weights = _weights_of(state, "source_to_target", half=model.half_precision_weights)
    return_weights = None
    if model.return_generator:
        return_weights = _weights_of(state, "target_to_source", half=model.half_precision_weights)
    facts: dict[str, Any] = {
        "name": model.name,
        "task": "translation",
        "source": _domain(data.source, Quantity.MR_SIGNAL, "MR"),
        "target": _domain(data.target, Quantity.HOUNSFIELD, "CT"),
        "trained_anatomy": model.trained_anatomy,
        "recipe": recipe.as_json(),
        "target_knots": [list(knot) for knot in target_map.knots] if target_map else [],
        "network": {
            "name": "residual_generator",
            "settings": {
                "spatial_dims": experiment.cyclegan.spatial_dims,
                "width": generator.width,
                "blocks": generator.blocks,
                "normalization": generator.normalization,
                "body_mask": experiment.cyclegan.body_mask,
                "outside": experiment.cyclegan.outside,
                "skips": generator.skips,
                "residual": generator.residual,
                "slices": generator.slices,
            },
        },
        "patch": {
            "shape": list(experiment.patch.inference_shape or experiment.patch.shape),
            "overlap": experiment.patch.overlap,
        },
        "trained_domain": TrainedDomain(cases=tuple(fingerprints)),
        "flip_axes": list(experiment.sampling.flip_axes),
        "training": {
            "method": experiment.method,
            "config_sha256": config_sha256,
            "manifest_sha256": manifest_digest,
            "steps": state.step,
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
    }
    if return_weights is not None:
        # Both generators are built by the same settings.
        facts["return_network"] = facts["network"]
    card = render_model_card(card_facts(experiment, steps=state.step, cases=len(fingerprints)))
    return ModelBundle.write(folder, facts=facts, weights=weights, card=card, return_weights=return_weights)


def _weights_of(state: CycleGANState, name: str, *, half: bool) -> dict[str, torch.Tensor]:
    """Return the weights of a generator, averaged where the training averaged."""
    average = state.averages.get(name)
    weights = dict(average.weights()) if average is not None else dict(getattr(state, name).state_dict())
    return {key: tensor.half() for key, tensor in weights.items()} if half else weights


def card_facts(
    experiment: CycleGANExperiment, *, steps: int, cases: int, results: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return what the model card says; without results it says that nothing was measured."""
    model, method = experiment.model, experiment.cyclegan
    warm = method.warm_start
    dimensions = "2.5" if method.generator.slices else method.spatial_dims
    recipe = [
        f"CycleGAN, {dimensions}-D, {steps} steps of {experiment.patch.batch} patch(es) of "
        f"{' x '.join(map(str, experiment.patch.shape))} voxels, seed {experiment.seed}.",
        f"Residual generators of width {method.generator.width} with {method.generator.blocks} blocks, normalization "
        f"{method.generator.normalization}; averaged weights: {'yes' if method.average_decay else 'no'}.",
    ]
    if warm.steps or warm.anchor_weight:
        recipe.append(
            f"Declared prior: a table of intensities (no pairs) in the first {warm.steps} steps, kept as an anchor of "
            f"weight {warm.anchor_weight:g} falling to {warm.anchor_floor:g} over {warm.anchor_steps} steps."
        )
    data = {"name": model.data, "license": model.data_license, "citation": model.data_citation, "cases": cases}
    return {
        "name": model.name,
        "task": f"Translation of {experiment.data.source.upper()} to {experiment.data.target.upper()}, unpaired",
        "trained_anatomy": model.trained_anatomy,
        "intended_use": model.intended_use,
        "not_for": model.not_for,
        "license": model.license,
        "training_data": [data],
        "recipe": recipe,
        "results": list(results),
        "limits": model.limits,
    }


def _domain(domain: str, quantity: Quantity, modality: str) -> dict[str, str]:
    return {"domain": domain, "modality": modality, "quantity": quantity.label}
