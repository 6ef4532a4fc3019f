"""An image of class or instance numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError
from medgan.geometry import AxisMap, Box, Grid


@dataclass(frozen=True, eq=False)
class LabelMap:
    """A (I, J, K) array of unsigned integers on a grid; frozen and read-only; only ever resampled by nearest neighbor.

    Parameters
    ----------
    array : (I, J, K) unsigned integer or bool
        bool becomes uint8. Zero is background.
    grid : Grid
    names : mapping of int to str
        What each number stands for; may be empty for instances.

    Raises
    ------
    VolumeError
        If shapes differ or the type is not unsigned.
    """

    array: npt.NDArray[Any]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.shape != self.grid.shape:
            raise VolumeError(f"A label map needs an array of its grid's shape {self.grid.shape}: found {array.shape}.")
        if array.dtype == np.bool_:
            array = array.view(np.uint8)
        if array.dtype.kind != "u":
            raise VolumeError(f"A label map needs unsigned integers: found {array.dtype}.")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        view = array.view()
        view.setflags(write=False)
        object.__setattr__(self, "array", view)
        object.__setattr__(self, "names", MappingProxyType(dict(self.names)))

    def __getstate__(self) -> dict[str, object]:
        return {"array": self.array, "grid": self.grid, "names": dict(self.names)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # NumPy drops the read-only flag when an array is pickled, and a mapping proxy cannot be pickled.
        self.__dict__.update(state)
        self.array.setflags(write=False)
        object.__setattr__(self, "names", MappingProxyType(state["names"]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along each axis."""
        return self.grid.shape

    def mask(self, *labels: int) -> npt.NDArray[np.bool_]:
        """Return where the label is one of ``labels``, or any label if none is given."""
        return np.asarray(self.array != 0) if not labels else np.isin(self.array, labels)

    def read(self, box: Box) -> LabelMap:
        """Return the labels in ``box``; beyond the image they are 0."""
        grid = self.grid.cropped(box)
        if self.grid.box.contains(box):
            return replace(self, array=self.array[box.slices], grid=grid)
        array = np.zeros(box.shape, dtype=self.array.dtype)
        if self.grid.box.intersects(box):
            common = self.grid.box.intersection(box)
            array[common.shifted([-s for s in box.start_ijk]).slices] = self.array[common.slices]
        return replace(self, array=array, grid=grid)

    def reordered(self, axis_map: AxisMap) -> LabelMap:
        """Return the same labels in another axis order, bit for bit."""
        return replace(self, array=axis_map.applied_to(self.array), grid=axis_map.applied_to_grid(self.grid))
