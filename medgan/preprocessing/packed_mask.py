"""Masks with 64 voxels in a word: to spread over a neighborhood, or through planes, takes few operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

MaskArray = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]
Reach = npt.NDArray[np.intp]

_BITS = 64
LONGEST_REACH = _BITS - 1
"""How far a voxel may spread along the last axis: less than a word."""
_SWEEPS = 64
"""Rounds after which a flood that still moves is left to others: mazes, which no body is."""


def spread(mask: MaskArray, reach: Reach) -> MaskArray:
    """Return a mask (I, J, K) dilated by a neighborhood that is symmetric in every axis.

    Parameters
    ----------
    mask : (I, J, K) bool
        Nothing lies beyond its border.
    reach : (A, B) int
        At ``[a, b]``: how many voxels the neighborhood extends along the last axis, either way, at a distance of a
        voxels along the first and b along the second axis; -1 where it holds none. It must not grow with a or b.

    Returns
    -------
    (I, J, K) bool

    Examples
    --------
    >>> mask = np.zeros((1, 3, 5), dtype=bool)
    >>> mask[0, 1, 2] = True
    >>> spread(mask, np.array([[2, 0]])).astype(int)[0].tolist()
    [[0, 0, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0]]
    """
    length = mask.shape[2]
    runs = _runs(_packed(mask, gap=max(int(reach[0, 0]), 0)), longest=int(reach[0, 0]))
    result = np.zeros_like(runs[0])
    for i in range(min(reach.shape[0], mask.shape[0])):
        # The part of the neighborhood at this distance along the first axis, which is the same on both sides.
        part = np.zeros_like(result)
        for j in range(min(reach.shape[1], mask.shape[1])):
            if reach[i, j] >= 0:
                _or_both_ways(part, runs[reach[i, j]], j, axis=1)
        _or_both_ways(result, part, i, axis=0)
    return _unpacked(result, length)


def without_holes(mask: MaskArray, axis: int) -> MaskArray | None:
    """Return a mask with the holes of every plane across ``axis`` filled; None where planes are too winding for this.

    Notes
    -----
    As ``scipy.ndimage.binary_fill_holes`` plane by plane: background that no path along rows and columns joins to the
    plane's border becomes part of the mask. The outside is swept through the planes from all four sides, 64 planes at
    once, until nothing changes.
    """
    words = _packed(np.moveaxis(mask, axis, 2), gap=0)
    background = ~words
    outside = np.zeros_like(words)
    for border in ((0,), (-1,), (slice(None), 0), (slice(None), -1)):
        outside[border] = background[border]
    for _ in range(_SWEEPS):
        for along in (0, 1):
            _sweep(np.moveaxis(outside, along, 0), np.moveaxis(background, along, 0))
        # Cheaper than a round that changes nothing.
        beside = outside.copy()
        for along in (0, 1):
            _or_both_ways(beside, outside, 1, axis=along)
        if np.array_equal(beside & background, outside):
            return np.moveaxis(_unpacked(~outside, mask.shape[axis]), 2, axis)
    return None


def _sweep(outside: Words, background: Words) -> None:
    """Carry the outside on through the background, from layer to layer along the first axis, there and back."""
    scratch = np.empty_like(outside[0])
    last = len(outside) - 1
    for step, layers in ((1, range(1, last + 1)), (-1, range(last - 1, -1, -1))):
        for layer in layers:
            np.bitwise_and(outside[layer - step], background[layer], out=scratch)
            np.bitwise_or(outside[layer], scratch, out=outside[layer])


def _packed(mask: MaskArray, *, gap: int) -> Words:
    """Return (I, J, words): bits along the last axis, followed by at least ``gap`` zeros."""
    count = -(-(mask.shape[2] + gap) // _BITS)
    packed = np.zeros((*mask.shape[:2], count * _BITS // 8), dtype=np.uint8)
    packed[:, :, : -(-mask.shape[2] // 8)] = np.packbits(np.ascontiguousarray(mask), axis=2, bitorder="little")
    return packed.view("<u8")


def _unpacked(words: Words, length: int) -> MaskArray:
    return np.unpackbits(words.view(np.uint8), axis=2, count=length, bitorder="little").view(np.bool_)


def _runs(words: Words, *, longest: int) -> list[Words]:
    """Return masks dilated along the last axis by 0, 1, 2 ... voxels either way."""
    # The zeros between two rows are as many as a row spreads, so rows can be shifted as one string of bits.
    flat = words.reshape(-1)
    runs = [flat]
    for voxels in range(1, longest + 1):
        run = runs[-1] | (flat << np.uint64(voxels)) | (flat >> np.uint64(voxels))
        run[1:] |= flat[:-1] >> np.uint64(_BITS - voxels)
        run[:-1] |= flat[1:] << np.uint64(_BITS - voxels)
        runs.append(run)
    return [run.reshape(words.shape) for run in runs]


def _or_both_ways(target: Words, source: Words, voxels: int, *, axis: int) -> None:
    """Add ``source`` to ``target``, shifted by some voxels along an axis to either side."""
    if voxels == 0:
        target |= source
        return
    ahead: tuple[Any, ...] = (slice(None),) * axis + (slice(voxels, None),)
    behind: tuple[Any, ...] = (slice(None),) * axis + (slice(None, -voxels),)
    target[ahead] |= source[behind]
    target[behind] |= source[ahead]
