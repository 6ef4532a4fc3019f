"""Small classifiers and translators written to folders, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from medgan.inference.bundle import ModelBundle
from medgan.networks.classifier import ConvolutionalClassifier, initialize_classifier
from medgan.networks.counterfactual_pair import CounterfactualPair
from medgan.networks.initialization import initialize

SETTINGS = {"width": 2, "stages": 2, "depth": 1}
GENERATOR = {"spatial_dims": 2, "width": 2, "blocks": 1, "normalization": "none", "residual": True}
DOMAIN = {"input_size": [12, 12], "population": "nobody"}
TRAINING = {
    "method": "classification",
    "config_sha256": "0" * 64,
    "manifest_sha256": "0" * 64,
    "steps": 0,
    "seed": 0,
    "data": "none",
    "data_license": "none",
}


def network(**options: Any) -> ConvolutionalClassifier:
    made = ConvolutionalClassifier(**{**SETTINGS, **options})
    initialize_classifier(made, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.verdict.weight.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return made.eval()


def write_folder(folder: Path, *, weights: str = "weights.safetensors", made: Any = None, **changes: Any) -> Path:
    """Write a classifier's folder; ``None`` leaves a setting out."""
    folder.mkdir(parents=True, exist_ok=True)
    state = (network() if made is None else made).state_dict()
    if weights.endswith(".safetensors"):
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / weights)
    elif weights.endswith((".pt", ".pth")):
        torch.save(state, folder / weights)
    settings = {
        "name": "mine",
        "weights": weights,
        "network": "convolutional_classifier",
        "settings": SETTINGS,
        "input_size": [12, 12],
        "labels": ["normal", "ill"],
        "score_space": "logit",
        "target_layer": "features",
        **changes,
    }
    text = yaml.safe_dump({key: value for key, value in settings.items() if value is not None})
    (folder / "classifier.yaml").write_text(text)
    return folder


def classification_bundle(folder: Path, **changes: Any) -> ModelBundle:
    facts = {
        "name": "tiny-classifier",
        "task": "classification",
        "trained_anatomy": "nothing",
        "labels": ["normal", "ill"],
        "domain": DOMAIN,
        "target_layer": "features",
        "network": {"name": "convolutional_classifier", "settings": SETTINGS},
        "training": TRAINING,
        "license": "Apache-2.0",
        "intended_use": "tests",
        **changes,
    }
    return ModelBundle.write(folder, facts=facts, weights=network().state_dict(), card="# tiny\n")


def pair() -> CounterfactualPair:
    made = CounterfactualPair(**GENERATOR)
    for seed, generator in enumerate((made.source_to_target, made.target_to_source)):
        initialize(generator, torch.Generator().manual_seed(seed))
    return made


def counterfactual_bundle(folder: Path, **changes: Any) -> ModelBundle:
    facts = {
        "name": "tiny-translator",
        "task": "counterfactual",
        "trained_anatomy": "nothing",
        "classes": ["normal", "ill"],
        "domain": DOMAIN,
        "network": {"name": "counterfactual_pair", "settings": GENERATOR},
        "training": {**TRAINING, "method": "counterfactual"},
        "license": "Apache-2.0",
        "intended_use": "tests",
        **changes,
    }
    return ModelBundle.write(folder, facts=facts, weights=pair().state_dict(), card="# tiny\n")
