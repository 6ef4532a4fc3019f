"""Arrays larger than memory, as the files store them: axes z, y, x, read one box at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError

Index3 = tuple[int, int, int]
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
SECTION_SUFFIXES = (".png", ".tif", ".tiff")


class Location(NamedTuple):
    """A file or folder, and the path of an array inside it (empty where none was named)."""

    path: Path
    inner: str

    @property
    def label(self) -> str:
        """Name for messages, without the folders that lead to it."""
        return f"{self.path.name}:/{self.inner}" if self.inner else self.path.name


def located(text: str | Path) -> Location:
    """Split ``file.h5:/path`` or ``volume.zarr:/raw`` into the file or folder and the path inside.

    Examples
    --------
    >>> located("data/cells.h5:/volumes/raw").label
    'cells.h5:/volumes/raw'
    >>> located("volume.zarr").inner
    ''
    """
    whole = str(text)
    head, separator, tail = whole.rpartition(":/")
    # A URL has ":/" as well; only a file or folder that can hold arrays is cut.
    if separator and head and not tail.startswith("/") and not Path(whole).exists():
        return Location(Path(head), tail.strip("/"))
    return Location(Path(whole.rstrip(":")), "")


class StoredArray(Protocol):
    """A scalar array in a file: shape and type are known, voxels are read when asked for. It can be pickled."""

    @property
    def label(self) -> str:
        """Name for messages."""

    @property
    def shape_zyx(self) -> Index3:
        """Voxels along z, y, x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a stored value."""

    @property
    def chunk_zyx(self) -> Index3:
        """What is read from the disk at once."""

    def read_zyx(self, start_zyx: Sequence[int], stop_zyx: Sequence[int]) -> npt.NDArray[Any]:
        """Return the voxels of a box that lies in the array; FormatError names a chunk that cannot be read."""


def axes_moved(array: npt.NDArray[Any], axes_zyx: Sequence[int]) -> npt.NDArray[Any]:
    """Return (z, y, x) of an array whose other axes have one element; ``axes_zyx`` says where z, y and x are."""
    others = [axis for axis in range(array.ndim) if axis not in axes_zyx]
    return array.transpose(*others, *axes_zyx).reshape([array.shape[axis] for axis in axes_zyx])


def slices_of(
    ndim: int, axes_zyx: Sequence[int], start_zyx: Sequence[int], stop_zyx: Sequence[int]
) -> tuple[slice, ...]:
    """Return the index of a box in an array of more axes than three, the others having one element."""
    index = [slice(0, 1)] * ndim
    for axis, start, stop in zip(axes_zyx, start_zyx, stop_zyx):
        index[axis] = slice(int(start), int(stop))
    return tuple(index)


def three_axes(shape: Sequence[int], label: str) -> tuple[int, int, int]:
    """Return the axes taken as z, y, x: the last three, all before them having one element.

    Raises
    ------
    FormatError
        For fewer than three axes, or more than one element along the others.
    """
    if len(shape) < 3 or any(n != 1 for n in shape[:-3]):
        raise FormatError(
            f"{label}: a volume needs three axes (z, y, x), any others of one element: found shape {tuple(shape)}. "
            "Write each channel or time point as an array of its own."
        )
    return len(shape) - 3, len(shape) - 2, len(shape) - 1


def require_numbers(dtype: np.dtype[Any], label: str) -> None:
    """Raise a :class:`FormatError` unless the array holds plain numbers."""
    if dtype.kind not in "uifb":
        raise FormatError(f"{label}: a volume needs plain numbers: found the type {dtype}.")


def chunks_between(start: Sequence[int], stop: Sequence[int], chunk: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the positions, counted in chunks, of those that a box touches."""
    yield from product(*(range(a // c, (b - 1) // c + 1) for a, b, c in zip(start, stop, chunk)))


def first_damaged(
    read: Callable[[tuple[slice, ...]], object], start: Sequence[int], stop: Sequence[int], chunk: Sequence[int]
) -> tuple[int, ...] | None:
    """Return the position, counted in chunks, of the first chunk of a box that cannot be read; None if all can."""
    for position in chunks_between(start, stop, chunk):
        begins = [p * c for p, c in zip(position, chunk)]
        index = tuple(slice(max(a, b), min(e, b + c)) for a, e, b, c in zip(start, stop, begins, chunk))
        try:
            read(index)
        except Exception:  # every codec has errors of its own
            return position
    return None
