"""Zarr stores (versions 2 and 3, sharded or not): which arrays they hold, and one of them as a lazy array."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
from medgan.formats.ome_zarr import OmeImage, ome_image

if TYPE_CHECKING:
    import zarr

METADATA_FILES = ("zarr.json", ".zarray", ".zgroup")
_DEEPEST = 3
_MOST_ARRAYS = 100


@dataclass(frozen=True)
class ZarrArray:
    """A volume in a Zarr store.

    Parameters
    ----------
    label : str
    array : zarr.Array
    axes_zyx : three integers
        Which of its axes are z, y, x.
    """

    label: str
    array: zarr.Array[Any] = field(repr=False)
    axes_zyx: tuple[int, int, int]

    @property
    def shape_zyx(self) -> Index3:
        """Voxels along z, y, x."""
        z, y, x = (int(self.array.shape[axis]) for axis in self.axes_zyx)
        return z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a stored value."""
        return np.dtype(self.array.dtype)

    @property
    def chunk_zyx(self) -> Index3:
        """What is read from the disk at once."""
        z, y, x = (int(self.array.chunks[axis]) for axis in self.axes_zyx)
        return z, y, x

    def read_zyx(self, start_zyx: Sequence[int], stop_zyx: Sequence[int]) -> npt.NDArray[Any]:
        """Return the voxels of a box.

        Raises
        ------
        FormatError
            If a chunk is damaged; it is named by its key in the store.
        """
        index = slices_of(self.array.ndim, self.axes_zyx, start_zyx, stop_zyx)
        try:
            stored = np.asarray(self.array[index])
        except Exception as error:  # every codec has errors of its own
            raise FormatError(self._damage(index, error)) from None
        return axes_moved(stored, self.axes_zyx)

    def _damage(self, index: tuple[slice, ...], error: Exception) -> str:
        unit = self.array.shards or self.array.chunks
        begin, end = [s.start for s in index], [s.stop for s in index]
        position = first_damaged(lambda box: self.array[box], begin, end, unit)
        if position is None:
            return f"{self.label} cannot be read ({type(error).__name__}). Is its disk still there?"
        key = self.array.metadata.encode_chunk_key(position)
        inner = "/".join(part for part in (self.array.path, key) if part)
        return (
            f"{self.label}: the chunk {inner} is damaged or cannot be decoded ({type(error).__name__}). Copy it again "
            "from its source, or choose a region without it."
        )


def is_zarr(path: Path) -> bool:
    """Tell whether a folder is a Zarr array or group."""
    return path.is_dir() and any((path / name).is_file() for name in METADATA_FILES)


def open_zarr(location: Location) -> tuple[ZarrArray, Placement, Mapping[str, Any]]:
    """Return the volume at a place in a store, what its metadata say about where it lies, and its attributes.

    Raises
    ------
    FormatError
        If there is none or several, or the metadata are damaged or contradict each other.
    """
    label = location.label
    node = _opened(location)
    if _is_array(node):
        return _array(location, node)
    image = ome_image(dict(node.attrs), label)
    if image is not None:
        return _of_image(location, node, image)
    choices = images_in(location)
    if len(choices) == 1 and choices[0] != location:
        return open_zarr(choices[0])
    if not choices:
        raise FormatError(f"{label} holds no array of three axes.")
    raise FormatError(
        f"{label} holds {len(choices)} volumes, and one is needed: "
        f"{', '.join(choice.label for choice in choices[:8])}{' and more' if len(choices) > 8 else ''}."
    )


def images_in(location: Location) -> list[Location]:
    """Return the volumes of a store, each once: multiscale images and single arrays, in the order of their names.

    Raises
    ------
    FormatError
        If the metadata are damaged.
    """
    return list(_walked(location, _opened(location), 0))[:_MOST_ARRAYS]


def metadata_text(location: Location) -> str:
    """Return the metadata of an array as text, for a digest."""
    node = _opened(location)
    return json.dumps([node.metadata.to_dict(), dict(node.attrs)], sort_keys=True, default=str)


