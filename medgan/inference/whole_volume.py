"""Run a network once over a whole prepared image, so that its norms see the statistics of the volume."""

from __future__ import annotations

import numpy as np
import torch

from medgan.cohort import Case
from medgan.errors import InferenceError
from medgan.geometry import Box
from medgan.inference.live_memory import GIB, available_bytes, needed_bytes
from medgan.inference.patchwise import PatchwiseResult, answer_in, checked_pair
from medgan.inference.pieces import Progress
from medgan.volume import LabelMap, Quantity

MARGIN = 8
"""Voxels of surroundings around the body that the network sees as well, where the image has them; a free choice."""
MULTIPLE = 16
"""Lengths are multiples of the power of two in the trained patch's length, at most of this."""


def run_whole(
    network: torch.nn.Module,
    prepared: Case,
    *,
    patch: tuple[int, int, int],
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: Progress | None = None,
) -> PatchwiseResult:
    """Run a translation network over one prepared case, in one piece.

    Parameters
    ----------
    network : module
        Called with an image and a body mask, both (1, 1, I, J, K) float32; returns an image of that shape.
    prepared : Case
        One NORMALIZED image and the label map ``body`` on its grid.
    patch : (I, J, K)
        That of the training: what lengths the network takes.
    device, precision
        Where, and in which number format convolutions run.
    progress : callable, optional
        Called once.

    Returns
    -------
    PatchwiseResult
        Of one patch, which is skipped where there is no body.

    Raises
    ------
    InferenceError
        If the image is not normalized, the network changes the shape, or memory does not suffice.
    GeometryError
        If the body is not on the image's grid.

    Notes
    -----
    The piece starts at a multiple of what halvings need, as patches on their lattice do, so that a network without
    norm gives the same there; beyond the image it holds the outside value, as a patch does. At a fixed number of
    threads the bits depend on nothing but weights and image.
    """
    image, body = checked_pair(prepared)
    normalized = np.full(image.shape, Quantity.NORMALIZED.outside, dtype=np.float32)
    box = whole_box(body, patch)
    if box is not None:
        require_memory(network, box.shape, device=device)
        result = answer_in(network, image, body, box, device, precision)
        if result.shape != box.shape:
            raise InferenceError(f"A network must keep the shape {box.shape}: found {result.shape}.")
        common = box.intersection(image.grid.box)
        normalized[common.slices] = result[common.shifted([-s for s in box.start_ijk]).slices]
        normalized[body.array == 0] = Quantity.NORMALIZED.outside
    if progress is not None:
        progress(1, 1)
    return PatchwiseResult(normalized, 1, int(box is None))


def whole_box(body: LabelMap, patch: tuple[int, int, int]) -> Box | None:
    """Return the body's box with its margin, in lengths that the network takes; None where there is no body.

    It may reach beyond the end of the image, never before its start.
    """
    inside = body.mask()
    if not inside.any():
        return None
    start, stop = [], []
    for axis, length in enumerate(patch):
        there = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        multiple = min(MULTIPLE, length & -length)
        first = max(0, int(there[0]) - MARGIN) // multiple * multiple
        last = min(inside.shape[axis], int(there[-1]) + 1 + MARGIN)
        # Shorter than this a reflection of the stem's reach has nothing to reflect.
        extent = max(last - first, min(MULTIPLE, length))
        start.append(first)
        stop.append(first + -(-extent // multiple) * multiple)
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def require_memory(
    network: torch.nn.Module, shape: tuple[int, int, int], *, device: torch.device | str, available: int | None = None
) -> int:
    """Return the bytes that a run in one piece needs; refuse it where they are not there.

    Parameters
    ----------
    available : int, optional
        Bytes; asked of the device if not given.

    Raises
    ------
    InferenceError
    """
    needed = needed_bytes(network, shape)
    available = available_bytes(device) if available is None else available
    if available is not None and needed > available:
        size = " x ".join(str(n) for n in shape)
        raise InferenceError(
            f"A translation in one piece needs {needed / GIB:.2f} GiB of memory for {size} voxels (estimated): "
            f"{torch.device(device).type} has {available / GIB:.2f} GiB available. Leave out --whole to work patch by "
            "patch, or use a machine with more memory; --precision bfloat16 needs about half."
        )
    return needed
