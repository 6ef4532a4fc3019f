"""Draw training patches from stacks of sections of any size, with the changes that keep a specimen a specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.patches.em_matching import Tables, matched
from medgan.volume import LabelSource, VolumeSource

Index3 = tuple[int, int, int]
Range = tuple[float, float]
_TRIES = 64


@dataclass(frozen=True, eq=False)
class EmVolume:
    """One stack that patches are drawn from.

    Parameters
    ----------
    case_id : str
        For messages.
    image : VolumeSource
    labels : LabelSource or None
        Instances on the image's grid.
    tables : (K, 256) uint8 or None
        Gray values to replace with, by section.

    Raises
    ------
    GeometryError
        If labels are not on the image's grid.
    """

    case_id: str
    image: VolumeSource
    labels: LabelSource | None = None
    tables: Tables | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.labels is not None:
            self.labels.grid.require_same_as(self.image.grid, this="labels", that="image", what="Training")


@dataclass(frozen=True)
class EmAugment:
    """How far a patch may be changed.

    Parameters
    ----------
    axes : {"none", "planes", "all"}
        Which axes may be exchanged: none, the two of a section, or all three (isotropic voxels).
    flips : bool
        Whether axes may be reversed.
    contrast : float
        Largest relative change of contrast about gray 0.
    brightness : float
        Largest shift, of values in [-1, 1].

    Raises
    ------
    PatchError
        If a strength is negative or a contrast reaches 1.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    axes: Literal["none", "planes", "all"] = "planes"
    flips: bool = True
    contrast: float = 0.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.contrast < 1 and self.brightness >= 0):
            raise PatchError(
                f"Contrast may change by 0 to less than 1, brightness by at least 0: found {self.contrast} and "
                f"{self.brightness}."
            )


@dataclass(frozen=True, eq=False)
class DrawnEm:
    """A patch as a network sees it: image float32 in [-1, 1], instances as stored (None where there are none)."""

    image: npt.NDArray[np.float32]
    labels: npt.NDArray[Any] | None
    case_id: str


@dataclass(frozen=True)
class EmSampler:
    """Patches of one domain, each at a random place of a random stack; larger stacks are drawn more often.

    Parameters
    ----------
    volumes : sequence of EmVolume
    patch : (I, J, K)
    augment : EmAugment
    input_range : (low, high)
        Stored values that become -1 and 1: (0, 255) for uint8.

    Raises
    ------
    PatchError
        If there is no stack, one is smaller than a patch, or axes of different lengths would be exchanged.
    """

    volumes: Sequence[EmVolume]
    patch: Index3
    augment: EmAugment = field(default_factory=EmAugment)
    input_range: Range = (0.0, 255.0)

    def __post_init__(self) -> None:
        if not self.volumes:
            raise PatchError("A sampler needs at least one stack: found none.")
        exchanged = {"none": 1, "planes": 2, "all": 3}[self.augment.axes]
        if len(set(self.patch[:exchanged])) > 1:
            raise PatchError(
                f"Axes that are exchanged ({self.augment.axes}) need patches as long along each: found {self.patch}."
            )
        for volume in self.volumes:
            if any(n < p for n, p in zip(volume.image.grid.shape, self.patch)):
                raise PatchError(
                    f"A stack needs to be as large as a patch of {self.patch} voxels: {volume.case_id} has "
                    f"{volume.image.grid.shape}. Use smaller patches."
                )

    def drawn(self, generator: np.random.Generator) -> DrawnEm:
        """Draw one patch; patches that are all zero are drawn anew.

        Raises
        ------
        PatchError
            If a source has nothing but zeros where it was looked at.
        """
        places = np.array(
            [np.prod([n - p + 1 for n, p in zip(v.image.grid.shape, self.patch)]) for v in self.volumes], dtype=float
        )
        for _ in range(_TRIES):
            volume = self.volumes[int(generator.choice(len(places), p=places / places.sum()))]
            start = [int(generator.integers(n - p + 1)) for n, p in zip(volume.image.grid.shape, self.patch)]
            box = Box(tuple(start), tuple(s + p for s, p in zip(start, self.patch)))  # type: ignore[arg-type]
            stored = volume.image.read(box).array
            if stored.any():
                break
        else:
            names = ", ".join(v.case_id for v in self.volumes)
            raise PatchError(f"The source is all zero in {_TRIES} patches ({names}): is it the right array?")
        if volume.tables is not None:
            stored = matched(stored, volume.tables, box.start_ijk[2])
        labels = None if volume.labels is None else volume.labels.read(box).array
        order, flips = self._moves(generator)
        gain = 1.0 + self.augment.contrast * float(generator.uniform(-1, 1))
        shift = self.augment.brightness * float(generator.uniform(-1, 1))
        image = normalized(_moved(stored, order, flips), self.input_range)
        if gain != 1.0 or shift != 0.0:
            image = np.clip(image * np.float32(gain) + np.float32(shift), -1, 1)
        return DrawnEm(image, None if labels is None else _moved(labels, order, flips), volume.case_id)

    def _moves(self, generator: np.random.Generator) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Draw an order of the axes and which of them to reverse; the number of draws is always the same."""
        shuffled = [int(a) for a in generator.permutation(3)]
        order = {
            "none": [0, 1, 2],
            "planes": [*[a for a in shuffled if a < 2], 2],
            "all": shuffled,
        }[self.augment.axes]
        reverse = generator.random(3) < 0.5
        return tuple(order), tuple(bool(r) and self.augment.flips for r in reverse)


def normalized(array: npt.NDArray[Any], input_range: Range) -> npt.NDArray[np.float32]:
    """Return stored values as a network takes them: ``low`` becomes -1 and ``high`` 1."""
    low, high = input_range
    half = np.float32((high - low) / 2)
    return np.asarray(array, dtype=np.float32) / half - np.float32(1 + low / half)


def denormalized(array: npt.NDArray[np.float32], input_range: Range, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a network's values in [-1, 1] as stored ones; whole numbers are rounded and kept in range."""
    low, high = input_range
    values = (np.clip(array, -1, 1) + np.float32(1)) * np.float32((high - low) / 2) + np.float32(low)
    return np.rint(values).astype(dtype) if dtype.kind in "ui" else values.astype(dtype)


def _moved(array: npt.NDArray[Any], order: Sequence[int], flips: Sequence[bool]) -> npt.NDArray[Any]:
    turned = array.transpose(tuple(order))
    return turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)].copy()
