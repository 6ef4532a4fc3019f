"""Put the results of overlapping patches together while they come."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from medgan.errors import PatchError
from medgan.patches.layout import Patch, PatchLayout


def stitch(layout: PatchLayout, results: Iterable[tuple[Patch, Tensor | float]], *, into: Tensor) -> None:
    """Add the results of patches, each by its share, to a volume of zeros.

    Parameters
    ----------
    layout : PatchLayout
    results : iterable of (patch, values)
        Every patch of the layout once, in its order; values are float32 of the patch's shape on the volume's device,
        or one number for a patch that was skipped because its result is known.
    into : (I, J, K) float32
        Of the layout's shape; zeros before, the stitched volume afterwards.

    Raises
    ------
    PatchError
        If a patch is missing, repeated, out of order or of another shape.

    Notes
    -----
    Beyond the volume itself the memory is that of one patch. Values are added in the layout's order, so the bits do
    not depend on who computed the patches. Nothing is brought back from the device, so that it need not be waited for.
    """
    if into.shape != layout.shape:
        raise PatchError(f"A stitched volume has its layout's shape {layout.shape}: found {tuple(into.shape)}.")
    shares = [
        {start: torch.from_numpy(values).to(into.device) for start, values in zip(starts, of_axis)}
        for starts, of_axis in zip(layout.starts, layout.axis_shares)
    ]
    share = torch.empty(layout.patch, dtype=torch.float32, device=into.device)
    expected = iter(layout)
    for patch, values in results:
        wanted = next(expected, None)
        if wanted is None or wanted.box != patch.box:
            due = "no more" if wanted is None else wanted.box
            raise PatchError(f"Patches must come once each in the layout's order: found {patch.box}, expected {due}.")
        if isinstance(values, Tensor) and values.shape != layout.patch:
            raise PatchError(f"A patch result must have the patch's shape {layout.patch}: found {tuple(values.shape)}.")
        along_i, along_j, along_k = (shares[axis][start] for axis, start in enumerate(patch.box.start_ijk))
        torch.mul(along_i[:, None, None] * along_j[:, None], along_k, out=share)
        share.mul_(values)
        # An axis shorter than its patch ends before it.
        there = into[patch.box.slices]
        there.add_(share[: there.shape[0], : there.shape[1], : there.shape[2]])
    if next(expected, None) is not None:
        raise PatchError("Patches must cover the volume: the last ones are missing.")
