"""An intensity table applied to tensors, and how far an image is from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from medgan.methods.warm_start import Knots


def apply_table(image: Tensor, knots: Knots) -> Tensor:
    """Map values piecewise linearly; constant beyond the first and last knot.

    Parameters
    ----------
    image : Tensor
        Any shape, normalized source values.
    knots : tuple of (source, target)
        Rising in the source value.

    Returns
    -------
    Tensor
        Normalized target values, float32.

    Examples
    --------
    >>> apply_table(torch.tensor([-2.0, -1.0, 0.0, 1.0]), ((-1.0, 1.0), (1.0, 0.0))).tolist()
    [1.0, 1.0, 0.5, 0.0]
    """
    sources = torch.tensor([source for source, _ in knots], device=image.device)
    targets = torch.tensor([target for _, target in knots], device=image.device)
    values = image.float().clamp(float(sources[0]), float(sources[-1])).contiguous()
    right = torch.searchsorted(sources, values).clamp_(1, len(knots) - 1)
    slopes = targets.diff() / sources.diff()
    return targets[right - 1] + (values - sources[right - 1]) * slopes[right - 1]


def smooth_distance(image: Tensor, table: Tensor, body: Tensor | None, *, window: int) -> Tensor:
    """Return the mean absolute difference in the body after averaging over blocks of ``window`` voxels."""
    pool = F.avg_pool3d if image.ndim == 5 else F.avg_pool2d
    extent = [min(window, length) for length in image.shape[2:]]
    inside = torch.ones_like(image) if body is None else body.to(image.dtype)
    difference = pool((image - table) * inside, extent, ceil_mode=True)
    return difference.abs().sum() / pool(inside, extent, ceil_mode=True).sum().clamp_min(1e-6)
