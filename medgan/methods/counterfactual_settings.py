"""All choices of a counterfactual training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgan.errors import TrainingError
from medgan.methods.cyclegan_settings import CycleGANSettings


@dataclass(frozen=True, kw_only=True)
class CounterfactualSettings:
    """All choices of a counterfactual training.

    Parameters
    ----------
    cyclegan : CycleGANSettings
        Those of the translation itself.
    classifier_weight : float
        Factor on the classifier's term; 0 for none, and then no classifier is asked.

    Notes
    -----
    GANterfactual (Mertes et al. 2022, doi 10.3389/frai.2022.825565): mean squared error of the class probabilities,
    weight 1, beside a cycle weight of 10 and an identity weight of 1 (as reported to us, not read in the code).
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    cyclegan: CycleGANSettings
    classifier_weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.classifier_weight >= 0.0:
            raise TrainingError(f"A classifier_weight must be at least 0: found {self.classifier_weight!r}.")
        if self.cyclegan.body_mask:
            raise TrainingError("A counterfactual translation has no body mask: found cyclegan.body_mask true.")
