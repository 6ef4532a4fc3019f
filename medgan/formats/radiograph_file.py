"""A radiograph as read from its file: display values in [-1, 1], and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.volume import Radiograph


@dataclass(frozen=True)
class RadiographFile:
    """A radiograph and what is to be known about its values.

    Parameters
    ----------
    radiograph : Radiograph
        NORMALIZED to [-1, 1] by the output range of the last stage applied; its provenance lists the stages.
    notices : tuple of str
        One sentence, without the file's name, for each thing that was corrected, chosen or assumed.
    stages : tuple of mapping
        What turned stored into displayed values, in order: each has a ``stage`` and its numbers.
    spacing_source : str or None
        Which attribute the pixel spacing is from.
    view : str or None
        View position, such as ``PA``, where the file states a defined one.
    is_marked_synthetic : bool
    name : str
        What outputs made from it are named after; never text of a header.
    """

    radiograph: Radiograph
    notices: tuple[str, ...]
    stages: tuple[Mapping[str, Any], ...]
    spacing_source: str | None = None
    view: str | None = None
    is_marked_synthetic: bool = False
    name: str = field(default="radiograph")


def normalized(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """Return values of [low, high] as float32 in [-1, 1].

    Notes
    -----
    Computed as ``((v - low) + (v - high)) / (high - low)`` in double precision, which changes its sign exactly where
    ``v`` becomes ``low + high - v``: a radiograph inverted about its range is the negative of the other, bit for bit.

    Examples
    --------
    >>> normalized(np.array([0, 51, 255]), 0, 255).tolist() == (-normalized(np.array([255, 204, 0]), 0, 255)).tolist()
    True
    """
    exact = values.astype(np.float64)
    return np.asarray(((exact - low) + (exact - high)) / (high - low), dtype=np.float32)
