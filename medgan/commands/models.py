"""``medgan models``: list, show, check."""

from __future__ import annotations

from typing import Any


def list_models() -> dict[str, Any]:
    """Return the embedded models with what each is for and was trained on."""
    from medgan.inference.bundle import embedded_names, find_bundle

    models = []
    for name in embedded_names():
        facts = find_bundle(name).facts
        models.append(
            {
                "name": name,
                "task": facts.task,
                "does": facts.headline,
                "trained_anatomy": facts.trained_anatomy,
                "license": facts.license,
                "weights_sha256": facts.weights_sha256,
            }
        )
    return {"models": models}


def show_model(name_or_folder: str) -> dict[str, Any]:
    """Return all facts and the card of a model.

    Raises
    ------
    BundleError
        If there is no such model or it is damaged.
    """
    from medgan.inference.bundle import find_bundle

    bundle = find_bundle(name_or_folder)
    return {**bundle.facts.model_dump(mode="json"), "card": bundle.card}


def check_model(name_or_folder: str) -> dict[str, Any]:
    """Check facts, digest and weights of a model and run its network on one patch of ones.

    Raises
    ------
    BundleError
        With the first fault.
    """
    import torch

    from medgan.errors import BundleError
    from medgan.inference.bundle import find_bundle

    bundle = find_bundle(name_or_folder)
    network = bundle.network()
    inputs = [torch.ones(shape) for shape in bundle.facts.input_shapes]
    with torch.inference_mode():
        result = network(*inputs)
    wanted = bundle.facts.output_shape
    if tuple(result.shape) != wanted or not bool(torch.isfinite(result).all()):
        raise BundleError(
            f"The network of {bundle.facts.name} must return a finite tensor of shape {wanted}: "
            f"found shape {tuple(result.shape)}{'' if torch.isfinite(result).all() else ' with NaN or infinity'}."
        )
    parameters = sum(p.numel() for p in network.parameters())
    return {
        "name": bundle.facts.name,
        "weights_sha256": bundle.facts.weights_sha256,
        "parameters": parameters,
        "checks": [
            "facts are valid",
            f"weights have the digest {bundle.facts.weights_sha256[:12]}…",
            f"{parameters} parameters fit the network",
            "the network runs and its result is finite",
        ],
    }
