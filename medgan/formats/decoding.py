"""From stored bytes to values or labels, block by block: no copy of the image in a wider type is ever made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import FormatError
from medgan.formats.byte_stream import fill, opened_segment, require_end
from medgan.formats.stored_image import StoredImage

_BLOCK_VOXELS = 1 << 18
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
    Scaling is computed in float64 on blocks of 2^18 voxels and rounded once, to the float32 nearest to the exact
    value; values beyond the range of float32 count as infinite.
    """
    native = stored.dtype.newbyteorder("=")
    keeps_type = not stored.is_scaled and native in (np.dtype(np.uint8), np.dtype(np.uint16))
    array = _allocated(stored, native if keeps_type else np.dtype(np.float32))
    replaced = 0
    for start, block in _blocks(stored):
        target = array[start : start + block.size]
        with np.errstate(over="ignore", invalid="ignore"):
            target[...] = _scaled(block, stored) if stored.is_scaled else block
        if stored.is_scaled or native.kind == "f":
            bad = ~np.isfinite(target)
            replaced += int(np.count_nonzero(bad))
            target[bad] = outside
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
    for start, block in _blocks(stored):
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
    try:
        return np.empty(stored.voxel_count, dtype)
    except MemoryError:
        gigabytes = stored.voxel_count * dtype.itemsize / 2**30
        raise FormatError(
            f"{stored.name}: the image needs {gigabytes:.1f} GiB of memory, more than there is."
        ) from None


def _blocks(stored: StoredImage) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Yield the index of a block's first voxel and its stored numbers, in a buffer that the next block reuses."""
    scratch = np.empty(min(_BLOCK_VOXELS, stored.voxel_count), stored.dtype)
    start = 0
    for segment in stored.segments:
        left = segment.size // stored.dtype.itemsize
        with opened_segment(segment) as stream:
            while left:
                block = scratch[: min(left, scratch.size)]
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
