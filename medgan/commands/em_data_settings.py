"""Which stacks of sections a training of electron microscopy learns from."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from medgan.commands.cohort_settings import Section

Length = Annotated[float, Field(gt=0)]
Lengths = tuple[Length, Length, Length]
SectionRange = tuple[NonNegativeInt, PositiveInt]


class ContrastSettings(Section):
    """A microscope's contrast; see :class:`medgan.phantoms.em_contrast.EmContrast`.

    On a real stack it is a declared degradation: the stack's gray values are taken as brightness.
    """

    low: float = Field(default=0.1, ge=0, le=1)
    high: float = Field(default=0.9, ge=0, le=1)
    gamma: float = Field(default=1.0, gt=0)
    blur_px: float = Field(default=0.0, ge=0)
    shot_electrons: float = Field(default=0.0, ge=0)
    drift: float = Field(default=0.0, ge=0)


class NeuriteData(Section):
    """Neurite phantoms: blocks of the labeled and of the unlabeled contrast, of different specimens.

    One more block of each is drawn: labeled for validation, and a test block in both contrasts with its truth.
    """

    kind: Literal["neurites"]
    shape_zyx: tuple[PositiveInt, PositiveInt, PositiveInt]
    voxel_size_zyx_nm: Lengths = (10.0, 10.0, 10.0)
    caliber_nm: Length = 220.0
    membrane_nm: Length = 24.0
    labeled_blocks: PositiveInt = 1
    unlabeled_blocks: PositiveInt = 1
    labeled_contrast: ContrastSettings = ContrastSettings()
    unlabeled_contrast: ContrastSettings
    seed: int = 0


class Fib25Data(Section):
    """The FIB-25 training sample: FIB-SEM of fly medulla, 10 nm isotropic; its own sections re-imaged are unlabeled.

    ``folder`` is relative to the data root. Ranges are sections; the unlabeled ones are re-imaged by ``degradation``
    with ``seed``, so that their truth is known and never seen in training.
    """

    kind: Literal["fib25"]
    folder: str = "em/fib25_training_sample2"
    labeled: SectionRange = (0, 90)
    validation: SectionRange = (90, 110)
    unlabeled: SectionRange = (120, 190)
    degradation: ContrastSettings
    seed: int = 0

    @model_validator(mode="after")
    def _apart(self) -> Fib25Data:
        ranges = sorted([self.labeled, self.validation, self.unlabeled])
        if any(stop <= start for start, stop in ranges):
            raise ValueError("a range of sections begins before it ends")
        if any(before[1] > after[0] for before, after in pairwise(ranges)):
            raise ValueError("labeled, validation and unlabeled sections must not overlap")
        return self


class SectionTemData(Section):
    """FIB-25 labeled, serial-section TEM of the fly's ventral nerve cord unlabeled, brought to FIB-25's voxels.

    Its pixels are averaged to 10 nm. Its sections, five times as thick, are interpolated, so that a network of FIB-25
    sees cubes; what is interpolated holds no information, and measures count the true sections alone. Its labels are
    for measures only.
    """

    kind: Literal["section_tem"]
    folder: str = "em/fib25_training_sample2"
    labeled: SectionRange = (0, 90)
    validation: SectionRange = (90, 110)
    unlabeled_folder: str = "em/vnc_sstem_stack1_z00-13"
    pixel_nm: Length = 4.6
    section_nm: Length = 50.0
    extent_px: PositiveInt = 320


class StackSettings(Section):
    """One stack: a store, ``file.h5:/path`` or a folder of sections, and its labels; relative to the data root."""

    image: str
    labels: str | None = None
    voxel_size_zyx_nm: Lengths | None = None
    sections: SectionRange | None = None


class StoreData(Section):
    """Stacks of one's own: labeled ones, unlabeled ones, and one with labels for validation."""

    kind: Literal["stores"]
    labeled: tuple[StackSettings, ...] = Field(min_length=1)
    validation: StackSettings | None = None
    unlabeled: tuple[StackSettings, ...] = ()

    @model_validator(mode="after")
    def _labels(self) -> StoreData:
        if self.validation is not None and self.validation.labels is None:
            raise ValueError("data.validation needs labels: checkpoints and watersheds are chosen by them")
        return self


EmDataSettings = Annotated[NeuriteData | Fib25Data | SectionTemData | StoreData, Field(discriminator="kind")]


class StackPatchSettings(Section):
    """Patches of stacks: their size and number in training, and the tiles of use (kept voxels, without the halo)."""

    shape_zyx: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch: PositiveInt = 1
    tile_zyx: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 64, 64)

    @property
    def shape_ijk(self) -> tuple[int, int, int]:
        """Patch along x, y, z."""
        z, y, x = self.shape_zyx
        return x, y, z

    @property
    def tile_ijk(self) -> tuple[int, int, int]:
        """Tile along x, y, z."""
        z, y, x = self.tile_zyx
        return x, y, z
