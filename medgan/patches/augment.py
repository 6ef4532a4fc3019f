"""Random changes of a training patch: drawn first, then applied purely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError


@dataclass(frozen=True)
class AugmentSettings:
    """How far a training patch may be changed.

    Parameters
    ----------
    flip_axes : axes of the array (0, 1, 2) that may be reversed
    gain : float
        Largest relative change of intensity about air, 0 <= gain < 1.

    Raises
    ------
    PatchError
        If an axis is none of the three or the gain is out of range.
    """

    flip_axes: tuple[int, ...] = ()
    gain: float = 0.0

    def __post_init__(self) -> None:
        if not set(self.flip_axes) <= {0, 1, 2}:
            raise PatchError(f"Axes that may be reversed are 0, 1 and 2: found {list(self.flip_axes)}.")
        if not 0 <= self.gain < 1:
            raise PatchError(f"A change of gain must be at least 0 and less than 1: found {self.gain}.")


@dataclass(frozen=True)
class Augmentation:
    """One drawn change: which axes to reverse, and a gain of the normalized intensity.

    ``gain`` acts about -1, so that air stays air: v -> (v + 1) gain - 1, clipped to [-1, 1].
    """

    flips: tuple[bool, bool, bool]
    gain: float

    @classmethod
    def drawn(cls, settings: AugmentSettings, generator: np.random.Generator) -> Augmentation:
        """Draw a change; the number of draws does not depend on the settings."""
        reverse = generator.random(3) < 0.5
        gain = 1.0 + settings.gain * float(generator.uniform(-1.0, 1.0))
        flips = tuple(bool(r) and axis in settings.flip_axes for axis, r in enumerate(reverse))
        return cls(flips, gain)  # type: ignore[arg-type]

    def applied_to(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a changed copy of a normalized image patch."""
        moved = self.moved(array)
        return moved if self.gain == 1.0 else np.clip((moved + 1) * np.float32(self.gain) - 1, -1, 1)

    def moved(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return a copy with axes reversed only, for masks."""
        return array[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)].copy()
