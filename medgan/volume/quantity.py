"""What the value of a voxel means."""

from __future__ import annotations

from enum import Enum

from medgan.errors import VolumeError


class Quantity(Enum):
    """A kind of value, with its unit in reports and the value that stands outside the imaged region.

    Attributes
    ----------
    unit : str
        Unit as printed, empty for arbitrary units.
    outside : float
        Fill value of padding and of resampling beyond the image.
    """

    HOUNSFIELD = ("hounsfield", "HU", -1024.0)
    MR_SIGNAL = ("mr_signal", "", 0.0)
    EM_SIGNAL = ("em_signal", "", 0.0)
    NORMALIZED = ("normalized", "", -1.0)
    PROBABILITY = ("probability", "", 0.0)
    ATTRIBUTION = ("attribution", "", 0.0)
    DIFFERENCE = ("difference", "", 0.0)

    def __init__(self, label: str, unit: str, outside: float) -> None:
        self.label = label
        self.unit = unit
        self.outside = outside

    @classmethod
    def named(cls, label: str) -> Quantity:
        """Return the quantity with this label, as written in manifests and bundles.

        Raises
        ------
        VolumeError
            If there is none.
        """
        for quantity in cls:
            if quantity.label == label:
                return quantity
        known = ", ".join(q.label for q in cls)
        raise VolumeError(f"A quantity must be one of {known}: found {label!r}.")
