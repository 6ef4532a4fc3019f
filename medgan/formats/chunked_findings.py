"""Findings of volumes larger than memory: Zarr stores, HDF5 files and stacks of sections, judged by their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medgan.errors import FormatError
from medgan.formats import chunked_zarr, hdf5
from medgan.formats.chunked import described, grid_of, is_chunked, open_chunked
from medgan.formats.chunked_array import HDF5_SUFFIXES, Location, located
from medgan.formats.chunked_zarr import is_zarr
from medgan.formats.files import ImageFile
from medgan.formats.finding import Finding
from medgan.formats.sections import section_files
from medgan.volume import Quantity

_UNKNOWN_SIZE = "Nothing says how large a voxel is: pass --voxel-size z,y,x in nm to the verbs that use it as a stack."


@dataclass(frozen=True)
class ChunkedImageSource:
    """The voxels of a volume in a store."""

    location: Location

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Read all voxels into memory; a specimen's axes are its own, so there is nothing to assume."""
        source = open_chunked(_place(self.location), quantity=quantity)
        volume = source.read(source.grid.box)
        return ImageFile(volume, (), volume.provenance.is_synthetic, None, name)


def is_store(path: Path) -> bool:
    """Tell whether a folder or file below a searched one is a volume of its own, whose insides are not searched."""
    return is_zarr(path) if path.is_dir() else path.suffix.lower() in HDF5_SUFFIXES


def names_array(text: Path) -> bool:
    """Tell whether a path is none of the file system but names an array inside a store: ``volume.zarr:/raw``."""
    return not text.exists() and bool(located(text).inner) and is_chunked(text) and located(text).path.exists()


def is_section_stack(folder: Path) -> bool:
    """Tell whether a folder holds sections, two at least, and no other images or folders."""
    sections = section_files(folder)
    if len(sections) < 2:
        return False
    others = (entry for entry in folder.iterdir() if entry not in sections and entry.name[0] != ".")
    return all(entry.is_file() and entry.suffix.lower() in (".txt", ".md", ".csv", ".json", "") for entry in others)


def chunked_findings(places: list[Path]) -> list[Finding]:
    """Return a finding for every volume at some places: stores, arrays inside them, folders of sections."""
    return [finding for place in places for finding in _findings(located(place))]


def _findings(location: Location) -> list[Finding]:
    path = location.path
    try:
        if location.inner or not (is_zarr(path) or path.suffix.lower() in HDF5_SUFFIXES):
            return [_finding(location)]
        inside = chunked_zarr.images_in(location) if is_zarr(path) else hdf5.arrays_in(location)
    except FormatError as error:
        kind = "zarr" if is_zarr(path) else "hdf5"
        return [Finding(kind, None, None, "refused", (str(error),), 1, None, stem=path.stem, label=location.label)]
    return [_finding(each) for each in inside]


def _finding(location: Location) -> Finding:
    stem = "_".join([location.path.stem, *location.inner.split("/")]).rstrip("_")
    try:
        array, placement, kind = described(_place(location))
    except FormatError as error:
        is_zarr_like = is_zarr(location.path) or location.path.suffix.lower() == ".zarr"
        kind = "hdf5" if location.path.suffix.lower() in HDF5_SUFFIXES else "zarr" if is_zarr_like else "sections"
        return Finding(kind, None, None, "refused", (str(error),), 1, None, stem=stem, label=location.label)
    grid = grid_of(array, placement)
    return Finding(
        kind=kind,
        modality=None,
        grid=grid,
        verdict="refused" if grid is None else "accepted",
        reasons=(f"Values are {array.dtype}.", *(() if grid is not None else (_UNKNOWN_SIZE,))),
        files=len(section_files(location.path)) if kind == "sections" else 1,
        source=ChunkedImageSource(location),
        stem=stem,
        label=location.label,
        shape=array.shape_zyx[::-1],
    )


def _place(location: Location) -> str:
    return f"{location.path}:/{location.inner}" if location.inner else str(location.path)
