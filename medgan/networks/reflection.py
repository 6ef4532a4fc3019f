"""Reflection padding that keeps the channels-last layout, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def reflect(image: Tensor, amount: int, *, axes: tuple[int, ...]) -> Tensor:
    """Pad by reflection without repeating the edge; the result is channels-last.

    Parameters
    ----------
    image : Tensor
        (N, C, ...); each padded axis longer than ``amount``.
    amount : int
        Voxels added at both ends of each axis.
    axes : tuple of int
        Tensor axes to pad.

    Notes
    -----
    ``torch.nn.functional.pad`` computes the same, but returns a contiguous tensor, and so does its backward.

    Examples
    --------
    >>> reflect(torch.arange(4.0).reshape(1, 1, 4), 2, axes=(2,)).flatten().tolist()
    [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return _Reflect.apply(image, amount, axes)


def fold_back(padded: Tensor, amount: int, axes: tuple[int, ...]) -> Tensor:
    """Adjoint of reflection padding: add what lies in the padding to the voxels that it was copied from."""
    if not axes:
        return padded
    axis, others = axes[0], axes[1:]
    last = padded.shape[axis] - 2 * amount - 1
    inner = fold_back(padded.narrow(axis, amount, last + 1), amount, others)
    if not others:
        inner = _empty_channels_last(inner.shape, inner).copy_(inner)
    for distance in range(1, amount + 1):
        before = fold_back(padded.narrow(axis, amount - distance, 1), amount, others)
        after = fold_back(padded.narrow(axis, amount + last + distance, 1), amount, others)
        inner.narrow(axis, distance, 1).add_(before)
        inner.narrow(axis, last - distance, 1).add_(after)
    return inner


class _Reflect(torch.autograd.Function):
    """Reflection padding along some axes in the memory layout of the image; one copy forward and one backward."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, amount: int, axes: tuple[int, ...]) -> Tensor:
        ctx.amount, ctx.axes = amount, axes
        shape = [length + 2 * amount * (axis in axes) for axis, length in enumerate(image.shape)]
        padded = _empty_channels_last(shape, image)
        inner = padded
        for axis in axes:
            inner = inner.narrow(axis, amount, image.shape[axis])
        inner.copy_(image)
        for position, axis in enumerate(axes):
            part = padded
            for later in axes[position + 1 :]:
                part = part.narrow(later, amount, image.shape[later])
            last = amount + image.shape[axis] - 1
            for distance in range(1, amount + 1):
                part.narrow(axis, amount - distance, 1).copy_(part.narrow(axis, amount + distance, 1))
                part.narrow(axis, last + distance, 1).copy_(part.narrow(axis, last - distance, 1))
        return padded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return fold_back(gradients[0], ctx.amount, ctx.axes), None, None


def _empty_channels_last(shape: Sequence[int], like: Tensor) -> Tensor:
    channels_last = (shape[0], *shape[2:], shape[1])
    return torch.empty(channels_last, dtype=like.dtype, device=like.device).movedim(-1, 1)
