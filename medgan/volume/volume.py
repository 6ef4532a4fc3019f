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

_SLAB_VOXELS = 1 << 17

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
        array = _stored(self.array, self.grid, self.quantity)
        bad = 0 if array.dtype.kind != "f" else _not_finite(array)
        if bad:
            raise VolumeError(f"A volume needs finite values: found {bad} NaN or infinite of {array.size}.")
        object.__setattr__(self, "array", _read_only(array))

    @classmethod
    def of_finite(cls, array: npt.NDArray[Any], grid: Grid, quantity: Quantity, provenance: Provenance) -> Volume:
        """Return a volume of values that the caller knows to be finite, which saves looking at all of them again.

        Raises
        ------
        VolumeError
            As the class, except for what is not finite.
        """
        volume = object.__new__(cls)
        for name, value in (("grid", grid), ("quantity", quantity), ("provenance", provenance)):
            object.__setattr__(volume, name, value)
        object.__setattr__(volume, "array", _read_only(_stored(array, grid, quantity)))
        return volume

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
            return self._rearranged(self.array[box.slices], grid, self.provenance)
        array = np.full(box.shape, self.quantity.outside, dtype=self.array.dtype)
        if self.grid.box.intersects(box):
            common = self.grid.box.intersection(box)
            array[common.shifted([-s for s in box.start_ijk]).slices] = self.array[common.slices]
        return self._rearranged(array, grid, self.provenance)

    def cropped(self, box: Box) -> Volume:
        """Return :meth:`read` with the crop noted in the provenance."""
        provenance = self.provenance.then("crop", start_ijk=list(box.start_ijk), stop_ijk=list(box.stop_ijk))
        part = self.read(box)
        return self._rearranged(part.array, part.grid, provenance)

    def reordered(self, axis_map: AxisMap) -> Volume:
        """Return the same voxels in another axis order, bit for bit."""
        provenance = self.provenance.then("reorder", order=list(axis_map.order), flips=list(axis_map.flips))
        return self._rearranged(axis_map.applied_to(self.array), axis_map.applied_to_grid(self.grid), provenance)

    def _rearranged(self, array: npt.NDArray[Any], grid: Grid, provenance: Provenance) -> Volume:
        return Volume.of_finite(array, grid, self.quantity, provenance)

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


def _stored(array: npt.NDArray[Any], grid: Grid, quantity: Quantity) -> npt.NDArray[Any]:
    """Return an array in the type that a volume holds it in."""
    array = np.asarray(array)
    if array.shape != grid.shape:
        raise VolumeError(f"A volume needs an array of its grid's shape {grid.shape}: found {array.shape}.")
    if array.dtype.kind not in "uifb":
        raise VolumeError(f"A volume needs real numbers: found {array.dtype}.")
    # Padding of unsigned HU would wrap around from -1024 to 64512.
    fits = array.dtype.kind != "u" or quantity.outside >= 0
    if array.dtype.newbyteorder("=") not in STORED_TYPES or not fits:
        with np.errstate(over="ignore"):  # infinities are refused after this
            return array.astype(np.float32)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.setflags(write=False)
    return view


def _not_finite(array: npt.NDArray[np.floating[Any]]) -> int:
    """Count values that are NaN or infinite, by slabs: a mask of the whole image is never made."""
    slowest = int(np.argmax(np.abs(array.strides)))
    slabs, bad = np.moveaxis(array, slowest, 0), 0
    rows = max(1, _SLAB_VOXELS * len(slabs) // array.size)
    for first in range(0, len(slabs), rows):
        is_finite = np.isfinite(slabs[first : first + rows])
        if not is_finite.all():
            bad += int(is_finite.size - np.count_nonzero(is_finite))
    return bad
