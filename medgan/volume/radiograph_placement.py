"""Which part of a radiograph a model sees, and how its maps come back onto the original pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from medgan.errors import VolumeError

Float32 = npt.NDArray[np.float32]
Crop = Literal["center", "pad", "stretch"]


@dataclass(frozen=True)
class RadiographPlacement:
    """A box of the original pixels, reduced or enlarged to a model's input.

    Parameters
    ----------
    original : (H, W)
        Shape of the radiograph.
    start, stop : (row, column)
        The box, half-open, in original pixels; it may reach beyond the radiograph, which is black there.
    size : (h, w)
        Shape of the model's input.

    Raises
    ------
    VolumeError
        If a length is not positive or the box lies beside the radiograph.

    Notes
    -----
    Both directions are the same geometry: input pixel ``i`` covers the original interval ``start + i s`` to
    ``start + (i + 1) s`` along an axis, with ``s = (stop - start) / size``. :meth:`prepared` gives the mean over that
    interval (of the linear interpolation where ``s < 1``), :meth:`pasted` gives each original pixel the value of the
    input pixel that holds its center. Where ``s`` is a whole number, preparing what was pasted returns it exactly (sums
    are in double precision).

    Examples
    --------
    >>> placement = RadiographPlacement((4, 6), (0, 1), (4, 5), (2, 2))
    >>> placement.pasted(np.array([[1, 2], [3, 4]], dtype=np.float32)).astype(int)[1]
    array([0, 1, 1, 2, 2, 0])
    """

    original: tuple[int, int]
    start: tuple[int, int]
    stop: tuple[int, int]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("original", "start", "stop", "size"):
            pair = tuple(int(n) for n in getattr(self, name))
            if len(pair) != 2:
                raise VolumeError(f"A placement needs two numbers for {name}: found {pair}.")
            object.__setattr__(self, name, pair)
        if min(*self.original, *self.size) < 1:
            raise VolumeError(f"A placement needs positive lengths: found {self.original} and {self.size}.")
        for axis in (0, 1):
            low, high = self.start[axis], self.stop[axis]
            if not low < high or high <= 0 or low >= self.original[axis]:
                raise VolumeError(
                    f"A placement needs a box on the radiograph: found {low} to {high} on {self.original[axis]} pixels."
                )

    @classmethod
    def of(cls, shape: Sequence[int], size: Sequence[int], *, crop: Crop = "center") -> RadiographPlacement:
        """Return the placement of a whole radiograph.

        Parameters
        ----------
        shape, size : (rows, columns)
        crop : {"center", "pad", "stretch"}
            Where the shapes differ: cut the longer axis about its middle, add black beside the shorter one, or distort.

        Raises
        ------
        VolumeError
            For another word.
        """
        rows, columns = int(shape[0]), int(shape[1])
        if crop == "stretch":
            return cls((rows, columns), (0, 0), (rows, columns), (int(size[0]), int(size[1])))
        if crop not in ("center", "pad"):
            raise VolumeError(f"A crop is 'center', 'pad' or 'stretch': found {crop!r}.")
        ratio = int(size[0]) / int(size[1])
        fits = min if crop == "center" else max
        height = fits(rows, round(columns * ratio))
        width = max(round(height / ratio), 1)
        return cls.around((rows, columns), (rows // 2, columns // 2), (height, width), size)

    @classmethod
    def around(
        cls, shape: Sequence[int], middle: Sequence[int], extent: Sequence[int], size: Sequence[int]
    ) -> RadiographPlacement:
        """Return the placement of a box of an extent around a pixel, such as the body's."""
        start = tuple(int(middle[axis]) - int(extent[axis]) // 2 for axis in (0, 1))
        stop = tuple(start[axis] + int(extent[axis]) for axis in (0, 1))
        return cls(tuple(shape), start, stop, tuple(size))  # type: ignore[arg-type]

    @property
    def scale(self) -> tuple[float, float]:
        """Original pixels an input pixel, along rows and columns."""
        return tuple((self.stop[axis] - self.start[axis]) / self.size[axis] for axis in (0, 1))  # type: ignore[return-value]

    @property
    def is_identity(self) -> bool:
        """Tell whether the input is the radiograph, pixel for pixel."""
        return self.start == (0, 0) and self.stop == self.original == self.size

    def prepared(self, image: Float32, *, outside: float = -1.0) -> Float32:
        """Return the model's input (h, w) from a radiograph (H, W) float32.

        Raises
        ------
        VolumeError
            If the radiograph has another shape.
        """
        if image.shape != self.original:
            raise VolumeError(f"This placement is of {self.original} pixels: found an image of {image.shape}.")
        boxed = np.full((self.stop[0] - self.start[0], self.stop[1] - self.start[1]), outside, dtype=np.float32)
        here, there = self._overlap()
        boxed[there] = image[here]
        down, across = (_averaging(boxed.shape[axis], self.size[axis]) for axis in (0, 1))
        return np.asarray((across @ (down @ boxed).T).T, dtype=np.float32)

    def pasted(self, values: npt.NDArray[Any], *, outside: float = 0.0) -> Float32:
        """Return a map (h, w) of the input on the original pixels (H, W), float32; ``outside`` beyond the box.

        Raises
        ------
        VolumeError
            If the map has another shape than the input.
        """
        if values.shape != self.size:
            raise VolumeError(f"A map of this placement has {self.size} pixels: found {values.shape}.")
        result = np.full(self.original, outside, dtype=np.float32)
        here, _ = self._overlap()
        places = []
        for axis in (0, 1):
            offset = np.arange(here[axis].start, here[axis].stop) - self.start[axis]
            # The center of an original pixel is half a pixel in: 2 offset + 1 halves, in whole numbers.
            places.append((2 * offset + 1) * self.size[axis] // (2 * (self.stop[axis] - self.start[axis])))
        result[here] = np.asarray(values)[np.ix_(*places)]
        return result

    def as_dict(self) -> dict[str, list[int]]:
        """Return the placement as JSON values."""
        return {name: list(getattr(self, name)) for name in ("original", "start", "stop", "size")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RadiographPlacement:
        """Return the placement that :meth:`as_dict` described."""
        return cls(**{name: tuple(values[name]) for name in ("original", "start", "stop", "size")})

    def _overlap(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the part of box and radiograph that they share, in the radiograph and in the box."""
        here, there = [], []
        for axis in (0, 1):
            low, high = max(self.start[axis], 0), min(self.stop[axis], self.original[axis])
            here.append(slice(low, high))
            there.append(slice(low - self.start[axis], high - self.start[axis]))
        return tuple(here), tuple(there)  # type: ignore[return-value]


def _averaging(length: int, size: int) -> csr_array:
    """Return the (size, length) matrix that averages a row of pixels over the intervals of an input."""
    if size == length:
        return csr_array((np.ones(size), (np.arange(size), np.arange(size))), shape=(size, length))
    step = length / size
    rows: list[int] = []
    columns: list[int] = []
    weights: list[float] = []
    for i in range(size):
        low, high = i * step, (i + 1) * step
        if step >= 1:
            first, last = int(np.floor(low + 1e-9)), int(np.ceil(high - 1e-9))
            shares = [min(high, k + 1) - max(low, k) for k in range(first, min(last, length))]
            rows += [i] * len(shares)
            columns += range(first, first + len(shares))
            weights += [share / sum(shares) for share in shares]
        else:
            center = min(max((low + high) / 2 - 0.5, 0.0), length - 1.0)
            left = min(int(center), length - 2) if length > 1 else 0
            share = center - left
            rows += [i, i]
            columns += [left, min(left + 1, length - 1)]
            weights += [1 - share, share]
    return csr_array((np.array(weights), (np.array(rows), np.array(columns))), shape=(size, length))
