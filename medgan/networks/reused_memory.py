"""Results in the memory of what they are computed from, where nobody will ask for that again."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def rectified(new: Tensor, *, slope: float = 0.0) -> Tensor:
    """Return a tensor with what is negative multiplied by ``slope``.

    Parameters
    ----------
    new : Tensor
        Floating point; the caller has just computed it and does not use it again.
    slope : float
        0 for ReLU, between 0 and 1 for LeakyReLU.

    Returns
    -------
    Tensor
        In the same memory where no gradient is recorded, else in its own.

    Notes
    -----
    A number in bfloat16 is negative where its bits, read as an integer, are: the larger of that integer and 0 are the
    bits of its ReLU, at a quarter of the time that a CPU takes for bfloat16 itself. Deviation: a NaN whose sign is set
    becomes 0 so. Images and a bundle's weights are finite, so none arises before a sum exceeds 3e38.

    Examples
    --------
    >>> rectified(torch.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    if _is_recorded(new):
        return F.leaky_relu(new, slope) if slope else F.relu(new)
    if slope:
        return F.leaky_relu(new, slope, inplace=True)
    if new.dtype == torch.bfloat16 and new.device.type == "cpu":
        new.view(torch.int16).clamp_min_(0)
        return new
    return F.relu(new, inplace=True)


def added(new: Tensor, other: Tensor) -> Tensor:
    """Return ``new + other``, in the memory of ``new`` where :func:`rectified` would use it and both have one type.

    Examples
    --------
    >>> added(torch.tensor([1.0]), torch.tensor([2.0]))
    tensor([3.])
    """
    if _is_recorded(new) or _is_recorded(other) or new.dtype != other.dtype:
        return new + other
    return new.add_(other)


def _is_recorded(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad
