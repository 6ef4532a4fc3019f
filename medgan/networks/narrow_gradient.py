"""Convolutions whose result is float32 and whose gradients are computed in bfloat16.

Rounding the *forward* pass of a network to bfloat16 turns its gradient: 1 - cosine of the worst tensor is 3 to 8 % for
two generators in a row, whatever is done to the last layers or the discriminators. It halves with every further bit of
mantissa instead of falling to a quarter, as it would if activations changed sign and rectifiers let the gradient of
those through or not, layer after layer (measured is the law, not the flips).
Rounding the *backward* pass is harmless: nothing branches there, and 1 - cosine stays near 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from medgan.errors import NetworkError

_SMALLEST = 3
"""Voxels along an axis below which torch 2.13 leaves parts of a bfloat16 gradient unwritten."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How a kernel moves over an image.

    Parameters
    ----------
    stride, padding : tuple of int
        Along every axis.
    output_padding : tuple of int or None
        Of a transposed convolution; None for an ordinary one.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    output_padding: tuple[int, ...] | None = None


def narrows(image: Tensor, weight: Tensor) -> bool:
    """Tell whether a convolution is part of a training in bfloat16 on a CPU.

    Notes
    -----
    Where no gradient is wanted the whole convolution is bfloat16, as autocast says, which is the fastest. Elsewhere
    than on CPUs too, where none of this was measured.
    """
    return (
        image.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.is_grad_enabled()
        and (image.requires_grad or weight.requires_grad)
        and torch.float64 not in (image.dtype, weight.dtype)
    )


def convolve_exactly(
    convolution: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    steps: Steps,
) -> Tensor:
    """Convolve in float32, also under autocast, with gradients in bfloat16.

    Parameters
    ----------
    convolution : callable
        ``convolution(image, weight, bias)`` computes what ``steps`` says, in float32.
    image : Tensor
        (N, C, ...), float32 or bfloat16.
    weight : Tensor
        (O, C, ...), or (C, O, ...) of a transposed convolution, of any floating type.
    bias : Tensor or None
        (O,).
    steps : Steps
        Stride and padding, for the gradients.

    Returns
    -------
    Tensor
        (N, O, ...), float32.

    Notes
    -----
    Kept for the backward pass are the image and the weight in bfloat16: half of what float32 keeps. The gradient of the
    bias is a sum in float32 of float32 gradients. Images of fewer than three voxels along an axis keep float32, see
    :func:`medgan.networks.residual_discriminator.wide_where_tiny`.
    """
    image, weight = image.float(), weight.float()
    with torch.autocast("cpu", enabled=False):
        result_size = [-(-n // s) for n, s in zip(image.shape[2:], steps.stride)]
        if min(result_size if steps.output_padding is None else image.shape[2:]) < _SMALLEST:
            return convolution(image, weight, bias)
        return _NarrowGradient.apply(convolution, image, weight, bias, steps)


def convolved(module: nn.Module, image: Tensor) -> Tensor:
    """Apply a convolution of a network in its fast form: as it is, or exactly in a training in bfloat16.

    Parameters
    ----------
    module : Conv2d, Conv3d, ConvTranspose2d or ConvTranspose3d
        Without dilation, groups and parametrizations (which change with every look at the weight).
    image : Tensor
        (N, C, ...).
    """
    if not isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        raise NetworkError(f"Only convolutions are applied here: found {type(module).__name__}.")
    if not narrows(image, module.weight):
        return module(image)
    transposed = isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d)
    ones = (1,) * len(module.stride)
    stride, padding, beyond = tuple(module.stride), tuple(map(int, module.padding)), tuple(module.output_padding)

    def convolution(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.convolution(image, weight, bias, stride, padding, ones, transposed, beyond, 1)

    steps = Steps(stride=stride, padding=padding, output_padding=beyond if transposed else None)
    return convolve_exactly(convolution, image, module.weight, module.bias, steps)


class _NarrowGradient(torch.autograd.Function):
    """A convolution with another number format backward than forward."""

    @staticmethod
    def forward(
        ctx: Any,
        convolution: Callable[[Tensor, Tensor, Tensor | None], Tensor],
        image: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        steps: Steps,
    ) -> Tensor:
        ctx.steps = steps
        ctx.save_for_backward(image.bfloat16(), weight.bfloat16())
        return convolution(image, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None, Tensor | None, None]:
        (upstream,), (image, weight), steps = gradients, ctx.saved_tensors, ctx.steps
        _, of_image, of_weight, of_bias, _ = ctx.needs_input_grad
        dims, transposed = image.ndim - 2, steps.output_padding is not None
        for_image, for_weight, _ = torch.ops.aten.convolution_backward(
            upstream.bfloat16(),
            image,
            weight,
            None,
            steps.stride,
            steps.padding,
            (1,) * dims,
            transposed,
            steps.output_padding or (0,) * dims,
            1,
            (of_image, of_weight, False),
        )
        return (
            None,
            for_image,
            for_weight.float() if of_weight else None,
            upstream.sum(dim=[0, *range(2, upstream.ndim)]) if of_bias else None,
            None,
        )
