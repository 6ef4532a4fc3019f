"""What each tissue measures in CT and in MR, and the translator that is exact between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError


class Tissue(IntEnum):
    """Label numbers of the phantoms' tissue maps; 0 is air, inside and outside of the body."""

    AIR = 0
    TOOTH = 1
    CORTICAL_BONE = 2
    TENDON = 3
    BLOOD = 4
    CSF = 5
    VITREOUS = 6
    TUMOR = 7
    LENS = 8
    MUSCLE = 9
    GRAY_MATTER = 10
    SKIN = 11
    WHITE_MATTER = 12
    SPONGY_BONE = 13
    MARROW = 14
    FAT = 15


@dataclass(frozen=True)
class TissueTable:
    """Hounsfield units and MR signal of every tissue, in the order of :class:`Tissue`.

    Parameters
    ----------
    hu : tuple of float
        CT value of each tissue in HU.
    mr : tuple of float
        T1-weighted MR signal of each tissue in arbitrary units.

    Raises
    ------
    VolumeError
        If a tissue is missing.

    Examples
    --------
    >>> float(TISSUE_TABLE.translated(np.array([1000.0]))[0])  # fat is bright in T1
    -100.0
    """

    hu: tuple[float, ...]
    mr: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.hu) == len(self.mr) == len(Tissue):
            raise VolumeError(
                f"A tissue table needs {len(Tissue)} CT and MR values: found {len(self.hu)} and {len(self.mr)}."
            )

    def ct_of(self, labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
        """Return the CT value in HU of each label, float32, of the labels' shape."""
        return np.take(np.asarray(self.hu, dtype=np.float32), labels)

    def mr_of(self, labels: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.float32]:
        """Return the MR signal of each label, float32, of the labels' shape."""
        return np.take(np.asarray(self.mr, dtype=np.float32), labels)

    @property
    def ambiguous(self) -> tuple[tuple[Tissue, Tissue], ...]:
        """Pairs of tissues with one MR signal but two CT values: with any, no voxelwise translator is exact."""
        return tuple(
            (a, b) for a in Tissue for b in Tissue if a < b and self.mr[a] == self.mr[b] and self.hu[a] != self.hu[b]
        )

    def translated(self, mr: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Return the CT value of the tissue whose MR signal is nearest: the ideal voxelwise MR to CT translator.

        Parameters
        ----------
        mr : array of any shape
            MR signal in the table's units: divide a phantom's image by its ``mr_scale`` first.

        Returns
        -------
        float32 array of the same shape, in HU
            Exact wherever a voxel holds one tissue, without noise and bias field, if :attr:`ambiguous` is empty.
            Of ambiguous tissues the one with the lowest number wins.
        """
        signals, first = np.unique(np.asarray(self.mr), return_index=True)
        nearest = np.searchsorted((signals[1:] + signals[:-1]) / 2, mr)
        return np.take(np.asarray(self.hu, dtype=np.float32)[first], nearest)

    def with_bone_as_dark_as_air(self) -> TissueTable:
        """Return a table in which bone and teeth give no MR signal, as on real scanners: they and air are ambiguous."""
        dark = [self.mr[Tissue.AIR] if t in (Tissue.CORTICAL_BONE, Tissue.TOOTH) else self.mr[t] for t in Tissue]
        return replace(self, mr=tuple(dark))


TISSUE_TABLE = TissueTable(
    # air, tooth, cortical, tendon, blood, CSF, vitreous, tumor, lens, muscle, gray, skin, white, spongy, marrow, fat
    hu=(-1000.0, 2200.0, 1200.0, 90.0, 45.0, 8.0, 12.0, 38.0, 75.0, 55.0, 37.0, 20.0, 30.0, 320.0, -30.0, -100.0),
    mr=(0.0, 30.0, 60.0, 90.0, 130.0, 190.0, 230.0, 300.0, 340.0, 390.0, 470.0, 540.0, 640.0, 740.0, 900.0, 1000.0),
)
"""Default table.

CT values are round numbers from the usual ranges. MR signals are free choices in a plausible T1 order with fat at 1000;
cortical bone and teeth are given a small signal of their own, which real scanners do not give, so that the ideal
translator exists.
"""
