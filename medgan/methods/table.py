"""Where a method's name in a configuration becomes code."""

from __future__ import annotations

from typing import Any

from medgan.methods.adversarial_segmentation import ADVERSARIAL_SEGMENTATION, AdversarialSegmentationSettings
from medgan.methods.boundary_segmentation import BOUNDARIES, BoundarySettings
from medgan.methods.classification import CLASSIFICATION, ClassificationSettings
from medgan.methods.counterfactual import COUNTERFACTUAL, CounterfactualSettings
from medgan.methods.cyclegan import CYCLEGAN, CycleGANSettings
from medgan.methods.secgan import SECGAN, SecganSettings
from medgan.training.loop import Method

METHODS: dict[str, Method[Any, Any, Any]] = {
    "adversarial_segmentation": ADVERSARIAL_SEGMENTATION,
    "boundaries": BOUNDARIES,
    "classification": CLASSIFICATION,
    "counterfactual": COUNTERFACTUAL,
    "cyclegan": CYCLEGAN,
    "secgan": SECGAN,
}

SETTINGS: dict[str, type] = {
    "adversarial_segmentation": AdversarialSegmentationSettings,
    "boundaries": BoundarySettings,
    "classification": ClassificationSettings,
    "counterfactual": CounterfactualSettings,
    "cyclegan": CycleGANSettings,
    "secgan": SecganSettings,
}
