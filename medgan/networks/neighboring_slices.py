"""2.5-D: a volume as a batch of its slices, each with its neighbors as channels, and back."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def slices_as_channels(image: Tensor, slices: int) -> Tensor:
    """Make a two-dimensional batch of a volume's slices along its last axis, neighbors stacked as channels.

    Parameters
    ----------
    image : Tensor
        (N, C, I, J, K).
    slices : int
        Odd; beyond the first and last slice these are repeated.

    Returns
    -------
    Tensor
        (N * K, C * slices, I, J): slices of one volume after another, channel ``c * slices + s`` holds the slice ``s -
        slices // 2`` further of channel c.

    Examples
    --------
    >>> import torch
    >>> slices_as_channels(torch.arange(3.0).reshape(1, 1, 1, 1, 3), 3).flatten(1).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 2.0], [1.0, 2.0, 2.0]]
    """
    reach = slices // 2
    padded = F.pad(image, (reach, reach, 0, 0, 0, 0), mode="replicate") if reach else image
    return padded.unfold(-1, slices, 1).permute(0, 4, 1, 5, 2, 3).flatten(2, 3).flatten(0, 1)


def slices_as_volume(planes: Tensor, count: int) -> Tensor:
    """Put slices of ``count`` volumes back: (count * K, C, I, J) to (count, C, I, J, K)."""
    return planes.unflatten(0, (count, -1)).movedim(1, -1)
