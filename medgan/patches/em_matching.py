"""Gray values of one stack made to be distributed as another's, section by section or all alike.

Tables are made once for a volume from counts; applying them needs no neighbor, so blocks give the bits of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.volume import VolumeSource

Matching = Literal["none", "volume", "sections"]
Counts = npt.NDArray[np.int64]
Tables = npt.NDArray[np.uint8]
_SLAB = 16


def gray_counts(source: VolumeSource, *, progress: Callable[[int, int], None] | None = None) -> Counts:
    """Return how often each gray value occurs in every section, (K, 256).

    Parameters
    ----------
    source : VolumeSource
        uint8; sections along the last axis. Read in slabs of a few sections.
    progress : callable, optional
        Called with sections done and sections in all.

    Raises
    ------
    PatchError
        If the image is not uint8, or all zero.
    """
    i, j, k = source.grid.shape
    counts = np.zeros((k, 256), dtype=np.int64)
    for start in range(0, k, _SLAB):
        stop = min(start + _SLAB, k)
        slab = source.read(Box((0, 0, start), (i, j, stop))).array
        if slab.dtype != np.uint8:
            raise PatchError(f"Gray values are matched in uint8 images: found {slab.dtype}. Convert the volume first.")
        for section in range(start, stop):
            counts[section] = np.bincount(slab[:, :, section - start].ravel(), minlength=256)
        if progress is not None:
            progress(stop, k)
    if not counts[:, 1:].any():
        raise PatchError("The source is all zero: there is nothing to work on. Is it the right array?")
    return counts


def matching_tables(counts: Counts, reference: Counts, *, by: Matching) -> Tables | None:
    """Return the gray value that stands for each one in every section, (K, 256) uint8; None for no matching.

    Parameters
    ----------
    counts : (K, 256)
        Of the image; an all-zero section stays so.
    reference : (256,)
        Of what it is to be like.
    by : {"none", "volume", "sections"}

    Notes
    -----
    A value of middle rank q among its section's becomes the reference's quantile q (histogram specification). Black,
    where nothing was imaged, is left out of both: 0 stays 0.
    """
    if by == "none":
        return None
    known = reference.astype(np.float64).copy()
    known[0] = 0
    if not known.any():
        raise PatchError("Gray values are matched to those of a labeled volume: this one is all zero.")
    rank = (np.cumsum(known) - known / 2) / known.sum()
    rows = counts if by == "sections" else np.repeat(counts.sum(axis=0, keepdims=True), len(counts), axis=0)
    tables = np.zeros((len(counts), 256), dtype=np.uint8)
    occurs = np.flatnonzero(known)
    for section, row in enumerate(rows):
        own = row.astype(np.float64).copy()
        own[0] = 0
        if own.any():
            middle = (np.cumsum(own) - own / 2) / own.sum()
            tables[section] = np.rint(np.clip(np.interp(middle, rank[occurs], occurs), 1, 255)).astype(np.uint8)
            tables[section, 0] = 0
    return tables


def matched(array: npt.NDArray[np.uint8], tables: Tables, first_section: int) -> npt.NDArray[np.uint8]:
    """Return (I, J, K) gray values after the tables of sections ``first_section`` and on."""
    sections = np.arange(first_section, first_section + array.shape[2])
    return np.asarray(tables[sections[None, None, :], array])
