"""Volumes larger than memory as laboratories keep them: OME-Zarr, Zarr, HDF5, folders of sections; lazily, in nm.

A specimen has no left and right: its stack's own x, y, z are kept and never flipped. Array axes are (x, y, z), the
files' (z, y, x) reversed, so that sections are stacked along the last axis.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats import chunked_zarr, hdf5, sections
from medgan.formats.chunked_array import HDF5_SUFFIXES, Location, StoredArray, located
from medgan.formats.chunked_placement import Placement, settled
from medgan.formats.chunked_zarr import is_zarr
from medgan.geometry import Box, Grid
from medgan.volume import LabelMap, Provenance, Quantity, Volume


@dataclass(frozen=True, eq=False)
class ChunkedSource:
    """A scalar image in a store, read box by box; a :class:`~medgan.volume.VolumeSource`.

    Parameters
    ----------
    array : StoredArray
    grid : Grid
        Shape (x, y, z), nm, frame of the specimen.
    quantity : Quantity
    provenance : Provenance
        Its source is the digest of the store's metadata, not of its voxels: a store may hold terabytes.
    """

    array: StoredArray = field(repr=False)
    grid: Grid
    quantity: Quantity
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.array.label

    def read(self, box: Box) -> Volume:
        """Return the voxels in ``box``, uint8 and uint16 as stored; beyond the image the quantity's outside value.

        Raises
        ------
        FormatError
            If a chunk cannot be read; it is named.
        """
        return Volume(
            _read(self.array, self.grid, box, self.quantity.outside),
            self.grid.cropped(box),
            self.quantity,
            self.provenance,
        )


@dataclass(frozen=True, eq=False)
class ChunkedLabels:
    """Classes or instances in a store, read box by box; a :class:`~medgan.volume.LabelSource`.

    Parameters
    ----------
    array : StoredArray
    grid : Grid
    """

    array: StoredArray = field(repr=False)
    grid: Grid

    @property
    def label(self) -> str:
        """Name for messages."""
        return self.array.label

    def read(self, box: Box) -> LabelMap:
        """Return the labels in ``box``, unsigned, up to uint64; beyond the image 0.

        Raises
        ------
        FormatError
            If a chunk cannot be read, or a label is negative.
        """
        array = _read(self.array, self.grid, box, 0)
        if array.dtype.kind == "i":
            if array.size and array.min() < 0:
                raise FormatError(f"{self.label}: labels must not be negative: found {array.min()}.")
            array = array.astype(array.dtype.str.replace("i", "u"))
        return LabelMap(array, self.grid.cropped(box))


def is_chunked(text: str | Path) -> bool:
    """Tell whether something is a place that :func:`open_chunked` reads, from its name and what kind of file it is.

    Examples
    --------
    >>> is_chunked("cells.h5:/volumes/raw"), is_chunked("scan.nii.gz")
    (True, False)
    """
    location = located(text)
    if location.path.suffix.lower() in (*HDF5_SUFFIXES, ".zarr"):
        return True
    return is_zarr(location.path) or (not location.inner and bool(sections.section_files(location.path)))


def open_chunked(
    place: str | Path,
    *,
    voxel_size_zyx_nm: Sequence[float] | None = None,
    quantity: Quantity = Quantity.EM_SIGNAL,
) -> ChunkedSource:
    """Open an image without reading its voxels.

    Parameters
    ----------
    place : str or Path
        A Zarr store or an array in it (``volume.zarr``, ``volume.zarr:/raw``), an array in an HDF5 file
        (``file.h5:/path``), or a folder of PNG or TIFF sections.
    voxel_size_zyx_nm : three floats, optional
        Where the metadata do not state it.
    quantity : Quantity

    Raises
    ------
    FormatError
        If it is none of these, holds several volumes, does not say how large a voxel is, or is contradicted.
    """
    array, placement, attributes, digest = _opened(place, voxel_size_zyx_nm)
    marks = attributes.get("medgan")
    is_synthetic = isinstance(marks, Mapping) and bool(marks.get("synthetic"))
    return ChunkedSource(
        array, _grid(array, placement), quantity, Provenance(sources=(digest,), is_synthetic=is_synthetic)
    )


def open_chunked_labels(place: str | Path, *, voxel_size_zyx_nm: Sequence[float] | None = None) -> ChunkedLabels:
    """Open instance or class numbers without reading them; places as for :func:`open_chunked`.

    Raises
    ------
    FormatError
        As :func:`open_chunked`, or if the values are no whole numbers.
    """
    array, placement, _, _ = _opened(place, voxel_size_zyx_nm)
    if array.dtype.kind not in "uib":
        raise FormatError(f"{array.label}: labels must be whole numbers: found {array.dtype}.")
    return ChunkedLabels(array, _grid(array, placement))


def described(place: str | Path) -> tuple[StoredArray, Placement, str]:
    """Return an array, what its metadata say about where it lies, and its kind; the voxel size may be missing.

    Raises
    ------
    FormatError
        As :func:`open_chunked`, except for a missing voxel size.
    """
    location = located(place)
    array, placement, _, kind, _ = _found(location)
    return array, placement, kind


def grid_of(array: StoredArray, placement: Placement) -> Grid | None:
    """Return the grid of an array, None where its voxel size is not known."""
    return None if placement.voxel_size_zyx_nm is None else _grid(array, placement)


def _opened(
    place: str | Path, voxel_size_zyx_nm: Sequence[float] | None
) -> tuple[StoredArray, Placement, Mapping[str, Any], str]:
    array, stated, attributes, _, text = _found(located(place))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return array, settled(stated, voxel_size_zyx_nm, array.label), attributes, digest


def _found(location: Location) -> tuple[StoredArray, Placement, Mapping[str, Any], str, str]:
    """Return the array, its placement, its attributes, its kind and its metadata as text."""
    path = location.path
    if path.suffix.lower() in HDF5_SUFFIXES:
        array, placement, attributes = hdf5.open_hdf5(location)
        return array, placement, attributes, "hdf5", hdf5.metadata_text(array, attributes)
    if is_zarr(path) or path.suffix.lower() == ".zarr":
        volume, placement, attributes = chunked_zarr.open_zarr(location)
        kind = "ome_zarr" if placement.where.startswith("OME") else "zarr"
        inside = Location(path, volume.array.path)
        return volume, placement, attributes, kind, chunked_zarr.metadata_text(inside)
    if not path.exists():
        raise FormatError(f"{path.name} does not exist: check the name and the folder.")
    stack = sections.open_sections(path)
    return stack, Placement(), {}, "sections", sections.metadata_text(stack)


def _grid(array: StoredArray, placement: Placement) -> Grid:
    spacing = placement.voxel_size_zyx_nm or (1.0, 1.0, 1.0)
    return Grid.axis_aligned(
        array.shape_zyx[::-1],
        spacing=spacing[::-1],
        origin=placement.offset_zyx_nm[::-1],
        unit="nm",
        frame="specimen",
    )


def _read(array: StoredArray, grid: Grid, box: Box, outside: float) -> npt.NDArray[Any]:
    if grid.box.contains(box):
        return array.read_zyx(box.start_ijk[::-1], box.stop_ijk[::-1]).transpose(2, 1, 0)
    result = np.full(box.shape, outside, dtype=array.dtype)
    if grid.box.intersects(box):
        common = grid.box.intersection(box)
        stored = array.read_zyx(common.start_ijk[::-1], common.stop_ijk[::-1])
        result[common.shifted([-s for s in box.start_ijk]).slices] = stored.transpose(2, 1, 0)
    return result