def _walked(location: Location, node: Any, depth: int) -> Iterator[Location]:
    if _is_array(node):
        if len(node.shape) >= 3 and all(n == 1 for n in node.shape[:-3]) and np.dtype(node.dtype).kind in "uifb":
            yield location
        return
    is_image = ome_image(dict(node.attrs), location.label) is not None
    if is_image:
        yield location
    if depth == _DEEPEST:
        return
    for name, member in sorted(node.members()):
        inside = Location(location.path, f"{location.inner}/{name}".strip("/"))
        # Below a multiscale image only its labels are images of their own.
        if not is_image or (not _is_array(member) and name == "labels"):
            yield from _walked(inside, member, depth + 1)


def _array(location: Location, node: zarr.Array[Any]) -> tuple[ZarrArray, Placement, Mapping[str, Any]]:
    attributes = dict(node.attrs)
    image, parent = _image_around(location)
    if image is not None:
        return _volume(location, node, image.axes_zyx), image.placement, {**parent, **attributes}
    names = _dimension_names(node)
    axes = three_axes(node.shape, location.label)
    if names is not None and {"z", "y", "x"} <= set(names):
        axes = (names.index("z"), names.index("y"), names.index("x"))
    return _volume(location, node, axes), placement_of(attributes, location.label), attributes


def _of_image(location: Location, group: Any, image: OmeImage) -> tuple[ZarrArray, Placement, Mapping[str, Any]]:
    inside = Location(location.path, f"{location.inner}/{image.dataset}".strip("/"))
    node = _opened(inside)
    if not _is_array(node):
        raise FormatError(f"{location.label}: the OME-Zarr metadata name an array {image.dataset!r} that is not there.")
    attributes = {**dict(group.attrs), **dict(node.attrs)}
    return _volume(location, node, image.axes_zyx), image.placement, attributes


def _volume(location: Location, node: zarr.Array[Any], axes: tuple[int, int, int]) -> ZarrArray:
    require_numbers(np.dtype(node.dtype), location.label)
    others = [n for axis, n in enumerate(node.shape) if axis not in axes]
    if len(node.shape) <= max(axes) or any(n != 1 for n in others):
        raise FormatError(
            f"{location.label}: a volume needs one channel and one time point: found shape {tuple(node.shape)}. Write "
            "each channel or time point as an image of its own."
        )
    if min(node.shape) < 1:
        raise FormatError(f"{location.label}: the array is empty: found shape {tuple(node.shape)}.")
    return ZarrArray(location.label, node, axes)


def _image_around(location: Location) -> tuple[OmeImage | None, Mapping[str, Any]]:
    """Return the multiscale image that an array is one resolution of, and the attributes of its group."""
    parts = [part for part in location.inner.split("/") if part]
    folder, inner = (location.path, "/".join(parts[:-1])) if parts else (location.path.parent, "")
    name = parts[-1] if parts else location.path.name
    if not is_zarr(folder / inner):
        return None, {}
    around = _opened(Location(folder, inner))
    if _is_array(around):
        return None, {}
    attributes = dict(around.attrs)
    return ome_image(attributes, location.label, dataset=name), attributes


def _dimension_names(node: Any) -> list[str] | None:
    names = getattr(node.metadata, "dimension_names", None) or node.attrs.get("_ARRAY_DIMENSIONS")
    return None if names is None else [str(name).lower() for name in names]


def _is_array(node: Any) -> bool:
    return hasattr(node, "shape")


def _opened(location: Location) -> Any:
    import zarr
    from zarr.storage import LocalStore

    if not location.path.exists():
        raise FormatError(f"{location.path.name} does not exist: check the name and the folder.")
    if not is_zarr(location.path / location.inner) and not is_zarr(location.path):
        raise FormatError(f"{location.path.name} is no Zarr store: it has none of {', '.join(METADATA_FILES)}.")
    try:
        return zarr.open(LocalStore(location.path, read_only=True), path=location.inner, mode="r")
    except FileNotFoundError:
        choices = ", ".join(each.inner for each in images_in(Location(location.path, ""))[:8]) if location.inner else ""
        holds = f" It holds {choices}." if choices else ""
        raise FormatError(f"{location.path.name} holds no array {location.inner!r}.{holds}") from None
    except Exception as error:  # damaged metadata fail in many ways
        raise FormatError(f"{location.label}: its Zarr metadata are damaged ({type(error).__name__}).") from None
