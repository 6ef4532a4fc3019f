"""What T1-weighted signal and anatomy say about Hounsfield units, without any pair of images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.preprocessing.cortical_ring import CorticalRing
from medgan.volume import LabelMap, Volume

Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ContrastPrior:
    """An image of expected HU: a table of intensities, corrected where a ring of cortical bone was found.

    Parameters
    ----------
    table : tuple of (normalized MR, HU)
        Rising in the first.
    ring : CorticalRing or None
        None for the table alone.
    bone_table : tuple of (normalized MR, HU)
        Inside cortical bone: the darker, the less partial volume. Rising in the first.
    marrow_hu : float
        Fatty marrow with its trabeculae. 1,250, 60 and 100 HU are free choices within textbook ranges.
    """

    table: Knots
    ring: CorticalRing | None = None
    bone_table: Knots = ((-1.0, 1400.0), (-0.85, 1250.0), (-0.45, 60.0))
    marrow_hu: float = 100.0

    def expected_hu(self, image: Volume, body: LabelMap) -> npt.NDArray[np.float32]:
        """Return (I, J, K) float32 HU of the shape of a NORMALIZED image; -1024 outside the body.

        Raises
        ------
        PreprocessingError
            If a ring is sought in an image that is not normalized.
        """
        values = np.asarray(image.array)
        expected = _mapped(values, self.table)
        if self.ring is not None:
            found = np.asarray(self.ring.found_in(image, body).array)
            expected = np.where(found == 1, _mapped(values, self.bone_table), expected)
            expected = np.where(found == 2, self.marrow_hu, expected)
        return np.where(body.mask(), expected, -1024.0).astype(np.float32)


def _mapped(values: npt.NDArray[np.float32], knots: Knots) -> npt.NDArray[np.float64]:
    return np.interp(values, [x for x, _ in knots], [hu for _, hu in knots])
