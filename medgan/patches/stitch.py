"""Put the results of overlapping patches together while they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from medgan.errors import PatchError
from medgan.geometry import Box
from medgan.patches.layout import Patch, PatchLayout

FloatArray = npt.NDArray[np.float32]


def stitched(
    layout: PatchLayout, results: Iterable[tuple[Patch, FloatArray | float]]
) -> Iterator[tuple[Box, FloatArray]]:
    """Yield finished slabs of the volume in order, from patch results in the layout's order.

    Parameters
    ----------
    layout : PatchLayout
    results : iterable of (patch, values)
        Every patch of the layout once, in its order; values are float32 of the patch's shape, or one number for a
        patch that was skipped because its result is known.

    Yields
    ------
    (box, values)
        Consecutive slabs along the first axis that together are the volume, float32.

    Raises
    ------
    PatchError
        If a patch is missing, repeated, out of order or of another shape.

    Notes
    -----
    Memory is bounded by one patch length times one plane, not by the volume: a slab is handed out as soon as no later
    patch reaches it. Values are added in the layout's order, so the bits do not depend on who computed the patches.
    """
    depth, plane = layout.patch[0], (max(layout.shape[1], layout.patch[1]), max(layout.shape[2], layout.patch[2]))
    buffer = np.zeros((depth, *plane), dtype=np.float32)
    scratch = np.empty(layout.patch, dtype=np.float32)
    first = 0
    expected = iter(layout)
    for patch, values in results:
        wanted = next(expected, None)
        if wanted is None or wanted.box != patch.box:
            due = "no more" if wanted is None else wanted.box
            raise PatchError(f"Patches must come once each in the layout's order: found {patch.box}, expected {due}.")
        if isinstance(values, np.ndarray) and values.shape != layout.patch:
            raise PatchError(f"A patch result must have the patch's shape {layout.patch}: found {values.shape}.")
        start = patch.box.start_ijk[0]
        if start > first:
            yield _slab(layout, first, start, buffer[: start - first].copy())
            kept = depth - (start - first)
            buffer[:kept] = buffer[start - first :].copy()
            buffer[kept:] = 0.0
            first = start
        (_, j, k), (_, j_end, k_end) = patch.box.start_ijk, patch.box.stop_ijk
        np.multiply(patch.weights, values, out=scratch)
        buffer[:, j:j_end, k:k_end] += scratch
    if next(expected, None) is not None:
        raise PatchError("Patches must cover the volume: the last ones are missing.")
    yield _slab(layout, first, layout.shape[0], buffer[: layout.shape[0] - first].copy())


def _slab(layout: PatchLayout, start: int, stop: int, values: FloatArray) -> tuple[Box, FloatArray]:
    _, height, width = layout.shape
    return Box((start, 0, 0), (stop, height, width)), values[:, :height, :width]
