"""Which radiographs a chest study uses, as settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChestPhantomSettings(_Section):
    """Phantom radiographs with a planted lesion, a marker in the corner and a bubble.

    Parameters
    ----------
    train, validation, test : int
        Subjects; each gives one image, half of them with a lesion.
    size : int
        Rows and columns.
    label : str
        What the classes are: ``lesion``, or ``bubble`` (the nuisance label, for a classifier that watches it).
    marker_with_lesion, marker_without_lesion : float
        Probability of the marker in either class: equal ones carry no information, unequal ones plant a shortcut.
    lesion, contrast, scale, noise
        As of :func:`medgan.phantoms.chest.chest_twins`.
    seed : int
    """

    kind: Literal["phantoms"]
    train: int = Field(ge=4)
    validation: int = Field(ge=2)
    test: int = Field(ge=2)
    size: int = Field(default=64, ge=32)
    label: Literal["lesion", "bubble"] = "lesion"
    marker_with_lesion: float = Field(default=0.5, ge=0, le=1)
    marker_without_lesion: float = Field(default=0.5, ge=0, le=1)
    lesion: Literal["nodule", "consolidation"] = "consolidation"
    contrast: float = Field(default=0.3, gt=0, le=0.3)
    scale: float = Field(default=1.5, gt=0)
    noise: float = Field(default=0.02, ge=0)
    seed: int = 0


class PneumoniaMnistSettings(_Section):
    """PneumoniaMNIST from an ``npz`` archive that a manifest names; ``train_limit`` keeps the first images only."""

    kind: Literal["pneumonia_mnist"]
    manifest: str
    train_limit: int | None = Field(default=None, ge=8)


class PlantedLesionSettings(_Section):
    """Real radiographs as backgrounds for planted lesions.

    Parameters
    ----------
    manifest : str
        Release with the radiographs, relative to the configuration.
    size : int
        Rows and columns that they are reduced to.
    variants : int
        Images made of each training subject and class, with other lesions. In training a subject gives both classes to
        a classifier, and one class to a translator.
    test_variants : int
        The same for validation and test.
    lesion, contrast, scale
        As of :func:`medgan.phantoms.chest_lesion.plant_lesion`.
    height_mm : float
        Assumed height of a radiograph: these have no pixel spacing.
    seed : int
    """

    kind: Literal["planted"]
    manifest: str
    size: int = Field(default=96, ge=32)
    variants: int = Field(default=8, ge=1)
    test_variants: int = Field(default=2, ge=1)
    lesion: Literal["nodule", "consolidation"] = "consolidation"
    contrast: float = Field(default=0.5, gt=0, le=1)
    scale: float = Field(default=1.3, gt=0)
    height_mm: float = Field(default=400.0, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _smaller(self) -> PlantedLesionSettings:
        if self.size > 1024:
            raise ValueError(f"data.size is at most 1024: found {self.size}")
        return self


ChestDataSettings = Annotated[
    ChestPhantomSettings | PneumoniaMnistSettings | PlantedLesionSettings, Field(discriminator="kind")
]
