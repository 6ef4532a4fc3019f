"""Agreement of edges between two images of different contrast."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_correlation(first: Tensor, second: Tensor, *, signed: bool, eps: float = 1e-8) -> Tensor:
    """Return how well the spatial gradients of two images agree; it is symmetric.

    Parameters
    ----------
    first, second : Tensor
        (N, 1, I, J[, K]), one shape.
    signed : bool
        True: edges must have one sign (published). False: only the places and strengths of edges count, for contrasts
        where dark tissue may become bright, such as T1-weighted MR and CT.
    eps : float
        Added to the product of norms, so that a constant image gives 0.

    Returns
    -------
    Tensor
        At most 1, float32; 1 for equal images with an edge along every axis.

    Notes
    -----
    Hiasa et al. 2018 (arXiv 1803.06629), gradient correlation: the normalized cross-correlation of the gradients along
    each axis, averaged over the axes; their loss is 1 minus it. From memory, not checked;
    forward differences are a free choice. Deviation: ``signed=False`` correlates the absolute
    gradients.
    """
    terms = []
    for axis in range(2, first.ndim):
        if first.shape[axis] < 2:
            continue
        a, b = first.float().diff(dim=axis).flatten(1), second.float().diff(dim=axis).flatten(1)
        if not signed:
            a, b = a.abs(), b.abs()
        a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
        terms.append((a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1) + eps))
    return torch.stack(terms).mean() if terms else first.new_zeros(())
