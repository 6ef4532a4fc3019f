"""Write an OME-Zarr image block by block; it has its name only when it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import OutputError
from medgan.formats.chunked_array import located
from medgan.formats.ome_zarr import VERSIONS, ome_attributes
from medgan.formats.ome_zarr_levels import Level, coarsened, group_attributes, planned_levels
from medgan.formats.output import write_failure
from medgan.geometry import Box, Grid
from medgan.geometry.box import Index3
from medgan.volume import LabelMap, Provenance, Quantity, Volume

CHUNK: Index3 = (64, 64, 64)
Progress = Callable[[int, int], None]
"""Called with blocks done and blocks in all."""


@dataclass(frozen=True, eq=False)
class OmeZarrOutput:
    """An OME-Zarr image that is being written, under its name with ``.partial`` appended.

    Several processes may write at once, each in its own boxes; boxes are of whole chunks, so no two write the same.

    Parameters
    ----------
    path : Path
        Final place.
    grid : Grid
    dtype : numpy dtype
    unit_ijk : (I, J, K)
        Boxes begin at multiples of it and end there or with the image: a chunk, or a shard where there are shards.
    levels : tuple of Level
    is_labels : bool
    """

    path: Path
    grid: Grid
    dtype: np.dtype[Any]
    unit_ijk: Index3
    levels: tuple[Level, ...]
    is_labels: bool

    @property
    def partial(self) -> Path:
        """Folder that is written to until the image is complete."""
        return partial_path(self.path)

    def require_whole_chunks(self, box: Box) -> None:
        """Refuse a box that shares a chunk with its neighbors.

        Raises
        ------
        OutputError
            If it begins or ends inside a chunk, or reaches beyond the image.
        """
        begins = all(start % unit == 0 for start, unit in zip(box.start_ijk, self.unit_ijk))
        ends = all(s % u == 0 or s == n for s, u, n in zip(box.stop_ijk, self.unit_ijk, self.grid.shape))
        if not (begins and ends and self.grid.box.contains(box)):
            raise OutputError(
                f"{self.path.name} is written in boxes of whole chunks of {_words(self.unit_ijk)} voxels within "
                f"{_words(self.grid.shape)}: found {box.start_ijk} to {box.stop_ijk}."
            )

    def write(self, box: Box, array_ijk: npt.NDArray[Any]) -> None:
        """Write the voxels of a box at full resolution.

        Parameters
        ----------
        box : Box
            Of whole chunks.
        array_ijk : (I, J, K)
            Of the output's type.

        Raises
        ------
        OutputError
            If box, shape or type do not fit, or it cannot be written.
        """
        self.require_whole_chunks(box)
        if array_ijk.shape != box.shape or array_ijk.dtype != self.dtype:
            raise OutputError(
                f"{self.path.name} holds {self.dtype}: a box of {_words(box.shape)} was given {array_ijk.dtype} of "
                f"{_words(array_ijk.shape)}."
            )
        self._put(0, box, array_ijk)

    def read(self, box: Box, *, level: int = 0) -> npt.NDArray[Any]:
        """Return the voxels of a box that lies in a level, (I, J, K)."""
        return np.asarray(self._array(level)[box.slices[::-1]]).transpose(2, 1, 0)

    def add_pyramid(self, progress: Progress | None = None) -> None:
        """Make every coarser level from the one before, a chunk at a time.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        boxes = [(number, box) for number in range(1, len(self.levels)) for box in self._boxes(number)]
        for done, (number, box) in enumerate(boxes, start=1):
            finer, factors = self.levels[number - 1], self.levels[number].factors
            stop = [min(s * f, n) for s, f, n in zip(box.stop_ijk, factors, finer.shape)]
            start = [s * f for s, f in zip(box.start_ijk, factors)]
            voxels = self.read(Box(tuple(start), tuple(stop)), level=number - 1)  # type: ignore[arg-type]
            self._put(number, box, coarsened(voxels, factors, is_labels=self.is_labels))
            if progress is not None:
                progress(done, len(boxes))

    def completed(self, *, overwrite: bool = False) -> Path:
        """Give the image its name, and return it.

        Raises
        ------
        OutputError
            If something is there already.
        """
        require_absent_store(self.path, overwrite=overwrite)
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            os.replace(self.partial, self.path)
        except OSError as error:
            raise OutputError(write_failure(self.path, error)) from None
        return self.path

    def _boxes(self, number: int) -> Iterator[Box]:
        shape = self.levels[number].shape
        starts = (range(0, n, unit) for n, unit in zip(shape, self.unit_ijk))
        for start in product(*starts):
            yield Box(start, tuple(min(s + u, n) for s, u, n in zip(start, self.unit_ijk, shape)))  # type: ignore[arg-type]

    def _put(self, number: int, box: Box, array_ijk: npt.NDArray[Any]) -> None:
        try:
            self._array(number)[box.slices[::-1]] = np.ascontiguousarray(array_ijk.transpose(2, 1, 0))
        except OSError as error:
            raise OutputError(write_failure(self.path, error)) from None

    def _array(self, number: int) -> Any:
        import zarr
        from zarr.storage import LocalStore

        return zarr.open_array(LocalStore(self.partial), path=str(number), mode="r+")


