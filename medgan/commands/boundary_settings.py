"""The schema of a segmenter's configuration: boundaries or affinities in stacks, or a tissue in volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from medgan.commands.cohort_settings import DataSettings, PatchSettings, RhythmSettings, SamplingSettings, Section
from medgan.commands.em_data_settings import Fib25Data, NeuriteData, StackPatchSettings, StoreData
from medgan.commands.model_settings import ModelSettings
from medgan.inference.watershed import WatershedSettings
from medgan.methods.boundary_segmentation_settings import BoundarySettings
from medgan.patches.em_sampler import EmAugment
from medgan.patches.em_targets import Background
from medgan.preprocessing.recipe import Recipe, Stage


class TissueData(Section):
    """A cohort's images of one domain, and a threshold that defines the tissue to find: a stand-in for labels."""

    kind: Literal["tissue"]
    cohort: DataSettings
    domain: str = "ct"
    recipe: list[Stage]
    tissue: str = "bone"
    above: float
    patch: PatchSettings
    sampling: SamplingSettings = SamplingSettings()

    @model_validator(mode="after")
    def _mapped(self) -> TissueData:
        if Recipe(tuple(self.recipe)).intensity_map is None:
            raise ValueError("data.recipe needs hu_window or piecewise_hu: the threshold is in HU")
        if not any(stage.stage == "body_mask" for stage in self.recipe):
            raise ValueError("data.recipe needs the stage body_mask: patches are drawn inside the body")
        return self


class TuningSettings(Section):
    """How the watershed is chosen on validation labels: the part looked at, and the values tried."""

    extent_zyx: tuple[int, int, int] = (24, 160, 160)
    threshold: tuple[float, ...] = (0.3, 0.5)
    seed_distance_nm: tuple[float, ...] = (40.0, 80.0)
    agglomeration: tuple[float, ...] = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
    bias: tuple[float, ...] = (-0.2, -0.1, 0.0, 0.1, 0.2)


class BoundaryExperiment(Section):
    """Everything that one training of a segmenter needs."""

    method: Literal["boundaries"]
    seed: int = 0
    data: NeuriteData | Fib25Data | StoreData | TissueData = Field(discriminator="kind")
    patch: StackPatchSettings | None = None
    halo_zyx: tuple[int, int, int] | None = None
    input_range: tuple[float, float] = (0.0, 255.0)
    augment: EmAugment = EmAugment()
    background: Background = "ignored"
    boundaries: BoundarySettings
    watershed: WatershedSettings = WatershedSettings()
    tuning: TuningSettings | None = TuningSettings()
    rhythm: RhythmSettings = RhythmSettings()
    model: ModelSettings

    @model_validator(mode="after")
    def _patches(self) -> BoundaryExperiment:
        if isinstance(self.data, TissueData):
            if self.boundaries.offsets_zyx:
                raise ValueError("boundaries.offsets_zyx are for instances: a tissue has none")
        elif self.patch is None:
            raise ValueError("patch is needed: the size of training patches and tiles")
        if self.watershed.kind == "mutex" and not self.boundaries.offsets_zyx:
            raise ValueError("watershed.kind mutex needs affinities: give boundaries.offsets_zyx")
        return self
