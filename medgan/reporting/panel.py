"""One column of a figure: an image with the window it is shown in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medgan.errors import ReportError
from medgan.volume import LabelMap, Quantity, Volume


@dataclass(frozen=True)
class Panel:
    """One column of a figure.

    Parameters
    ----------
    volume : Volume
        On its own grid, in the patient's frame.
    title : str
    window : (low, high)
        Values shown as black and as white, or as the two ends of the diverging map.
    unit : str, optional
        Default: that of the volume's quantity.
    diverging : bool
        Show signed values: 0 is black, negative blue, positive orange. The window must be symmetric.
    synthetic : bool, optional
        Print the synthetic mark. Default: what the volume's provenance says; it can be switched on, not off.

    Raises
    ------
    ReportError
        If the window is empty, or not symmetric about 0 on a diverging map.
    """

    volume: Volume
    title: str
    window: tuple[float, float]
    unit: str | None = None
    diverging: bool = False
    synthetic: bool | None = None

    def __post_init__(self) -> None:
        low, high = self.window
        if not low < high:
            raise ReportError(f"The window of panel {self.title!r} must rise: found {low:g} to {high:g}.")
        if self.diverging and low != -high:
            raise ReportError(
                f"A diverging color map is centered at 0: panel {self.title!r} has the window {low:g} to {high:g}."
            )

    @property
    def is_synthetic(self) -> bool:
        """Tell whether the panel carries the synthetic mark."""
        return bool(self.synthetic) or self.volume.provenance.is_synthetic

    @property
    def label(self) -> str:
        """Window and unit in words."""
        unit = self.volume.quantity.unit if self.unit is None else self.unit
        low, high = (f"{v:g}".replace("-", "\N{MINUS SIGN}") for v in self.window)
        return f"{low} to {high} {unit}".strip()


def percentile_window(
    volume: Volume, *, mask: LabelMap | None = None, percentiles: tuple[float, float] = (0.5, 99.5)
) -> tuple[float, float]:
    """Return a window for an image without a unit: two percentiles of its values, rounded to three digits.

    Parameters
    ----------
    volume : Volume
    mask : LabelMap, optional
        Count only voxels with a label; must be on the volume's grid.
    percentiles : (low, high)

    Raises
    ------
    GeometryError
        If the mask is on another grid.
    ReportError
        If the values do not differ.
    """
    if mask is not None:
        volume.grid.require_same_as(mask.grid, this="volume", that="mask", what="A window")
    values = volume.array if mask is None else volume.array[mask.mask()]
    ends = np.percentile(values, percentiles) if values.size else (0.0, 0.0)
    low, high = (float(f"{end:.3g}") for end in ends)
    if not low < high:
        raise ReportError(f"A window needs values that differ: found {low:g} at both percentiles.")
    return low, high


def error_panel(
    *, result: Volume, reference: Volume, limit: float, mask: LabelMap | None = None, title: str = "Error"
) -> Panel:
    """Return a panel of ``result - reference`` between ``-limit`` and ``limit``, 0 outside the mask.

    Raises
    ------
    GeometryError
        If the images are not on one grid.
    """
    result.grid.require_same_as(reference.grid, this="result", that="reference")
    difference = np.asarray(result.array, dtype=np.float32) - reference.array
    if mask is not None:
        result.grid.require_same_as(mask.grid, this="result", that="mask")
        difference = np.where(mask.mask(), difference, np.float32(0))
    volume = result.mapped(lambda _: difference, step="difference", quantity=Quantity.DIFFERENCE)
    return Panel(volume, title, (-limit, limit), unit=result.quantity.unit, diverging=True)
