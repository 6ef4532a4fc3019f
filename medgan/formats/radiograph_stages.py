"""From stored to displayed values of a radiograph: modality table, window or table of interest, inversion, in order.

DICOM PS3.3, C.11.1 (modality LUT), C.11.2 (VOI LUT and window), C.7.6.3.1.2 (MONOCHROME1), C.11.6 (presentation LUT
shape); PS3.4, N.2 (their order).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError

Values = npt.NDArray[np.float64]
WindowFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]


@dataclass(frozen=True, eq=False)
class Displayed:
    """Values after some stages, with the range they can have.

    Parameters
    ----------
    values : (H, W) float64
    low, high : float
        Output range of the last stage: about its middle an inversion turns.
    stages : tuple of mapping
        What was done, for the record.
    """

    values: Values
    low: float
    high: float
    stages: tuple[Mapping[str, Any], ...]

    def then(self, values: Values, low: float, high: float, stage: str, **numbers: Any) -> Displayed:
        """Return the result of one more stage."""
        return Displayed(values, low, high, (*self.stages, {"stage": stage, **numbers, "range": [low, high]}))


@dataclass(frozen=True, eq=False)
class GrayTable:
    """A lookup table of DICOM.

    Parameters
    ----------
    first : int
        Input value of the first entry; smaller ones take it too, values beyond the last entry take the last.
    bits : int
        Of an output value: the range is 0 to ``2 ** bits - 1``.
    entries : (n,) unsigned integers
    """

    first: int
    bits: int
    entries: npt.NDArray[np.integer[Any]]

    def __call__(self, values: Values) -> Values:
        """Look values up; fractions, which a rescaling may leave, are rounded down as in DICOM's integer arithmetic."""
        places = np.clip(np.floor(values) - self.first, 0, len(self.entries) - 1).astype(np.int64)
        return self.entries[places].astype(np.float64)


def stored(values: npt.NDArray[np.integer[Any]], *, bits: int, is_signed: bool) -> Displayed:
    """Return stored values with the range that their bits allow."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    facts = {"stage": "stored", "bits": bits, "signed": is_signed, "range": [low, high]}
    return Displayed(values.astype(np.float64), float(low), float(high), (facts,))


def rescaled(image: Displayed, *, slope: float, intercept: float) -> Displayed:
    """Return ``slope v + intercept``."""
    low, high = sorted((slope * image.low + intercept, slope * image.high + intercept))
    return image.then(slope * image.values + intercept, low, high, "rescale", slope=slope, intercept=intercept)


def looked_up(image: Displayed, table: GrayTable, *, stage: str) -> Displayed:
    """Return values from a modality or VOI lookup table."""
    top = float(2**table.bits - 1)
    return image.then(table(image.values), 0.0, top, stage, entries=len(table.entries), first=table.first)


def windowed(image: Displayed, *, center: float, width: float, function: str) -> Displayed:
    """Return the window's output in [0, 1].

    Parameters
    ----------
    image : Displayed
    center, width : float
        In values of the stage before; a LINEAR width is at least 1, others are above 0.
    function : {"LINEAR", "LINEAR_EXACT", "SIGMOID"}

    Raises
    ------
    FormatError
        For another function, or a width that is none.

    Notes
    -----
    PS3.3, C.11.2.1.2: LINEAR ``(v - (c - 0.5)) / (w - 1) + 0.5``, LINEAR_EXACT ``(v - c) / w + 0.5``, both held in
    [0, 1]; SIGMOID ``1 / (1 + exp(-4 (v - c) / w))``.
    """
    if function not in get_args(WindowFunction):
        raise FormatError(f"a window's function is LINEAR, LINEAR_EXACT or SIGMOID: found {function[:20]!r}.")
    if not width >= (1 if function == "LINEAR" else 1e-9):
        raise FormatError(f"a {function} window needs a width of at least 1 (LINEAR) or above 0: found {width:g}.")
    values = image.values
    if function == "SIGMOID":
        result = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    elif function == "LINEAR_EXACT":
        result = np.clip((values - center) / width + 0.5, 0.0, 1.0)
    elif width == 1:
        result = (values > center - 0.5).astype(np.float64)
    else:
        result = np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)
    return image.then(result, 0.0, 1.0, "window", center=center, width=width, function=function)


def inverted(image: Displayed, *, reason: str) -> Displayed:
    """Return the values mirrored about the middle of the last stage's output range.

    Notes
    -----
    Not about the values that occur: two radiographs with one range would be inverted about two middles. The range is
    that of the stored bits only where no table or window was applied.
    """
    return image.then(image.low + image.high - image.values, image.low, image.high, "inversion", reason=reason)
