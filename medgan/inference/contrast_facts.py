"""What ``bundle.json`` holds of models of electron microscopy: contrast translators and instance segmenters."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from medgan.errors import InferenceError
from medgan.geometry import Grid
from medgan.inference.bundle_facts import CommonFacts
from medgan.inference.watershed import WatershedSettings
from medgan.preprocessing.intensity import Knots

Length = Annotated[float, Field(gt=0)]
VOXEL_SIZE_TOLERANCE = 0.1
"""A voxel may differ by this share of its length from those that a model was trained on."""


class StackFacts(CommonFacts):
    """Facts of a model that works on stacks tile by tile.

    ``tile`` is the part of a tile that is kept, ``halo`` what the network sees around it; both in voxels along x, y, z.
    ``input_range`` holds the stored values that become -1 and 1.
    """

    voxel_size_zyx_nm: tuple[Length, Length, Length]
    input_range: tuple[float, float]
    tile: tuple[PositiveInt, PositiveInt, PositiveInt]
    halo: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]

    @model_validator(mode="after")
    def _rising(self) -> StackFacts:
        if self.input_range[0] >= self.input_range[1]:
            raise ValueError(f"input_range must rise: found {self.input_range}")
        return self

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """A tile with its halo."""
        return ((1, 1, *(t + 2 * h for t, h in zip(self.tile, self.halo))),)

    def require_voxel_size(self, grid: Grid, label: str) -> None:
        """Refuse a stack whose voxels are not those that the model was trained on.

        Raises
        ------
        InferenceError
            If a length differs by more than a tenth, or the grid is not in nm.
        """
        wanted = self.voxel_size_zyx_nm[::-1]
        fits = grid.unit == "nm" and np.allclose(grid.spacing, wanted, rtol=VOXEL_SIZE_TOLERANCE, atol=0)
        if not fits:
            found = " x ".join(f"{s:g}" for s in grid.spacing[::-1])
            trained = " x ".join(f"{s:g}" for s in self.voxel_size_zyx_nm)
            raise InferenceError(
                f"Model {self.name} was trained on voxels of {trained} nm (z, y, x): {label} has {found} {grid.unit}. "
                "Resample the stack, or train a model for its voxels."
            )


class ContrastFacts(StackFacts):
    """Facts of a model that translates one contrast of electron microscopy into another.

    ``reference_counts`` are the labeled domain's gray values, which ``matching`` brings a stack to first.
    """

    task: Literal["em_contrast"]
    matching: Literal["none", "volume", "sections"]
    reference_counts: Annotated[list[NonNegativeInt], Field(min_length=256, max_length=256)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> ContrastFacts:
        if self.matching != "none" and self.reference_counts is None:
            raise ValueError("matching needs reference_counts")
        return self

    @property
    def headline(self) -> str:
        """What it does."""
        return "EM contrast"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The tile, without its halo."""
        return (1, 1, *self.tile)


class BoundaryFacts(StackFacts):
    """Facts of a model that finds instances by boundaries (no ``offsets``) or affinities (x, y, z offsets)."""

    task: Literal["boundaries"]
    offsets: list[tuple[int, int, int]] = Field(default_factory=list)
    watershed: WatershedSettings = WatershedSettings()

    @property
    def headline(self) -> str:
        """What it does."""
        return "affinities" if self.offsets else "boundaries"

    @property
    def channels(self) -> int:
        """Probabilities of a voxel."""
        return max(len(self.offsets), 1)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """A tile with its halo: the network pads."""
        return (1, self.channels, *self.input_shapes[0][2:])


def fits_segmenter(
    facts: BoundaryFacts, *, voxel_size_zyx_nm: tuple[float, ...], input_range: tuple[float, ...]
) -> None:
    """Refuse a segmenter that cannot judge what a training translates to.

    Raises
    ------
    InferenceError
        If it was trained on other voxels or another range of values.
    """
    if not np.allclose(facts.voxel_size_zyx_nm, voxel_size_zyx_nm, rtol=VOXEL_SIZE_TOLERANCE, atol=0):
        raise InferenceError(
            f"The segmenter {facts.name} was trained on voxels of {facts.voxel_size_zyx_nm} nm (z, y, x): the labeled "
            f"domain has {tuple(voxel_size_zyx_nm)}. Use a segmenter trained on these voxels."
        )
    if tuple(facts.input_range) != tuple(input_range):
        raise InferenceError(
            f"The segmenter {facts.name} takes values from {facts.input_range[0]:g} to {facts.input_range[1]:g}: this "
            f"training maps {input_range[0]:g} to {input_range[1]:g}. Use one range for both."
        )


class TissueFacts(CommonFacts):
    """Facts of a model that gives the probability of a tissue in a prepared volume; a segmenter for SECGAN.

    ``domain`` and ``modality`` say of what, ``knots`` how values become [-1, 1], ``patch`` the size it was trained on.
    """

    task: Literal["tissue"]
    domain: str
    modality: str
    tissue: str
    knots: Knots
    spacing_mm: tuple[Length, Length, Length]
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]

    @property
    def headline(self) -> str:
        """What it finds where."""
        return f"{self.tissue} in {self.modality}"

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """A patch."""
        return ((1, 1, *self.patch),)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """That of the patch."""
        return (1, 1, *self.patch)