def partial_path(path: Path) -> Path:
    """Return the name that a store has until it is complete."""
    return path.with_name(f"{path.name}.partial")


def require_absent_store(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output in the way of something that may not be replaced: anything but an OME-Zarr image.

    Raises
    ------
    OutputError
        If the name exists and ``overwrite`` is not given, or it is no store of medgan's.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise OutputError(
            f"An output is never replaced unasked: {path.name} exists. Choose another name, or pass --overwrite."
        )
    if not _is_own(path):
        raise OutputError(f"{path.name} is no image that medgan wrote: it is not replaced. Choose another name.")


def create_ome_zarr(
    place: str | Path,
    grid: Grid,
    dtype: npt.DTypeLike,
    *,
    provenance: Provenance,
    quantity: Quantity | None,
    chunk_ijk: Sequence[int] = CHUNK,
    shard_ijk: Sequence[int] | None = None,
    version: str = "0.5",
    overwrite: bool = False,
) -> OmeZarrOutput:
    """Make the arrays and metadata of an image whose voxels are still to be written.

    Parameters
    ----------
    place : str or Path
        Final place, such as ``out.zarr``.
    grid : Grid
        Axis-aligned: OME-Zarr has scale and translation.
    dtype : dtype
    provenance : Provenance
        A synthetic image is marked.
    quantity : Quantity or None
        None for labels.
    chunk_ijk, shard_ijk : three integers
        Shards (0.5 only) gather chunks into fewer files; multiples of the chunk.
    version : {"0.5", "0.4"}
    overwrite : bool
        Replace an image of medgan's that has this name, when the new one is complete.

    Raises
    ------
    OutputError
        If the name or its partial one is taken, the grid cannot be stored, or settings do not fit.
    """
    path = _checked_place(place, grid, chunk_ijk, shard_ijk, version)
    require_absent_store(path, overwrite=overwrite)
    partial = partial_path(path)
    if os.path.lexists(partial):
        raise OutputError(
            f"{partial.name} exists: an earlier run is not complete. Continue it, or remove it to start anew."
        )
    is_labels = quantity is None
    levels = planned_levels(grid, is_labels=is_labels)
    marks = {
        "synthetic": provenance.is_synthetic,
        "quantity": None if quantity is None else quantity.label,
        "frame": grid.frame,
        "provenance": provenance.as_dict(),
    }
    attributes = group_attributes(
        levels, name=path.stem, unit=grid.unit, version=version, is_labels=is_labels, marks=marks
    )
    unit = tuple(shard_ijk or chunk_ijk)
    try:
        _make(partial, levels, np.dtype(dtype), tuple(chunk_ijk), shard_ijk, version, attributes)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(write_failure(path, error)) from None
    return OmeZarrOutput(path, grid, np.dtype(dtype), unit, levels, is_labels)  # type: ignore[arg-type]


def reopen_ome_zarr(place: str | Path, grid: Grid) -> OmeZarrOutput:
    """Return an image that is being written, for another process or after a restart.

    Raises
    ------
    OutputError
        If there is none, or it has another shape than the grid.
    """
    import zarr
    from zarr.storage import LocalStore

    path = Path(place)
    partial = partial_path(path)
    if not _is_own(partial):
        raise OutputError(f"{partial.name} is not there, or is no image that medgan began: start anew.")
    group = zarr.open_group(LocalStore(partial, read_only=True), mode="r")
    array: Any = group["0"]
    if tuple(array.shape[::-1]) != grid.shape:
        raise OutputError(
            f"{partial.name} was begun for an image of {_words(array.shape[::-1])} voxels: found {_words(grid.shape)}."
        )
    marks: Any = group.attrs["medgan"]
    is_labels = marks["quantity"] is None
    unit = tuple((array.shards or array.chunks)[::-1])
    levels = planned_levels(grid, is_labels=is_labels)
    return OmeZarrOutput(path, grid, np.dtype(array.dtype), unit, levels, is_labels)


