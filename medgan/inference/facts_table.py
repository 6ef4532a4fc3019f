"""Where the task in a ``bundle.json`` becomes the class that checks it."""

from __future__ import annotations

from medgan.inference.bundle_facts import CommonFacts, TranslationFacts
from medgan.inference.classifier_facts import ClassificationFacts, CounterfactualFacts
from medgan.inference.contrast_facts import BoundaryFacts, ContrastFacts, TissueFacts
from medgan.inference.segmentation_facts import SegmentationFacts

FACTS: dict[str, type[CommonFacts]] = {
    "boundaries": BoundaryFacts,
    "classification": ClassificationFacts,
    "counterfactual": CounterfactualFacts,
    "em_contrast": ContrastFacts,
    "segmentation": SegmentationFacts,
    "tissue": TissueFacts,
    "translation": TranslationFacts,
}
