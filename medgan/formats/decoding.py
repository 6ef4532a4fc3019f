"""From stored bytes to values or labels, block by block: no copy of the image in a wider type is ever made."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats.byte_stream import fill, opened_segment, require_end
from medgan.formats.read_ahead import ahead
from medgan.formats.stored_image import StoredImage

_BLOCK_VOXELS = 1 << 17
_HUGE_PAGE = 1 << 21
_BLOCKS_AHEAD = 3
_LARGEST_FLOAT_LABEL = 2**32 - 1


def decoded_values(stored: StoredImage, *, outside: float) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Return the values of an image.

    Parameters
    ----------
    stored : StoredImage
    outside : float
        Takes the place of NaN and infinity.

    Returns
    -------
    array : (I, J, K)
        uint8 and uint16 where stored so and unscaled, else float32; first axis fastest in memory, as in the file.
    notices : tuple of str
        How many voxels were replaced, if any.

    Raises
    ------
    FormatError
        If the data are truncated, damaged or longer than declared, or no voxel has a finite value.

    Notes
    -----
    Scaling is computed in float64 on blocks of 2^17 voxels and rounded once, to the float32 nearest to the exact
    value; values beyond the range of float32 count as infinite.
    """
    native = stored.dtype.newbyteorder("=")
    keeps_type = not stored.is_scaled and native in (np.dtype(np.uint8), np.dtype(np.uint16))
    array = _allocated(stored, native if keeps_type else np.dtype(np.float32))
    replaced = 0
    with closing(_blocks(stored)) as blocks:
        for start, block in blocks:
            target = array[start : start + block.size]
            with np.errstate(over="ignore", invalid="ignore"):
                target[...] = _scaled(block, stored) if stored.is_scaled else block
            if stored.is_scaled or native.kind == "f":
                is_finite = np.isfinite(target)
                if not is_finite.all():
                    replaced += int(target.size - np.count_nonzero(is_finite))
                    target[~is_finite] = outside
    if replaced == array.size:
        raise FormatError(f"{stored.name}: an image needs finite values: every voxel is NaN or infinite.")
    notices: tuple[str, ...] = ()
    if replaced:
        notices = (f"{replaced} of {array.size} voxels are NaN or infinite: they were set to {outside:g}.",)
    return array.reshape(stored.grid.shape, order="F"), notices


def decoded_labels(stored: StoredImage) -> npt.NDArray[Any]:
    """Return the labels of an image.

    Returns
    -------
    (I, J, K) unsigned integer
        The stored type if that is unsigned and at most 32 bits wide, else the narrowest type that holds them.

    Raises
    ------
    FormatError
        If a value is negative, not whole or not finite, or as :func:`decoded_values`.
    """
    native = stored.dtype.newbyteorder("=")
    is_whole = not stored.is_scaled and native.kind in "ui"
    kind = np.dtype(f"u{native.itemsize}") if is_whole else np.dtype(np.uint32)
    array = _allocated(stored, kind)
    with closing(_blocks(stored)) as blocks:
        for start, block in blocks:
            values = _scaled(block, stored) if stored.is_scaled else block
            if is_whole:
                refused = values < 0 if native.kind == "i" else np.zeros(0, bool)
            else:
                with np.errstate(invalid="ignore"):
                    refused = ~((values >= 0) & (values <= _LARGEST_FLOAT_LABEL) & (values == np.floor(values)))
            if refused.any():
                raise FormatError(
                    f"{stored.name}: a label image needs whole numbers from 0 on: found {values[refused][0]:g}. "
                    "If it is an image of values, read it as one; else give each label its number first."
                )
            array[start : start + block.size] = values
    if not is_whole or native.kind == "i" or native.itemsize > 4:
        array = array.astype(np.min_scalar_type(int(array.max())), copy=False)
    return array.reshape(stored.grid.shape, order="F")


def _allocated(stored: StoredImage, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    for segment in stored.segments:
        segment.require_plausible()
    size = stored.voxel_count * dtype.itemsize
    try:
        # Room to begin and end where huge pages do: NumPy asks for them, and one costs as much as two small ones.
        room = np.empty(size + 2 * _HUGE_PAGE if size > _HUGE_PAGE else size, np.uint8)
    except MemoryError:
        gigabytes = size / 2**30
        raise FormatError(
            f"{stored.name}: the image needs {gigabytes:.1f} GiB of memory, more than there is."
        ) from None
    first = -room.ctypes.data % _HUGE_PAGE if size > _HUGE_PAGE else 0
    return room[first : first + size].view(dtype)


def _blocks(stored: StoredImage) -> Generator[tuple[int, npt.NDArray[Any]]]:
    """Yield the index of a block's first voxel and its stored numbers, in a buffer that a later block reuses.

    Compressed blocks of an image of more than one are decoded by a thread of its own, ahead of their use.
    """
    buffers = np.empty((_BLOCKS_AHEAD, min(_BLOCK_VOXELS, stored.voxel_count)), stored.dtype)
    is_packed = any(segment.compression != "none" for segment in stored.segments)
    if is_packed and stored.voxel_count > _BLOCK_VOXELS:
        return ahead(_filled(stored, buffers), steps=len(buffers))
    return _filled(stored, buffers[:1])


def _filled(stored: StoredImage, buffers: npt.NDArray[Any]) -> Generator[tuple[int, npt.NDArray[Any]]]:
    start, turns = 0, cycle(buffers)
    for segment in stored.segments:
        left = segment.size // stored.dtype.itemsize
        with opened_segment(segment) as stream:
            while left:
                buffer = next(turns)
                block = buffer[: min(left, buffer.size)]
                fill(stream, block.view(np.uint8).data, segment.path.name)
                yield start, block
                start += block.size
                left -= block.size
            require_end(stream, segment.path.name)


def _scaled(block: npt.NDArray[Any], stored: StoredImage) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        values = block.astype(np.float64)
        values *= stored.slope
        values += stored.intercept
    return values
