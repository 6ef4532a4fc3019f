"""Parts of a configuration that methods share: a cohort, how it is prepared and sampled, how a training runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from medgan.preprocessing.intensity import HuWindow, MrPercentiles, PiecewiseHu
from medgan.preprocessing.recipe import Recipe, Stage


class Section(BaseModel):
    """A part of a configuration: frozen, and without unknown settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PhantomSettings(Section):
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


class DataSettings(Section):
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


class RecipeSettings(Section):
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


class PatchSettings(Section):
    """Patches: their shape and number in training, their shape and overlap in use (the training's if not given)."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch: int = Field(default=1, ge=1)
    inference_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    overlap: float = Field(default=0.25, ge=0, lt=1)


class SamplingSettings(Section):
    """How training patches are drawn: focal sampling, axes that may be reversed, largest change of intensity."""

    focal: bool = False
    focus: float = Field(default=0.1, gt=0)
    flip_axes: tuple[Literal[0, 1, 2], ...] = ()
    gain: float = Field(default=0.0, ge=0, lt=1)


class GuardSettings(Section):
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


class RhythmSettings(Section):
    """How often a training saves, logs and draws, in steps; and whether a thread draws the next batch meanwhile."""

    save_every: int = Field(default=250, ge=1)
    observe_every: int = Field(default=10, ge=1)
    preview_every: int = Field(default=500, ge=1)
    keep_last: int = Field(default=2, ge=1)
    keep_every: int | None = Field(default=None, ge=1)
    prefetch: bool = False
