"""Random changes of a labeled slice: drawn first, then applied purely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError

OUTSIDE = -1.0
"""Normalized value of what was not acquired: beyond the image, and in a channel that is missing."""


@dataclass(frozen=True)
class SliceAugmentSettings:
    """How far a slice may be changed.

    Parameters
    ----------
    flip : bool
        Reverse the first axis (left and right) in half of the cases.
    shift : int
        Largest displacement along both in-plane axes, in pixels.
    gain, offset : float
        Largest relative change of a channel about -1, and largest shift of its values.
    channel_dropout : float
        Probability that a channel is missing; one channel always stays.

    Raises
    ------
    PatchError
        If a value is out of range.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    flip: bool = False
    shift: int = 0
    gain: float = 0.0
    offset: float = 0.0
    channel_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.shift < 0 or not 0 <= self.gain < 1 or self.offset < 0 or not 0 <= self.channel_dropout < 1:
            raise PatchError(
                "A change of slices needs shift and offset of at least 0, gain and channel_dropout in [0, 1): found "
                f"{self.shift}, {self.offset}, {self.gain}, {self.channel_dropout}."
            )


@dataclass(frozen=True)
class SliceAugmentation:
    """One drawn change of (C, I, J, ...) and of its labels (I, J, ...)."""

    flip: bool
    shift_ij: tuple[int, int]
    gains: tuple[float, ...]
    offsets: tuple[float, ...]
    missing: tuple[bool, ...]

    @classmethod
    def drawn(cls, settings: SliceAugmentSettings, channels: int, generator: np.random.Generator) -> SliceAugmentation:
        """Draw a change; the number of draws depends on the number of channels only."""
        flip = bool(generator.random() < 0.5) and settings.flip
        shift = np.rint(generator.uniform(-1, 1, size=2) * settings.shift).astype(int)
        gains = 1 + settings.gain * generator.uniform(-1, 1, size=channels)
        offsets = settings.offset * generator.uniform(-1, 1, size=channels)
        missing = generator.random(channels) < settings.channel_dropout
        kept = int(generator.integers(channels))
        if missing.all():
            missing[kept] = False
        return cls(
            flip,
            (int(shift[0]), int(shift[1])),
            tuple(map(float, gains)),
            tuple(map(float, offsets)),
            tuple(map(bool, missing)),
        )

    def applied_to(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a changed copy of (C, I, J, ...): moved, ``(v + 1) gain - 1 + offset`` clipped to [-1, 1]."""
        gains, offsets = (
            np.asarray(values, np.float32).reshape(-1, *(1,) * (image.ndim - 1))
            for values in (self.gains, self.offsets)
        )
        changed = np.clip((image + 1) * gains - 1 + offsets, -1, 1)
        changed[np.asarray(self.missing)] = OUTSIDE
        return np.stack([self.moved(channel, fill=OUTSIDE) for channel in changed])

    def moved(self, array: npt.NDArray[Any], *, fill: float) -> npt.NDArray[Any]:
        """Return a copy of (I, J, ...) that is flipped and displaced only; what comes in from outside is ``fill``."""
        if self.flip:
            array = array[::-1]
        moved = np.full_like(array, fill)
        target, source = [], []
        for amount, length in zip(self.shift_ij, array.shape):
            target.append(slice(max(amount, 0), length + min(amount, 0)))
            source.append(slice(max(-amount, 0), length - max(amount, 0)))
        moved[tuple(target)] = array[tuple(source)]
        return moved
