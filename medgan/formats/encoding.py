"""From an image to the bytes of a file, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from medgan.errors import OutputError
from medgan.formats.gzip_member import GZIP_LEVEL, Part, write_member
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.memory_order import copy_turned

_SLAB_BYTES = 1 << 22
_ROUNDED_VOXELS = 1 << 16
_TURNED_ROWS = 32
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
    int16 is rounded to the nearest integer (halves to even) and clipped to -32768 ... 32767. The next slab may take the
    memory of the one before.
    """
    slabs = _slabs(array, dtype)
    scratch = np.empty(_bytes_of(slabs[0], dtype), np.uint8)
    for slab in slabs:
        yield _encoded(slab, dtype, scratch)


def write_gzip(file: IO[bytes], head: bytes, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> None:
    """Write ``head`` and an array as of :func:`encoded_slabs` as one gzip member; the same array gives the same bytes.

    Several threads encode and compress slabs, see :func:`~medgan.formats.gzip_member.write_member`.
    """
    slabs = _slabs(array, dtype)
    parts: list[Part] = [partial(_encoded, slab, dtype) for slab in slabs]
    write_member(file, head, parts, part_bytes=_bytes_of(slabs[0], dtype))


def write_zlib(file: IO[bytes], slabs: Iterator[memoryview]) -> int:
    """Write ``slabs`` as one zlib stream and return its length in bytes."""
    packer = isal_zlib.compressobj(level=GZIP_LEVEL, wbits=15)
    written = 0
    for slab in slabs:
        written += file.write(packer.compress(slab))
    return written + file.write(packer.flush())


def _slabs(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> list[npt.NDArray[Any]]:
    """Cut along the last axis into slabs of one thickness, if possible an even number of them for two threads."""
    count = -(-array.size * dtype.itemsize // _SLAB_BYTES)
    slices = -(-array.shape[2] // (count + count % 2)) if count > 1 else array.shape[2]
    return [array[:, :, first : first + slices] for first in range(0, array.shape[2], slices)]


def _bytes_of(slab: npt.NDArray[Any], dtype: np.dtype[Any]) -> int:
    return slab.size * dtype.itemsize


def _encoded(slab: npt.NDArray[Any], dtype: np.dtype[Any], scratch: npt.NDArray[np.uint8]) -> memoryview:
    """Return the bytes of a slab, in ``scratch`` unless they lie in memory as they are to be."""
    is_turned = abs(slab.strides[2]) < abs(slab.strides[0])
    if is_turned or dtype.kind == "i":
        encoded = scratch[: _bytes_of(slab, dtype)].view(dtype).reshape(slab.shape[::-1])
        (_turn if is_turned else _round)(slab, encoded.transpose(2, 1, 0))
    else:
        # Transposed and made contiguous, the first axis is the fastest; no copy where it is already.
        encoded = np.ascontiguousarray(slab.transpose(2, 1, 0), dtype=dtype)
    return encoded.reshape(-1).view(np.uint8).data


def _turn(slab: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:
    """Fill a target whose first axis is the fastest from a slab whose last axis is, a few rows at a time."""
    is_rounded = target.dtype.kind == "i"
    # Laid side by side first: NumPy is slow on runs as short as a slab is thick.
    side_by_side = np.empty((_TURNED_ROWS, *slab.shape[1:]), np.float32 if is_rounded else slab.dtype)
    for i in range(0, slab.shape[0], _TURNED_ROWS):
        block = side_by_side[: slab.shape[0] - i]
        np.copyto(block, slab[i : i + _TURNED_ROWS])
        if is_rounded:
            _round_in_place(block)
        copy_turned(target[i : i + _TURNED_ROWS], block)


def _round(slab: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:
    """Fill a target of integers from a slab in the same order, a few slices at a time."""
    slices = max(1, _ROUNDED_VOXELS // (slab.shape[0] * slab.shape[1]))
    scratch = np.empty((*slab.shape[:2], min(slices, slab.shape[2])), np.float32, order="F")
    for k in range(0, slab.shape[2], slices):
        block = scratch[:, :, : slab.shape[2] - k]
        np.copyto(block, slab[:, :, k : k + slices])
        _round_in_place(block)
        np.copyto(target[:, :, k : k + slices], block, casting="unsafe")


def _round_in_place(block: npt.NDArray[np.float32]) -> None:
    np.rint(block, out=block)
    np.clip(block, _INT16.min, _INT16.max, out=block)


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
