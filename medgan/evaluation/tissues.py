"""Tissue classes by Hounsfield range: a convention, stated wherever it is used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.evaluation.region import BoolArray


@dataclass(frozen=True)
class Tissue:
    """Voxels with ``above_hu < HU <= up_to_hu``.

    Examples
    --------
    >>> Tissue("bone", 200, math.inf).where(np.array([200.0, 200.5])).tolist()
    [False, True]
    """

    name: str
    above_hu: float
    up_to_hu: float

    def where(self, hu: npt.NDArray[Any]) -> BoolArray:
        """Return a mask of the voxels in the range."""
        inside = np.ones(hu.shape, dtype=bool) if math.isinf(self.above_hu) else hu > self.above_hu
        return inside if math.isinf(self.up_to_hu) else np.asarray(inside & (hu <= self.up_to_hu))

    @property
    def range_text(self) -> str:
        """The range in words."""
        if math.isinf(self.above_hu):
            return f"HU <= {self.up_to_hu:g}"
        if math.isinf(self.up_to_hu):
            return f"HU > {self.above_hu:g}"
        return f"{self.above_hu:g} < HU <= {self.up_to_hu:g}"


AIR = Tissue("air", -math.inf, -300.0)
BONE = Tissue("bone", 200.0, math.inf)

TISSUES = (AIR, Tissue("fat", -150.0, -30.0), Tissue("soft tissue", -30.0, 150.0), BONE)
"""Free choices around common values; what lies between two ranges is mostly mixed voxels and belongs to no class."""

CONTRAST = Tissue("fat and soft tissue", -150.0, 150.0)
"""Range in which the sign of a translation's contrast is checked: it holds fat and muscle, without bone and air."""
