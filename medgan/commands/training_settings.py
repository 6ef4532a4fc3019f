"""The schema of a training configuration, one class a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveInt, model_validator

from medgan.commands.boundary_settings import BoundaryExperiment
from medgan.commands.classification_settings import ClassificationExperiment
from medgan.commands.cohort_settings import (
    DataSettings,
    GuardSettings,
    PatchSettings,
    RecipeSettings,
    RhythmSettings,
    SamplingSettings,
    Section,
)
from medgan.commands.cohort_settings import PhantomSettings as PhantomSettings
from medgan.commands.counterfactual_settings import CounterfactualExperiment
from medgan.commands.model_settings import ModelSettings
from medgan.commands.secgan_settings import SecganExperiment
from medgan.commands.segmentation_settings import SegmentationExperiment
from medgan.errors import SettingsError
from medgan.methods.cyclegan_settings import CycleGANSettings
from medgan.methods.warm_start import Emphasis
from medgan.patches.sampler import Attention
from medgan.preprocessing.contrast_prior import ContrastPrior
from medgan.preprocessing.cortical_ring import CorticalRing
from medgan.preprocessing.intensity import IntensityMap
from medgan.preprocessing.recipe import Recipe
from medgan.settings import checked, meant, read_yaml


class VariedLimbs(Section):
    """Pairs of limb phantoms of varied contrast (:mod:`medgan.phantoms.varied_limb`) that the generator learns from."""

    count: int = Field(ge=1)
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    spacing_mm: tuple[float, float, float]
    seed: int = 0


class BoneEmphasis(Section):
    """Bone in the prior counts ``factor`` times, and lies in the middle of ``share`` of the source patches."""

    above_hu: float = 200.0
    factor: float = Field(default=1.0, ge=1)
    share: float = Field(default=0.0, ge=0, le=1)


class CycleGANExperiment(Section):
    """Everything that one unpaired training needs.

    ``prior_table`` gives the warm start's intensity table as pairs of a normalized source value and a target value in
    its own unit (HU); it replaces ``cyclegan.warm_start.knots``, which are normalized on both sides. ``cortical_ring``
    sets cortical bone in that prior where a dark ring around bright marrow is found in the MR
    (:class:`~medgan.preprocessing.cortical_ring.CorticalRing`): knowledge of anatomy, without pairs, like the table.
    """

    method: Literal["cyclegan"]
    seed: int = 0
    data: DataSettings
    recipe: RecipeSettings
    patch: PatchSettings
    sampling: SamplingSettings = SamplingSettings()
    cyclegan: CycleGANSettings
    prior_table: tuple[tuple[float, float], ...] | None = None
    cortical_ring: bool = False
    varied_limbs: VariedLimbs | None = None
    bone_emphasis: BoneEmphasis | None = None
    guard: GuardSettings | None = None
    rhythm: RhythmSettings = RhythmSettings()
    model: ModelSettings

    @model_validator(mode="before")
    @classmethod
    def _table(cls, values: Any) -> Any:
        """Hand the table to the method while its other settings are still to be checked."""
        if not isinstance(values, dict) or not values.get("prior_table"):
            return values
        cyclegan = values.get("cyclegan")
        if not isinstance(cyclegan, dict):
            return values
        warm = cyclegan.get("warm_start") or {}
        if not isinstance(warm, dict):
            return values
        if "knots" in warm:
            raise ValueError("give prior_table or cyclegan.warm_start.knots, not both")
        # Placeholder of the right length; replaced by normalized values below, when the target's map is known.
        return {**values, "cyclegan": {**cyclegan, "warm_start": {**warm, "knots": values["prior_table"]}}}

    @model_validator(mode="after")
    def _volumes(self) -> CycleGANExperiment:
        """Refuse what the method can and a training on volumes cannot."""
        if self.cyclegan.spatial_dims != 3:
            raise ValueError(f"cyclegan.spatial_dims must be 3 to train on volumes: found {self.cyclegan.spatial_dims}")
        if not self.cyclegan.body_mask:
            raise ValueError("cyclegan.body_mask must be true: volumes are translated with their body mask")
        return self

    @model_validator(mode="after")
    def _ring(self) -> CycleGANExperiment:
        if self.cortical_ring and self.prior_table is None:
            raise ValueError("cortical_ring corrects a prior: give prior_table too")
        if (self.varied_limbs is None) != (self.cyclegan.weights.phantoms == 0):
            raise ValueError("varied_limbs and cyclegan.weights.phantoms belong together: give both or none")
        if self.bone_emphasis is not None and not (self.cortical_ring or self.varied_limbs):
            raise ValueError("bone_emphasis needs bone in the prior: give cortical_ring or varied_limbs")
        return self

    def attention(self) -> Attention | None:
        """Return where more patches are wanted."""
        bone, target = self.bone_emphasis, Recipe(tuple(self.recipe.target)).intensity_map
        if bone is None or target is None or not bone.share:
            return None
        return Attention(_normalized(target, bone.above_hu), bone.share)

    def contrast_prior(self) -> ContrastPrior | None:
        """Return the prior image's rule; None where the warm start's table alone is meant."""
        if self.prior_table is None or not self.cortical_ring:
            return None
        return ContrastPrior(self.prior_table, CorticalRing())

    def method_settings(self) -> CycleGANSettings:
        """Return the method's settings with table and emphasis in normalized values."""
        target, warm = Recipe(tuple(self.recipe.target)).intensity_map, self.cyclegan.warm_start
        if target is None:
            return self.cyclegan
        if self.prior_table is not None:
            warm = replace(warm, knots=tuple((x, _normalized(target, y)) for x, y in self.prior_table))
        if self.bone_emphasis is not None:
            above = _normalized(target, self.bone_emphasis.above_hu)
            warm = replace(warm, emphasis=Emphasis(above=above, factor=self.bone_emphasis.factor))
        return replace(self.cyclegan, warm_start=warm)


def _normalized(target: IntensityMap, hu: float) -> float:
    import numpy as np

    return float(target.forward(np.array([hu]))[0])


EXPERIMENTS: dict[str, type[BaseModel]] = {
    "adversarial_segmentation": SegmentationExperiment,
    "boundaries": BoundaryExperiment,
    "classification": ClassificationExperiment,
    "counterfactual": CounterfactualExperiment,
    "cyclegan": CycleGANExperiment,
    "secgan": SecganExperiment,
}


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> tuple[Any, dict[str, Any]]:
    """Return a checked configuration and the plain values it was made of.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    values = read_yaml(path, overrides)
    method = values.get("method")
    if not isinstance(method, str) or method not in EXPERIMENTS:
        hint = meant(str(method), list(EXPERIMENTS))
        raise SettingsError(f"{path.name}: method must say what to train: found {method!r}. {hint}")
    return checked(values, EXPERIMENTS[str(method)], name=path.name), values
