"""The schema of a training configuration, one class a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from medgan.errors import SettingsError
from medgan.methods.cyclegan_settings import CycleGANSettings
from medgan.preprocessing.intensity import HuWindow, MrPercentiles, PiecewiseHu
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
    """Which images: a manifest (relative to the configuration file) or phantoms, and the two domains."""

    manifest: str | None = None
    phantoms: PhantomSettings | None = None
    source: str = "mr"
    target: str = "ct"

    @model_validator(mode="after")
    def _one_source(self) -> DataSettings:
        if (self.manifest is None) == (self.phantoms is None):
            raise ValueError("give data.manifest or data.phantoms, one of the two")
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


class ModelSettings(_Section):
    """What the bundle says of itself."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    trained_anatomy: str
    intended_use: str
    not_for: tuple[str, ...] = ("Diagnosis, treatment planning or any other decision about a person.",)
    limits: tuple[str, ...] = (
        "Unpaired training never saw the error it makes: anatomy may be moved, removed or invented.",
    )
    data: str
    data_license: str
    data_citation: str = ""
    license: str = "Apache-2.0"
    half_precision_weights: bool = False


class CycleGANExperiment(_Section):
    """Everything that one unpaired training needs.

    ``prior_table`` gives the warm start's intensity table as pairs of a normalized source value and a target value in
    its own unit (HU); it replaces ``cyclegan.warm_start.knots``, which are normalized on both sides.
    """

    method: Literal["cyclegan"]
    seed: int = 0
    data: DataSettings
    recipe: RecipeSettings
    patch: PatchSettings
    sampling: SamplingSettings = SamplingSettings()
    cyclegan: CycleGANSettings
    prior_table: tuple[tuple[float, float], ...] | None = None
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

    def method_settings(self) -> CycleGANSettings:
        """Return the method's settings with the table in normalized values."""
        target = Recipe(tuple(self.recipe.target)).intensity_map
        if self.prior_table is None or target is None:
            return self.cyclegan
        import numpy as np

        knots = tuple((x, float(target.forward(np.array([y]))[0])) for x, y in self.prior_table)
        return replace(self.cyclegan, warm_start=replace(self.cyclegan.warm_start, knots=knots))


EXPERIMENTS: dict[str, type[CycleGANExperiment]] = {"cyclegan": CycleGANExperiment}


def read_experiment(path: Path, overrides: Sequence[str] = ()) -> tuple[CycleGANExperiment, dict[str, Any]]:
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
