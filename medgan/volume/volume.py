"""A scalar image that knows where it is and what it measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError
from medgan.geometry import AxisMap, Box, Grid
from medgan.volume.provenance import Provenance
from medgan.volume.quantity import Quantity

STORED_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))


@dataclass(frozen=True, eq=False)
class Volume:
    """A (I, J, K) scalar field on a grid; frozen, finite and read-only.

    Parameters
    ----------
    array : (I, J, K)
        uint8 and uint16 stay as stored where the quantity's outside value fits; everything else becomes float32. The
        caller gives the array up: it is made read-only, not copied.
    grid : Grid
    quantity : Quantity
    provenance : Provenance

    Raises
    ------
    VolumeError
        If shapes differ, the type is not numeric, or a value is not finite.
    """

    array: npt.NDArray[Any]
    grid: Grid
    quantity: Quantity
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.shape != self.grid.shape:
            raise VolumeError(f"A volume needs an array of its grid's shape {self.grid.shape}: found {array.shape}.")
        if array.dtype.kind not in "uifb":
            raise VolumeError(f"A volume needs real numbers: found {array.dtype}.")
        # Padding of unsigned HU would wrap around from -1024 to 64512.
        fits = array.dtype.kind != "u" or self.quantity.outside >= 0
        if array.dtype.newbyteorder("=") not in STORED_TYPES or not fits:
            with np.errstate(over="ignore"):  # infinities are refused below
                array = array.astype(np.float32)
        elif not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(array.size - np.count_nonzero(np.isfinite(array)))
            raise VolumeError(f"A volume needs finite values: found {bad} NaN or infinite of {array.size}.")
        view = array.view()
        view.setflags(write=False)
        object.__setattr__(self, "array", view)

    def __setstate__(self, state: dict[str, object]) -> None:
        # NumPy drops the read-only flag when an array is pickled.
        self.__dict__.update(state)
        self.array.setflags(write=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return self.grid.shape

    def read(self, box: Box) -> Volume:
        """Return the voxels in ``box``; what lies beyond the image is the quantity's outside value."""
        grid = self.grid.cropped(box)
        if self.grid.box.contains(box):
            return replace(self, array=self.array[box.slices], grid=grid)
        array = np.full(box.shape, self.quantity.outside, dtype=self.array.dtype)
        if self.grid.box.intersects(box):
            common = self.grid.box.intersection(box)
            array[common.shifted([-s for s in box.start_ijk]).slices] = self.array[common.slices]
        return replace(self, array=array, grid=grid)

    def cropped(self, box: Box) -> Volume:
        """Return :meth:`read` with the crop noted in the provenance."""
        provenance = self.provenance.then("crop", start_ijk=list(box.start_ijk), stop_ijk=list(box.stop_ijk))
        return replace(self.read(box), provenance=provenance)

    def reordered(self, axis_map: AxisMap) -> Volume:
        """Return the same voxels in another axis order, bit for bit."""
        provenance = self.provenance.then("reorder", order=list(axis_map.order), flips=list(axis_map.flips))
        array = axis_map.applied_to(self.array)
        return replace(self, array=array, grid=axis_map.applied_to_grid(self.grid), provenance=provenance)

    def mapped(
        self,
        function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]],
        *,
        step: str,
        quantity: Quantity | None = None,
        **parameters: Any,
    ) -> Volume:
        """Return the image after a voxelwise function, noted in the provenance under ``step``."""
        provenance = self.provenance.then(step, **parameters)
        return replace(self, array=function(self.array), quantity=quantity or self.quantity, provenance=provenance)
