"""What translators and samplers ask of an image."""

from __future__ import annotations

from typing import Protocol

from medgan.geometry import Box, Grid
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
