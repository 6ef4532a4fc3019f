"""What translators and samplers ask of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from medgan.errors import VolumeError
from medgan.geometry import Box, Grid
from medgan.volume.label_map import LabelMap
from medgan.volume.provenance import Provenance
from medgan.volume.quantity import Quantity
from medgan.volume.volume import Volume


class VolumeSource(Protocol):
    """A grid and a way to read any box of it: a :class:`Volume` is one, and so is a store larger than memory.

    Whether voxels are loaded or lazy is a matter of the type, not of a state.
    """

    @property
    def grid(self) -> Grid:
        """Grid of the whole image."""

    @property
    def quantity(self) -> Quantity:
        """What a voxel measures."""

    @property
    def provenance(self) -> Provenance:
        """Where the image came from."""

    def read(self, box: Box) -> Volume:
        """Return the voxels in ``box``; what lies beyond the image is the quantity's outside value."""


class LabelSource(Protocol):
    """A grid and a way to read any box of labels: a :class:`LabelMap` is one, and so is a store larger than memory."""

    @property
    def grid(self) -> Grid:
        """Grid of the whole label map."""

    def read(self, box: Box) -> LabelMap:
        """Return the labels in ``box``; beyond the image they are 0."""


@dataclass(frozen=True, eq=False)
class PartOfSource:
    """A box of a source as a source of its own, still read when asked for.

    Parameters
    ----------
    whole : VolumeSource
    box : Box
        Inside the whole.

    Raises
    ------
    VolumeError
        If the box reaches beyond the whole.
    """

    whole: VolumeSource
    box: Box

    def __post_init__(self) -> None:
        _require_inside(self.box, self.whole.grid)

    @property
    def grid(self) -> Grid:
        """Grid of the part."""
        return self.whole.grid.cropped(self.box)

    @property
    def quantity(self) -> Quantity:
        """What a voxel measures."""
        return self.whole.quantity

    @property
    def provenance(self) -> Provenance:
        """Where the image came from, and which part this is."""
        start, stop = list(self.box.start_ijk), list(self.box.stop_ijk)
        return self.whole.provenance.then("crop", start_ijk=start, stop_ijk=stop)

    def read(self, box: Box) -> Volume:
        """Return the voxels in ``box``; beyond the part, also where the whole goes on, the outside value."""
        known = _common(box, self.box)
        inside = self.whole.read(known.shifted(self.box.start_ijk))
        return inside if known == box else inside.read(box.shifted([-s for s in known.start_ijk]))


@dataclass(frozen=True, eq=False)
class PartOfLabels:
    """A box of labels as a source of its own, still read when asked for.

    Parameters
    ----------
    whole : LabelSource
    box : Box
        Inside the whole.

    Raises
    ------
    VolumeError
        If the box reaches beyond the whole.
    """

    whole: LabelSource
    box: Box

    def __post_init__(self) -> None:
        _require_inside(self.box, self.whole.grid)

    @property
    def grid(self) -> Grid:
        """Grid of the part."""
        return self.whole.grid.cropped(self.box)

    def read(self, box: Box) -> LabelMap:
        """Return the labels in ``box``; beyond the part they are 0, also where the whole goes on."""
        known = _common(box, self.box)
        inside = self.whole.read(known.shifted(self.box.start_ijk))
        return inside if known == box else inside.read(box.shifted([-s for s in known.start_ijk]))


def _common(box: Box, part: Box) -> Box:
    """Return what a box has in common with a part, counted from the part's first voxel; one voxel where nothing."""
    inside = Box.of_shape(part.shape)
    return inside.intersection(box) if inside.intersects(box) else Box((0, 0, 0), (1, 1, 1))


def _require_inside(box: Box, grid: Grid) -> None:
    if not grid.box.contains(box):
        raise VolumeError(f"A part lies inside its whole of {grid.shape}: found {box.start_ijk} to {box.stop_ijk}.")
