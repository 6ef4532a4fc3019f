"""Volumes in HDF5 files, read box by box."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats.chunked_array import (
    Index3,
    Location,
    axes_moved,
    first_damaged,
    require_numbers,
    slices_of,
    three_axes,
)
from medgan.formats.chunked_placement import Placement, placement_of

if TYPE_CHECKING:
    import h5py

_MOST_ARRAYS = 100


@dataclass(frozen=True)
class Hdf5Array:
    """A volume in an HDF5 file, which is opened for each box: open files do not travel between processes.

    Parameters
    ----------
    location : Location
    shape : tuple of int
        Of the stored array.
    dtype : numpy dtype
    chunk : tuple of int
        Of the stored array; all of it where it is contiguous.
    axes_zyx : three integers
    """

    location: Location
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    axes_zyx: tuple[int, int, int] = field(default=(0, 1, 2))

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.location.label

    @property
    def shape_zyx(self) -> Index3:
        """Voxels along z, y, x."""
        z, y, x = (self.shape[axis] for axis in self.axes_zyx)
        return z, y, x

    @property
    def chunk_zyx(self) -> Index3:
        """What is read from the disk at once."""
        z, y, x = (self.chunk[axis] for axis in self.axes_zyx)
        return z, y, x

    def read_zyx(self, start_zyx: Sequence[int], stop_zyx: Sequence[int]) -> npt.NDArray[Any]:
        """Return the voxels of a box.

        Raises
        ------
        FormatError
            If a chunk is damaged; it is named by its first voxel.
        """
        index = slices_of(len(self.shape), self.axes_zyx, start_zyx, stop_zyx)
        with opened_file(self.location) as file:
            dataset = file[self.location.inner]
            try:
                stored = np.asarray(dataset[index])
            except Exception as error:  # every filter has errors of its own
                begin, end = [s.start for s in index], [s.stop for s in index]
                position = first_damaged(lambda box: dataset[box], begin, end, self.chunk)
                first = tuple(p * c for p, c in zip(position or [0] * len(self.chunk), self.chunk))
                raise FormatError(
                    f"{self.label}: the chunk that begins at voxel {first} is damaged or cannot be decoded "
                    f"({type(error).__name__}). Copy the file again from its source, or choose a region without it."
                ) from None
        return axes_moved(stored, self.axes_zyx)


@contextmanager
def opened_file(location: Location) -> Iterator[h5py.File]:
    """Open a file for reading.

    Raises
    ------
    FormatError
        If it is missing or no HDF5 file.
    """
    import h5py

    name = location.path.name
    if not location.path.is_file():
        raise FormatError(f"{name} does not exist: check the name and the folder.")
    try:
        file = h5py.File(location.path, "r")
    except OSError:
        raise FormatError(f"{name} is no HDF5 file, or it is damaged or truncated: copy it again.") from None
    with file:
        yield file


def open_hdf5(location: Location) -> tuple[Hdf5Array, Placement, Mapping[str, Any]]:
    """Return the volume at a place in a file, what its attributes say about where it lies, and the attributes.

    Raises
    ------
    FormatError
        If there is none or several, or the attributes contradict each other.
    """
    inner = location.inner
    if not inner:
        choices = arrays_in(location)
        if len(choices) != 1:
            named = ", ".join(each.label for each in choices[:8])
            raise FormatError(
                f"{location.label} holds {len(choices)} arrays of three axes, and one is needed"
                f"{f': {named}' if choices else ''}. Name it as file.h5:/path."
            )
        location = choices[0]
    with opened_file(location) as file:
        dataset = file.get(location.inner)
        if dataset is None or not hasattr(dataset, "shape"):
            holds = ", ".join(f"/{name}" for name in _names(file)[:8]) or "none"
            raise FormatError(f"{location.path.name} holds no array /{location.inner}: it holds {holds}.")
        require_numbers(dataset.dtype, location.label)
        axes = three_axes(dataset.shape, location.label)
        if min(dataset.shape) < 1:
            raise FormatError(f"{location.label}: the array is empty: found shape {tuple(dataset.shape)}.")
        attributes = {name: _plain(value) for name, value in dataset.attrs.items()}
        array = Hdf5Array(location, tuple(dataset.shape), dataset.dtype, tuple(dataset.chunks or dataset.shape), axes)
    return array, placement_of(attributes, location.label), attributes


def arrays_in(location: Location) -> list[Location]:
    """Return the volumes of a file: arrays of three axes with more than one element along each.

    Raises
    ------
    FormatError
        If it is no HDF5 file.
    """
    with opened_file(location) as file:
        return [Location(location.path, name) for name in _names(file)[:_MOST_ARRAYS]]


def metadata_text(array: Hdf5Array, attributes: Mapping[str, Any]) -> str:
    """Return shape, type and attributes of an array as text, for a digest."""
    described = [array.location.inner, array.shape, array.dtype.str, attributes]
    return json.dumps(described, sort_keys=True, default=str)


def _names(file: h5py.File) -> list[str]:
    names: list[str] = []

    def visit(name: str, node: Any) -> None:
        shape = getattr(node, "shape", None)
        if shape is not None and len(shape) >= 3 and all(n == 1 for n in shape[:-3]) and node.dtype.kind in "uifb":
            names.append(name)

    file.visititems(visit)
    return sorted(names)


def _plain(value: Any) -> Any:
    """Return an attribute as numbers, texts and lists."""
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value.tolist()]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if isinstance(value, np.generic) else value
