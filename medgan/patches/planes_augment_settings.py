"""How far two-dimensional training images may be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from medgan.errors import PatchError


@dataclass(frozen=True, kw_only=True)
class PlaneAugmentSettings:
    """How far an image may be changed; 0 leaves it as it is.

    Parameters
    ----------
    shift : float
        Largest displacement along each axis, as a share of the image.
    zoom : float
        Largest relative change of size.
    rotation_degrees : float
    gain, offset : float
        Largest change of contrast (relative, about 0) and of brightness (absolute, of [-1, 1]).
    noise : float
        Standard deviation of Gaussian noise.

    Raises
    ------
    PatchError
        For a negative number, or a shift, zoom or gain of 1 and more.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    shift: float = 0.0
    zoom: float = 0.0
    rotation_degrees: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        values = vars(self)
        if min(values.values()) < 0 or max(self.shift, self.zoom, self.gain) >= 1:
            raise PatchError(
                f"Changes of an image must be at least 0, shift, zoom and gain less than 1: found {values}."
            )
