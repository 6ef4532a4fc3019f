"""One number with everything that is needed to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """A measure of one case.

    Parameters
    ----------
    name : str
        Short name, unique in a comparison; the column of a cohort table.
    title : str
        Name in words.
    value : float or None
        None where it is undefined; ``reason`` then says why.
    unit : str
        Empty for a pure number.
    mask : str
        Which voxels count.
    range : str
        How values were clipped, or which definition was used.
    peak : float or None
        Peak in the images' unit, for measures that have one.
    reason : str
        Why there is no value; empty where there is one.
    """

    name: str
    title: str
    value: float | None
    unit: str
    mask: str
    range: str
    peak: float | None = None
    reason: str = ""

    @property
    def text(self) -> str:
        """The value with its unit, or why there is none."""
        return f"undefined: {self.reason}" if self.value is None else f"{self.value:.4g} {self.unit}".strip()

    @property
    def statement(self) -> str:
        """Mask, range and peak in one phrase."""
        peak = "" if self.peak is None else f"; peak {self.peak:g}"
        return f"in {self.mask}; {self.range}{peak}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the name as JSON values."""
        return {
            "title": self.title,
            "value": self.value,
            "unit": self.unit,
            "mask": self.mask,
            "range": self.range,
            "peak": self.peak,
            "reason": self.reason,
        }
