"""A projection image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError
from medgan.volume.provenance import Provenance
from medgan.volume.quantity import Quantity


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A (H, W) = (row, column) float32 projection; frozen, finite, read-only; larger values are displayed brighter.

    Parameters
    ----------
    array : (H, W)
        Becomes float32. The caller gives the array up.
    spacing_mm : (row, column) or None
        Distance between neighboring pixel centers in mm, None where the file does not say.
    quantity : Quantity
    provenance : Provenance

    Raises
    ------
    VolumeError
        If the array is not of real numbers, not two-dimensional or not finite, or a spacing is not positive.
    """

    array: npt.NDArray[np.float32]
    spacing_mm: tuple[float, float] | None
    quantity: Quantity
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self) -> None:
        array = np.asarray(self.array)
        if array.dtype.kind not in "uifb":
            raise VolumeError(f"A radiograph needs real numbers: found {array.dtype}.")
        with np.errstate(over="ignore"):  # infinities are refused below
            array = np.asarray(array, dtype=np.float32)
        if array.ndim != 2 or min(array.shape) < 1:
            raise VolumeError(f"A radiograph needs an array of rows and columns: found shape {array.shape}.")
        if not np.isfinite(array).all():
            raise VolumeError("A radiograph needs finite values: found NaN or infinity.")
        if self.spacing_mm is not None:
            spacing = np.asarray(self.spacing_mm, dtype=np.float64)
            if spacing.shape != (2,) or not np.isfinite(spacing).all() or spacing.min() <= 0:
                raise VolumeError(f"A pixel spacing needs two positive lengths: found {tuple(self.spacing_mm)}.")
            object.__setattr__(self, "spacing_mm", (float(spacing[0]), float(spacing[1])))
        view = array.view()
        view.setflags(write=False)
        object.__setattr__(self, "array", view)

    def __setstate__(self, state: dict[str, object]) -> None:
        # NumPy drops the read-only flag when an array is pickled.
        self.__dict__.update(state)
        self.array.setflags(write=False)
