"""From an image to the bytes of a file, slab by slab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from isal import igzip_threaded, isal_zlib

from medgan.errors import OutputError
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

_SLAB_BYTES = 1 << 22
_GZIP_LEVEL = 2
_INT16 = np.iinfo(np.int16)


def stored_type(image: Volume | LabelMap) -> np.dtype[Any]:
    """Return the little-endian type that an image is written in.

    CT numbers become int16, which every other program reads; uint8 and uint16 stay; everything else is float32.
    """
    if isinstance(image, Volume) and image.quantity is Quantity.HOUNSFIELD:
        return np.dtype("<i2")
    return image.array.dtype.newbyteorder("<")


def encoded_slabs(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> Iterator[memoryview]:
    """Yield the bytes of a (I, J, K) array as ``dtype``, first axis fastest, in slabs along the last axis.

    Notes
    -----
    int16 is rounded to the nearest integer (halves to even) and clipped to -32768 ... 32767.
    """
    slices = max(1, _SLAB_BYTES // max(1, array.shape[0] * array.shape[1] * dtype.itemsize))
    for first in range(0, array.shape[2], slices):
        slab = array[:, :, first : first + slices]
        if dtype.kind == "i":
            slab = np.rint(slab) if slab.dtype.kind == "f" else slab
            slab = np.clip(slab, _INT16.min, _INT16.max)
        # Transposed and made contiguous, the first axis is the fastest.
        yield np.ascontiguousarray(slab.transpose(2, 1, 0), dtype=dtype).reshape(-1).view(np.uint8).data


def write_gzip(file: IO[bytes], head: bytes, slabs: Iterator[memoryview]) -> None:
    """Write ``head`` and ``slabs`` as one gzip member without time and name; the bytes depend on no thread count."""
    threads = max(1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
    with igzip_threaded.open(file, "wb", compresslevel=_GZIP_LEVEL, threads=threads) as packed:
        packed.write(head)
        for slab in slabs:
            packed.write(slab)


def write_zlib(file: IO[bytes], slabs: Iterator[memoryview]) -> int:
    """Write ``slabs`` as one zlib stream and return its length in bytes."""
    packer = isal_zlib.compressobj(level=_GZIP_LEVEL, wbits=15)
    written = 0
    for slab in slabs:
        written += file.write(packer.compress(slab))
    return written + file.write(packer.flush())


def require_patient_grid(grid: Grid, name: str, *, may_shear: bool) -> None:
    """Raise an :class:`OutputError` unless a file in the patient's millimeters can hold the grid."""
    if grid.frame != "patient" or grid.unit != "mm":
        raise OutputError(
            f"{name}: this kind of file holds a patient's image in mm: found a {grid.frame}'s in {grid.unit}. "
            "Write a chunked store such as .zarr instead."
        )
    if not may_shear and grid.is_sheared:
        raise OutputError(
            f"{name}: the axes of the image are not at right angles (shear), which other programs ignore or misread in "
            "this kind of file: write .nii.gz instead, or resample the image first."
        )


def source_mark(image: Volume | LabelMap) -> str:
    """Return who wrote the file, and that the image is synthetic if a generator took part in it."""
    return "SYNTHETIC medgan" if isinstance(image, Volume) and image.provenance.is_synthetic else "medgan"