def write_ome_zarr(
    image: Volume | LabelMap,
    place: str | Path,
    *,
    chunk_ijk: Sequence[int] = CHUNK,
    shard_ijk: Sequence[int] | None = None,
    version: str = "0.5",
    overwrite: bool = False,
) -> Path:
    """Write an image that is in memory as OME-Zarr with a pyramid.

    Raises
    ------
    OutputError
        As :func:`create_ome_zarr`.
    """
    output = create_ome_zarr(
        place,
        image.grid,
        image.array.dtype,
        provenance=image.provenance if isinstance(image, Volume) else Provenance(),
        quantity=image.quantity if isinstance(image, Volume) else None,
        chunk_ijk=chunk_ijk,
        shard_ijk=shard_ijk,
        version=version,
        overwrite=overwrite,
    )
    try:
        output.write(image.grid.box, image.array)
        output.add_pyramid()
        return output.completed(overwrite=overwrite)
    finally:
        shutil.rmtree(output.partial, ignore_errors=True)


def _checked_place(
    place: str | Path, grid: Grid, chunk_ijk: Sequence[int], shard_ijk: Sequence[int] | None, version: str
) -> Path:
    location = located(place)
    path = location.path
    if location.inner or path.suffix.lower() != ".zarr":
        raise OutputError(f"{location.label}: an OME-Zarr output needs a name that ends in .zarr, with nothing inside.")
    if version not in VERSIONS:
        raise OutputError(f"{path.name}: OME-Zarr is written in version {' or '.join(VERSIONS)}: found {version!r}.")
    if min(chunk_ijk) < 1 or (shard_ijk is not None and (version == "0.4" or _odd(shard_ijk, chunk_ijk))):
        raise OutputError(
            f"{path.name}: shards are multiples of chunks, in OME-Zarr 0.5 only: found chunks of {_words(chunk_ijk)}, "
            f"shards of {_words(shard_ijk or chunk_ijk)}, version {version}."
        )
    if not np.allclose(grid.affine[:3, :3], np.diag(grid.spacing), atol=1e-9 * max(grid.spacing)):
        raise OutputError(
            f"{path.name}: OME-Zarr holds a scale and a translation: this grid is turned, flipped or sheared."
        )
    if not path.parent.is_dir():
        raise OutputError(f"{path.name} cannot be written: its folder does not exist: create it first.")
    return path


def _make(
    partial: Path,
    levels: tuple[Level, ...],
    dtype: np.dtype[Any],
    chunk_ijk: tuple[int, ...],
    shard_ijk: Sequence[int] | None,
    version: str,
    attributes: dict[str, Any],
) -> None:
    import zarr
    from zarr.storage import LocalStore

    is_old = version == "0.4"
    group = zarr.create_group(LocalStore(partial), zarr_format=2 if is_old else 3)
    for number, level in enumerate(levels):
        options: dict[str, Any] = (
            {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if is_old else {"dimension_names": ["z", "y", "x"]}
        )
        group.create_array(
            str(number),
            shape=level.shape[::-1],
            dtype=dtype,
            chunks=chunk_ijk[::-1],
            shards=None if shard_ijk is None else tuple(shard_ijk)[::-1],
            fill_value=0,
            **options,
        )
    group.attrs.update(attributes)


def _is_own(path: Path) -> bool:
    import zarr
    from zarr.storage import LocalStore

    try:
        attributes = dict(zarr.open_group(LocalStore(path, read_only=True), mode="r").attrs)
    except Exception:  # whatever it is, it is no group of ours
        return False
    return ome_attributes(attributes) is not None and "medgan" in attributes


def _odd(shard_ijk: Sequence[int], chunk_ijk: Sequence[int]) -> bool:
    return any(s < 1 or s % c for s, c in zip(shard_ijk, chunk_ijk))


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
