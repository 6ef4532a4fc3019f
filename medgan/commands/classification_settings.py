"""The schema of a classifier's training (``method: classification``)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medgan.commands.chest_data_settings import ChestDataSettings
from medgan.commands.model_settings import ModelSettings
from medgan.methods.classification_settings import ClassificationSettings
from medgan.patches.planes_augment_settings import PlaneAugmentSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LabeledSamplingSettings(_Section):
    """How training images are drawn: images a batch, classes drawn with equal probability or not, and changes.

    ``with_twins`` puts the same chest of the other class into the batch, which phantoms and planted lesions allow; what
    differs then is the lesion alone (a planted marker is in both twins, so a shortcut is not learned this way).
    """

    batch: int = Field(default=32, ge=2)
    balanced: bool = True
    with_twins: bool = False
    augment: PlaneAugmentSettings = PlaneAugmentSettings()


class RadiographUseSettings(_Section):
    """Which radiographs the model may be shown, see :class:`medgan.inference.classifier_facts.RadiographDomain`."""

    native_only: bool = False
    crop: Literal["center", "pad", "stretch"] = "center"
    population: str
    stamp: str = ""


class PlaneRhythmSettings(_Section):
    """How often a training saves, logs and looks at the validation images, in steps."""

    save_every: int = Field(default=250, ge=1)
    observe_every: int = Field(default=25, ge=1)
    validate_every: int = Field(default=100, ge=1)
    keep_last: int = Field(default=2, ge=1)
    prefetch: bool = False


class ClassificationExperiment(_Section):
    """Everything that one classifier needs; ``classification.classes`` is 2, as the data have."""

    method: Literal["classification"]
    seed: int = 0
    data: ChestDataSettings
    sampling: LabeledSamplingSettings = LabeledSamplingSettings()
    classification: ClassificationSettings
    use: RadiographUseSettings
    rhythm: PlaneRhythmSettings = PlaneRhythmSettings()
    model: ModelSettings

    @model_validator(mode="after")
    def _planes(self) -> ClassificationExperiment:
        settings = self.classification
        if (settings.spatial_dims, settings.in_channels, settings.classes) != (2, 1, 2):
            raise ValueError("classification.spatial_dims, in_channels and classes must be 2, 1 and 2 for radiographs")
        return self

    def method_settings(self) -> ClassificationSettings:
        """Return the method's settings."""
        return replace(self.classification)
