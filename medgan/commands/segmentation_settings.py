"""The schema of a segmentation's configuration: one training, and the study that repeats it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from medgan.commands.model_settings import ModelSettings
from medgan.inference.segmentation_facts import ChannelFacts, WorkingGrid
from medgan.methods.adversarial_segmentation_settings import AdversarialSegmentationSettings, Arm
from medgan.patches.slices_augment import SliceAugmentSettings
from medgan.training.monitors_segmentation import MonitorLimits


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProstatePhantomSettings(_Section):
    """A cohort of prostate phantoms.

    ``lesion_share`` of the subjects have a lesion; its ``contrast`` (see
    :func:`medgan.phantoms.prostate.prostate_phantom`) is drawn evenly within ``contrast_spread`` (relative) about its
    middle, subject by subject.
    """

    kind: Literal["prostate"] = "prostate"
    subjects: PositiveInt
    seed: int = 0
    lesion_share: float = Field(default=0.7, ge=0, le=1)
    contrast: float = Field(default=1.0, ge=0)
    contrast_spread: float = Field(default=0.0, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0)
    partial_volume: bool = True
    bias_strength: float = Field(default=0.0, ge=0)
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (120, 120, 20)
    spacing_mm: tuple[float, float, float] = (0.8, 0.8, 3.0)
    diffusion_spacing_mm: tuple[float, float, float] = (2.0, 2.0, 3.6)
    b_value: float = 1400.0


class LabelSettings(_Section):
    """A label image of every case: its domain in the manifest, and the class that each value stands for; 0 is none.

    Later images lie over earlier ones. A value that has no class is refused.
    """

    domain: str
    values: dict[PositiveInt, str] = Field(min_length=1)


class CurveSettings(_Section):
    """A deal for the small-data curve: a fixed test set, fixed validation subjects, and a number of training subjects.

    Which of the remaining subjects train is drawn from the experiment's ``seed``; larger sets hold the smaller ones.
    """

    train: PositiveInt
    validation: PositiveInt
    test: PositiveInt


class SegmentationDataSettings(_Section):
    """Which studies, their channels and labels, and how subjects are dealt.

    ``folds`` deals all subjects for a cross-validation, ``fold`` says for which one is trained (from 0, or ``all``);
    ``curve`` deals them for the small-data curve; without both the manifest's splits count. ``inside`` are the classes
    that make up the organ.
    """

    manifest: str | None = None
    phantoms: ProstatePhantomSettings | None = None
    channels: tuple[ChannelFacts, ...] = Field(min_length=1)
    labels: tuple[LabelSettings, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=2)
    focus: str
    inside: tuple[str, ...] = ()
    folds: int | None = Field(default=None, ge=2)
    fold: NonNegativeInt | Literal["all"] | None = None
    fold_validation: int = Field(default=4, ge=1)
    fold_seed: int = 0
    curve: CurveSettings | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SegmentationDataSettings:
        if (self.manifest is None) == (self.phantoms is None):
            raise ValueError("give data.manifest or data.phantoms, one of the two")
        named = {name for labels in self.labels for name in labels.values.values()}
        unknown = sorted({*named, self.focus, *self.inside} - set(self.classes))
        if unknown:
            raise ValueError(f"labels, focus and inside name classes: {', '.join(unknown)} is not in data.classes")
        if self.fold is not None and self.folds is None:
            raise ValueError("data.fold needs data.folds, the number of folds")
        if self.folds is not None and isinstance(self.fold, int) and self.fold >= self.folds:
            raise ValueError(f"data.fold must be 0 to {self.folds - 1}, or all: found {self.fold}")
        if self.curve is not None and self.fold is not None:
            raise ValueError("give data.fold or data.curve, not both: each deals all subjects")
        return self

    def tables(self) -> tuple[tuple[str, dict[int, int]], ...]:
        """Return domain and value-to-class-number table of every label image."""
        return tuple(
            (labels.domain, {value: self.classes.index(name) for value, name in labels.values.items()})
            for labels in self.labels
        )


class SliceSamplingSettings(_Section):
    """How batches are drawn: their size, the share from slices with the focus class, neighbors or slabs, changes."""

    batch: PositiveInt = 12
    focus_share: float = Field(default=0.5, ge=0, le=1)
    neighbors: int = Field(default=0, ge=0)
    depth: PositiveInt | None = None
    augment: SliceAugmentSettings = SliceAugmentSettings()


class SegmentationRhythmSettings(_Section):
    """How often a training saves and logs, in steps; every ``choose_every``-th checkpoint can become the model."""

    save_every: PositiveInt = 100
    observe_every: PositiveInt = 25
    choose_every: PositiveInt = 100
    prefetch: bool = False


class SegmentationStudySettings(_Section):
    """What the study repeats: arms, and the small-data curve.

    ``primary`` are the differences of Dice that were fixed beforehand, as pairs (arm, arm it is compared with).
    ``ablation`` names channels that are left out in a second set of trainings with the arm ``ablation_arm``.
    """

    arms: tuple[Arm, ...] = ("cross_entropy", "dice_cross_entropy", "adversarial", "hybrid")
    primary: tuple[tuple[Arm, Arm], ...] = (("adversarial", "cross_entropy"), ("hybrid", "cross_entropy"))
    curve_train: tuple[PositiveInt, ...] = ()
    curve_seeds: tuple[int, ...] = ()
    curve_validation: PositiveInt = 8
    curve_test: PositiveInt = 20
    ablation_channels: tuple[ChannelFacts, ...] = ()
    ablation_arm: Arm = "cross_entropy"
    paper_beside: bool = False


class SegmentationExperiment(_Section):
    """Everything that one segmenter needs.

    Numbers of channels and classes and that of the focus class follow from ``data``; ``adversarial_segmentation``
    gives the other choices of the method.
    """

    method: Literal["adversarial_segmentation"]
    seed: int = 0
    data: SegmentationDataSettings
    working: WorkingGrid
    sampling: SliceSamplingSettings = SliceSamplingSettings()
    adversarial_segmentation: AdversarialSegmentationSettings
    monitors: MonitorLimits = MonitorLimits()
    rhythm: SegmentationRhythmSettings = SegmentationRhythmSettings()
    model: ModelSettings
    study: SegmentationStudySettings = SegmentationStudySettings()

    @model_validator(mode="before")
    @classmethod
    def _derived(cls, values: Any) -> Any:
        """Refuse settings of the method that follow from the data, and give the method those that do."""
        if not isinstance(values, dict) or not isinstance(values.get("adversarial_segmentation"), dict):
            return values
        given = sorted({"in_channels", "classes", "focus_class"} & values["adversarial_segmentation"].keys())
        if given:
            raise ValueError(f"adversarial_segmentation.{given[0]} follows from data and is not set")
        data = values.get("data")
        if isinstance(data, dict) and isinstance(data.get("classes"), list | tuple):
            classes = list(data["classes"])
            if data.get("focus") in classes:
                derived = {"classes": len(classes), "focus_class": classes.index(data["focus"])}
                return {**values, "adversarial_segmentation": {**values["adversarial_segmentation"], **derived}}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> SegmentationExperiment:
        dims, depth = self.adversarial_segmentation.spatial_dims, self.sampling.depth
        if (dims == 3) != (depth is not None):
            raise ValueError("sampling.depth belongs to adversarial_segmentation.spatial_dims 3: give both, or neither")
        if depth is not None and self.sampling.neighbors:
            raise ValueError(
                "sampling.neighbors belongs to adversarial_segmentation.spatial_dims 2: a slab has its neighbors"
            )
        if self.adversarial_segmentation.steps % self.rhythm.choose_every:
            raise ValueError("adversarial_segmentation.steps must be a multiple of rhythm.choose_every")
        if self.adversarial_segmentation.first_adversarial_step >= self.adversarial_segmentation.steps:
            raise ValueError("adversarial_segmentation.adversarial_start leaves no step after it")
        return self

    def method_settings(self) -> AdversarialSegmentationSettings:
        """Return the method's settings with what follows from the data."""
        channels = len(self.data.channels) * (2 * self.sampling.neighbors + 1)
        return replace(
            self.adversarial_segmentation,
            in_channels=channels,
            classes=len(self.data.classes),
            focus_class=self.data.classes.index(self.data.focus),
        )
