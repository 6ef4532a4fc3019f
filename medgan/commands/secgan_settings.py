"""The schema of a SECGAN's configuration: stacks of sections, or volumes of a cohort."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from medgan.commands.cohort_settings import (
    DataSettings,
    GuardSettings,
    PatchSettings,
    RecipeSettings,
    RhythmSettings,
    SamplingSettings,
    Section,
)
from medgan.commands.em_data_settings import Fib25Data, NeuriteData, SectionTemData, StackPatchSettings, StoreData
from medgan.commands.model_settings import ModelSettings
from medgan.methods.secgan_settings import SecganSettings
from medgan.patches.em_sampler import EmAugment


class VolumeData(Section):
    """Volumes of a cohort: the unlabeled domain is the cohort's source (MR), the labeled one its target (CT)."""

    kind: Literal["volumes"]
    cohort: DataSettings
    recipe: RecipeSettings
    patch: PatchSettings
    sampling: SamplingSettings = SamplingSettings()


class SelectionSettings(Section):
    """How the checkpoint is chosen: by the round trip of labeled validation data, never by unlabeled labels.

    Every ``every`` steps the middle of the validation stack (``extent_zyx``) is translated to the unlabeled contrast,
    rounded to 8 bits, translated back and segmented; the lowest variation of information wins. With volumes, 1 minus
    the Dice of the segmenter's output before and after the round trip, on ``patches`` patches.
    """

    every: PositiveInt
    extent_zyx: tuple[PositiveInt, PositiveInt, PositiveInt] = (20, 128, 128)
    patches: PositiveInt = 4


class SecganExperiment(Section):
    """Everything that one training needs.

    ``segmenter`` is the folder (relative to the configuration's) or name of a bundle of the task ``boundaries`` for
    stacks or ``tissue`` for volumes; the mode ``none``, a CycleGAN, needs one for the selection only. ``matching``
    brings the unlabeled stacks' gray values to the labeled ones' before anything is learned.
    """

    method: Literal["secgan"]
    seed: int = 0
    data: NeuriteData | Fib25Data | SectionTemData | StoreData | VolumeData = Field(discriminator="kind")
    segmenter: str | None = None
    patch: StackPatchSettings | None = None
    input_range: tuple[float, float] = (0.0, 255.0)
    augment: EmAugment = EmAugment()
    matching: Literal["none", "volume", "sections"] = "none"
    secgan: SecganSettings
    guard: GuardSettings | None = None
    selection: SelectionSettings | None = None
    rhythm: RhythmSettings = RhythmSettings()
    model: ModelSettings

    @model_validator(mode="after")
    def _complete(self) -> SecganExperiment:
        if self.secgan.segmentation != "none" and self.segmenter is None:
            raise ValueError(f"secgan.segmentation {self.secgan.segmentation} needs segmenter: the folder of a bundle")
        if self.selection is not None and self.segmenter is None:
            raise ValueError("selection needs segmenter: checkpoints are chosen by what it makes of a round trip")
        if isinstance(self.data, VolumeData):
            if self.matching != "none":
                raise ValueError("matching is for stacks: volumes are prepared by their recipe")
            shape: tuple[int, ...] = self.data.patch.shape
        elif self.patch is None:
            raise ValueError("patch is needed: the size of training patches and tiles")
        else:
            shape = self.patch.shape_ijk
        if isinstance(self.data, StoreData) and not self.data.unlabeled:
            raise ValueError("data.unlabeled needs at least one stack")
        generator = self.secgan.generator
        across = sum(kernel - 1 for kernel in generator.section_kernels or (3,) * generator.depth)
        lost = (4 * generator.depth, 4 * generator.depth, 2 * across)
        if any(n <= 2 * m for n, m in zip(shape, lost)):
            raise ValueError(
                f"patches must be larger than {tuple(2 * m for m in lost)} voxels (x, y, z): two generators of depth "
                f"{generator.depth} take {lost} off each side; found {tuple(shape)}"
            )
        return self
