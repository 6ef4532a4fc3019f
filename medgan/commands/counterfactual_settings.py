"""The schema of a counterfactual translator's training (``method: counterfactual``)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medgan.commands.chest_data_settings import ChestDataSettings
from medgan.commands.classification_settings import PlaneRhythmSettings, RadiographUseSettings
from medgan.commands.model_settings import ModelSettings
from medgan.methods.counterfactual_settings import CounterfactualSettings
from medgan.patches.planes_augment_settings import PlaneAugmentSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class UnpairedSamplingSettings(_Section):
    """How training images are drawn: images of each class in a batch, and changes, the same for both classes."""

    batch: int = Field(default=8, ge=1)
    augment: PlaneAugmentSettings = PlaneAugmentSettings()


class CounterfactualExperiment(_Section):
    """Everything that one translator between two classes needs.

    ``classifier`` (an embedded name, or a bundle's folder, from the configuration's folder or else the working folder)
    judges the result; it takes part in the training where ``counterfactual.classifier_weight`` is above 0.
    ``second_classifier`` only judges.
    """

    method: Literal["counterfactual"]
    seed: int = 0
    data: ChestDataSettings
    classifier: str
    second_classifier: str | None = None
    sampling: UnpairedSamplingSettings = UnpairedSamplingSettings()
    counterfactual: CounterfactualSettings
    use: RadiographUseSettings
    rhythm: PlaneRhythmSettings = PlaneRhythmSettings()
    model: ModelSettings

    @model_validator(mode="after")
    def _planes(self) -> CounterfactualExperiment:
        dims = self.counterfactual.cyclegan.spatial_dims
        if dims != 2:
            raise ValueError(f"counterfactual.cyclegan.spatial_dims must be 2 for radiographs: found {dims}")
        return self
