"""The schema of a training configuration, one class a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from medgan.commands.classification_settings import ClassificationExperiment
from medgan.commands.counterfactual_settings import CounterfactualExperiment
from medgan.commands.model_settings import ModelSettings
from medgan.commands.segmentation_settings import SegmentationExperiment
from medgan.errors import SettingsError
from medgan.methods.cyclegan_settings import CycleGANSettings
from medgan.methods.warm_start import Emphasis
from medgan.patches.sampler import Attention
from medgan.preprocessing.contrast_prior import ContrastPrior
from medgan.preprocessing.cortical_ring import CorticalRing
from medgan.preprocessing.intensity import HuWindow, IntensityMap, MrPercentiles, PiecewiseHu
from medgan.preprocessing.recipe import Recipe, Stage
from medgan.settings import checked, meant, read_yaml


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PhantomSettings(_Section):
    """A cohort of phantoms: kind, subjects in each role, grid of the images, acquisition and seed."""

    kind: Literal["head", "limb"]
    source_train: int = Field(ge=1)
    target_train: int = Field(ge=1)
    validation: int = Field(default=1, ge=0)
    test: int = Field(default=2, ge=0)
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    acquisition: Literal["ideal", "clean", "realistic"] = "realistic"
    seed: int = 0


class DataSettings(_Section):
    """Which images: a manifest (relative to the configuration file) or phantoms, the two domains, and the folds.

    With ``folds`` the manifest's subjects are dealt anew for every fold (see :func:`medgan.cohort.folds.dealt`), and
    ``fold`` says for which: a number from 0, or ``all`` for a training on all subjects. ``tuned_on`` declares the
    subjects whose pairs were looked at while the recipe was chosen.
    """

    manifest: str | None = None
    phantoms: PhantomSettings | None = None
    source: str = "mr"
    target: str = "ct"
    folds: int | None = Field(default=None, ge=2)
    fold: NonNegativeInt | Literal["all"] | None = None
    fold_validation: int = Field(default=2, ge=0)
    fold_seed: int = 0
    tuned_on: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> DataSettings:
        if (self.manifest is None) == (self.phantoms is None):
            raise ValueError("give data.manifest or data.phantoms, one of the two")
        if self.folds is not None and self.manifest is None:
            raise ValueError("data.folds needs data.manifest: phantoms have their split already")
        if self.fold is not None and self.folds is None:
            raise ValueError("data.fold needs data.folds, the number of folds")
        if self.folds is not None and isinstance(self.fold, int) and self.fold >= self.folds:
            raise ValueError(f"data.fold must be 0 to {self.folds - 1}, or all: found {self.fold}")
        return self


class RecipeSettings(_Section):
    """How images of each domain are prepared."""

    source: list[Stage]
    target: list[Stage]

    @model_validator(mode="after")
    def _complete(self) -> RecipeSettings:
        if not any(isinstance(stage, HuWindow | PiecewiseHu | MrPercentiles) for stage in self.source):
            raise ValueError("recipe.source needs mr_percentiles, hu_window or piecewise_hu: networks take [-1, 1]")
        for name, stages in (("source", self.source), ("target", self.target)):
            if not any(stage.stage == "body_mask" for stage in stages):
                raise ValueError(f"recipe.{name} needs the stage body_mask: patches are drawn inside the body")
        if Recipe(tuple(self.target)).intensity_map is None:
            raise ValueError("recipe.target needs hu_window or piecewise_hu: the result must be mapped back to HU")
        return self


class PatchSettings(_Section):
    """Patches: their shape and number in training, their shape and overlap in use (the training's if not given)."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch: int = Field(default=1, ge=1)
    inference_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    overlap: float = Field(default=0.25, ge=0, lt=1)


class SamplingSettings(_Section):
    """How training patches are drawn: focal sampling, axes that may be reversed, largest change of intensity."""

    focal: bool = False
    focus: float = Field(default=0.1, gt=0)
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    gain: float = Field(default=0.0, ge=0, lt=1)


class GuardSettings(_Section):
    """Polarity guard: the expected contrast, and the steps at which it is checked."""

    expected_polarity: Literal["same", "inverted", "none"]
    first: int = Field(default=300, ge=1)
    last: int = 2000
    every: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _some(self) -> GuardSettings:
        if self.last < self.first:
            raise ValueError(f"guard.last must not be before guard.first: found {self.last} and {self.first}")
        return self


class RhythmSettings(_Section):
    """How often a training saves, logs and draws, in steps."""

    save_every: int = Field(default=250, ge=1)
    observe_every: int = Field(default=10, ge=1)
    preview_every: int = Field(default=500, ge=1)
    keep_last: int = Field(default=2, ge=1)
    keep_every: int | None = Field(default=None, ge=1)


class VariedLimbs(_Section):
    """Pairs of limb phantoms of varied contrast (:mod:`medgan.phantoms.varied_limb`) that the generator learns from."""

    count: int = Field(ge=1)
    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    spacing_mm: tuple[float, float, float]
    seed: int = 0


class BoneEmphasis(_Section):
    """Bone in the prior counts ``factor`` times, and lies in the middle of ``share`` of the source patches."""

    above_hu: float = 200.0
    factor: float = Field(default=1.0, ge=1)
    share: float = Field(default=0.0, ge=0, le=1)


class CycleGANExperiment(_Section):
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
    "classification": ClassificationExperiment,
    "counterfactual": CounterfactualExperiment,
    "cyclegan": CycleGANExperiment,
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
