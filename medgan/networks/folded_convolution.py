"""Convolutions rewritten, without changing what they compute, into shapes that CPU kernels are fast at.

Four identities of a convolution, each for two and three spatial dimensions. All take the weights of the ordinary
convolution and rearrange them on the fly, so that one set of weights serves the plain and the fast form.

* few input channels: the taps along the last axis become channels (:func:`convolve_few_inputs`);
* few output channels: one output channel a tap, two neighbors together, then a shifted sum
  (:func:`convolve_few_outputs`);
* stride two: blocks of two voxels an axis become channels (:func:`convolve_blocks`);
* a small volume of batch size 1: two halves with a halo become a batch of two (:func:`convolve_halves`,
  :func:`convolve_transposed_halves`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medgan.networks.narrow_gradient import Steps, convolve_exactly, narrows
from medgan.networks.reflection import fold_back, reflect

CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
"""The memory format of the fast form, by number of spatial dimensions."""

_CONVOLVE = {2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {2: F.conv_transpose2d, 3: F.conv_transpose3d}

# torch 2.13 sends a float32 3-D convolution of batch size 1 with a kernel of at most 3 along the last two axes to a
# column-matrix kernel ("slow_conv3d", 4 to 9 times slower) unless channels x I x J exceeds this number.
_SLOW_BELOW = 20480

# Voxels of the result that a convolution to few channels computes as channels of one: kernels work on blocks of 16
# channels, which the 14 of two times seven taps fill and seven do not. Of 1, 2, 4 and 8, 2 is the fastest (AVX-512).
_TOGETHER = 2

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By number of bytes."""


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return float32 for narrower types, else the type itself: sums and results are float32 at least."""
    return torch.promote_types(dtype, torch.float32)


def convolve(
    image: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int | tuple[int, ...] = 1, padding: int = 0
) -> Tensor:
    """Convolve in two or three dimensions, as the weight's shape says."""
    return _CONVOLVE[weight.ndim - 2](image, weight, bias, stride, padding)


def convolve_transposed(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Transposed convolution with a kernel of 3 that doubles every axis: stride 2, padding 1, output padding 1."""
    return _TRANSPOSED[image.ndim - 2](image, weight, bias, 2, 1, 1)


class _Fold(torch.autograd.Function):
    """Taps along the last axis as channels: ``out[t * channels + c, ..., k] = image[c, ..., k + t]``."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, taps: int) -> Tensor:
        ctx.taps = taps
        voxels = image.movedim(1, -1).contiguous()  # (N, ..., K, C): a window is one stretch of memory
        as_whole = _INTEGERS.get(voxels.shape[-1] * voxels.element_size())
        if as_whole is None:
            windows = voxels.flatten(-2).unfold(-1, taps * voxels.shape[-1], voxels.shape[-1]).contiguous()
        else:
            # All channels of a voxel are copied as one number, which is a quarter faster.
            windows = voxels.view(as_whole).squeeze(-1).unfold(-1, taps, 1).contiguous().view(image.dtype)
        return windows.movedim(-1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _UnFold.apply(gradients[0], ctx.taps), None


class _UnFold(torch.autograd.Function):
    """Adjoint of :class:`_Fold`: ``out[c, ..., m] = sum_t folded[t * channels + c, ..., m - t]``."""

    @staticmethod
    def forward(ctx: Any, folded: Tensor, taps: int) -> Tensor:
        ctx.taps = taps
        length = folded.shape[-1]
        by_tap = folded.unflatten(1, (taps, -1))
        shape = (len(folded), by_tap.shape[2], *folded.shape[2:-1], length + taps - 1)
        # In bfloat16 a sum of seven terms would round seven times.
        image = torch.zeros(shape, dtype=wide(folded.dtype), device=folded.device)
        for tap in range(taps):
            image[..., tap : tap + length] += by_tap[:, tap]
        return image.to(folded.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Fold.apply(gradients[0], ctx.taps), None


class _ReflectedSum(torch.autograd.Function):
    """Sum over taps along a diagonal: ``out[c, ..., k] = sum_t image[c * taps + t, ..., r(k + t - n)]``.

    ``n`` is half of the taps and ``r`` reflects positions into the image.
    """

    @staticmethod
    def forward(ctx: Any, image: Tensor, taps: int) -> Tensor:
        ctx.taps, ctx.dtype = taps, image.dtype
        reach, length = taps // 2, image.shape[-1]
        by_tap = image.unflatten(1, (-1, taps))
        total = by_tap[:, :, reach].to(wide(image.dtype), copy=True).contiguous()
        for tap in range(taps):
            values, shift = by_tap[:, :, tap], tap - reach
            if shift < 0:
                total[..., -shift:] += values[..., : length + shift]
            elif shift > 0:
                total[..., : length - shift] += values[..., shift:]
            # What a reflection adds, position by position: to turn a few of them around takes longer than all the rest.
            for k in range(-shift):
                total[..., k] += values[..., -shift - k]
            for k in range(shift):
                total[..., length - 1 - k] += values[..., length - 1 - shift + k]
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        taps, reach = ctx.taps, ctx.taps // 2
        padded = F.pad(gradients[0].to(ctx.dtype), (2 * reach, 2 * reach))
        # Before reflection gradient[t, m] = g[m - t + n]: the windows of g, read from the last tap to the first.
        windows = padded.flip(-1).unfold(-1, taps, 1).movedim(1, -2).flip(-3).flatten(-2).movedim(-1, 1)
        return fold_back(windows, reach, (windows.ndim - 1,)), None


def convolve_few_inputs(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Valid convolution of an image with one or two channels.

    Parameters
    ----------
    image : Tensor
        (N, C, ..., K + taps - 1).
    weight : Tensor
        (O, C, ..., taps).
    bias : Tensor or None
        (O,).

    Returns
    -------
    Tensor
        (N, O, ..., K) in channels-last layout.

    Notes
    -----
    ``sum_{c,t} w[o,c,..,t] x[c,..,k+t]`` is a convolution with taps * C channels and a kernel of 1 along the last axis.
    """
    taps = weight.shape[-1]
    folded = weight.movedim(-1, 1).flatten(1, 2).unsqueeze(-1).contiguous()
    if torch.is_autocast_enabled(image.device.type) and not narrows(image, weight):
        # Fold the half-sized numbers instead of folding first and converting seven times as many.
        image = image.to(torch.get_autocast_dtype(image.device.type))
    return convolve_halves_exactly(_Fold.apply(image, taps), folded, bias)


def convolve_few_outputs(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution to one or two channels that keeps the size, padded by reflection.

    Parameters
    ----------
    image : Tensor
        (N, C, ..., K).
    weight : Tensor
        (O, C, ..., taps), an odd kernel.
    bias : Tensor or None
        (O,).

    Returns
    -------
    Tensor
        (N, O, ..., K), float32 at least.

    Notes
    -----
    A kernel of 1 along the last axis commutes with padding along it, so the last axis is padded after the convolution,
    where there are O * taps channels instead of C. Along the axis before, neighbors are channels of one result.
    """
    taps, beside = weight.shape[-1], image.ndim - 2
    # (O, together, taps, C, ...): the kernel at each of its places along the axis before the last
    placed = torch.stack([F.pad(weight, (0, 0, place, _TOGETHER - 1 - place)) for place in range(_TOGETHER)], dim=1)
    folded = placed.movedim(-1, 2).flatten(0, 2).unsqueeze(-1)
    inner = reflect(image, taps // 2, axes=tuple(range(2, image.ndim - 1)))
    if missing := -image.shape[beside] % _TOGETHER:
        # Padding by nothing would copy the image.
        inner = F.pad(inner, (0, 0, 0, missing))
    stride = tuple(_TOGETHER if axis == beside else 1 for axis in range(2, image.ndim))
    together = _ReflectedSum.apply(convolve_halves_exactly(inner, folded, None, stride=stride), taps)
    result = together.unflatten(1, (-1, _TOGETHER)).movedim(2, beside + 1).flatten(beside, beside + 1)
    result = result.narrow(beside, 0, image.shape[beside])
    return result if bias is None else result + bias.to(result.dtype).view(1, -1, *(1,) * (image.ndim - 2))


def convolve_blocks(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution with a kernel of 4, stride 2 and zero padding 1, for an image of one or two channels.

    Parameters
    ----------
    image : Tensor
        (N, C, ...), each spatial axis at least 2.
    weight : Tensor
        (O, C, 4, ...).
    bias : Tensor or None
        (O,).

    Returns
    -------
    Tensor
        (N, O, ...), each axis half (rounded down) of the image's.

    Notes
    -----
    With blocks of 2 voxels an axis as channels this is a convolution with a kernel of 2 and stride 1.
    """
    dims = image.ndim - 2
    if torch.is_autocast_enabled(image.device.type) and not narrows(image, weight):
        image = image.to(torch.get_autocast_dtype(image.device.type))
    # An odd axis has one voxel at its end that no kernel position reaches.
    pads = [pad for size in reversed(image.shape[2:]) for pad in (1, 1 - size % 2)]
    blocks = _space_to_channels(F.pad(image, pads))
    folded = _space_to_channels(weight).contiguous()
    return convolve_halves_exactly(blocks.contiguous(memory_format=CHANNELS_LAST[dims]), folded, bias)


def _space_to_channels(image: Tensor) -> Tensor:
    """Blocks of two voxels along every spatial axis as channels: (N, C, 2I, ...) becomes (N, C * 2^d, I, ...)."""
    dims = image.ndim - 2
    for axis in range(dims):
        image = image.unflatten(2 + 2 * axis, (-1, 2))
    outer, inner = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return image.permute(0, 1, *inner, *outer).flatten(1, 1 + dims)


def convolve_halves(
    image: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int | tuple[int, ...] = 1, padding: int = 0
) -> Tensor:
    """Convolve as :func:`convolve` does, off torch's slow path for small float32 volumes of batch size 1.

    Parameters
    ----------
    image : Tensor
        (N, C, ...).
    weight : Tensor
        (O, C, ...).
    bias : Tensor or None
        (O,).
    stride : int or tuple of int
        Along every axis, or by axis.
    padding : int
        Zeros at both ends of every axis.

    Returns
    -------
    Tensor
        (N, O, ...).

    Notes
    -----
    Where torch would take the slow path, the first axis is cut into two halves that overlap by the kernel's extent
    minus the stride, and the halves go through as a batch of two, which torch sends to oneDNN.
    """
    if not _takes_slow_path(image, weight):
        return convolve(image, weight, bias, stride=stride, padding=padding)
    step = stride if isinstance(stride, int) else stride[0]
    rows = (image.shape[2] + 2 * padding - weight.shape[2]) // step + 1
    half = (rows + 1) // 2
    extent = (half - 1) * step + weight.shape[2]
    missing = half * step + extent - image.shape[2] - padding
    padded = F.pad(image, (0, 0, 0, 0, padding, max(missing, 0)))
    halves = torch.cat((padded[:, :, :extent], padded[:, :, half * step : half * step + extent]))
    halves = halves.contiguous(memory_format=torch.channels_last_3d)
    result = F.conv3d(halves, weight, bias, stride, (0, padding, padding))
    return torch.cat((result[:1], result[1:, :, : rows - half]), dim=2)


def convolve_transposed_halves(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve as :func:`convolve_transposed` does, off torch's slow path for small float32 volumes of batch size 1.

    Parameters
    ----------
    image : Tensor
        (N, C, ...).
    weight : Tensor
        (C, O, 3, ...).
    bias : Tensor or None
        (O,).

    Returns
    -------
    Tensor
        (N, O, ...), every axis twice as long.

    Notes
    -----
    Two rows of the result depend on one row of the image and the next: halves overlap by one row.
    """
    if not _takes_slow_path(image, weight):
        return convolve_transposed(image, weight, bias)
    rows = image.shape[2]
    half = (rows + 1) // 2
    padded = F.pad(image, (0, 0, 0, 0, 0, 2 * half + 1 - rows))
    halves = torch.cat((padded[:, :, : half + 1], padded[:, :, half:]))
    result = F.conv_transpose3d(halves.contiguous(memory_format=torch.channels_last_3d), weight, bias, 2, 1, 1)
    return torch.cat((result[:1, :, : 2 * half], result[1:, :, : 2 * (rows - half)]), dim=2)


def convolve_halves_exactly(
    image: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int | tuple[int, ...] = 1, padding: int = 0
) -> Tensor:
    """Convolve as :func:`convolve_halves` does; in a training in bfloat16 the result is float32, its gradient bfloat16.

    See :mod:`medgan.networks.narrow_gradient`.
    """
    convolution = partial(convolve_halves, stride=stride, padding=padding)
    if not narrows(image, weight):
        return convolution(image, weight, bias)
    ones = (1,) * (image.ndim - 2)
    strides = (stride,) * len(ones) if isinstance(stride, int) else stride
    return convolve_exactly(convolution, image, weight, bias, Steps(stride=strides, padding=(padding,) * len(ones)))


def convolve_transposed_halves_exactly(image: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve as :func:`convolve_transposed_halves` does; in a training in bfloat16 as in the function above."""
    if not narrows(image, weight):
        return convolve_transposed_halves(image, weight, bias)
    ones = (1,) * (image.ndim - 2)
    steps = Steps(stride=(2,) * len(ones), padding=ones, output_padding=ones)
    return convolve_exactly(convolve_transposed_halves, image, weight, bias, steps)


def _takes_slow_path(image: Tensor, weight: Tensor) -> bool:
    if image.ndim != 5 or image.shape[0] != 1 or image.device.type != "cpu" or image.dtype != torch.float32:
        return False
    if torch.is_autocast_enabled("cpu") or (weight.shape[-1] > 3 and weight.shape[-2] > 3):
        return False
    return image.shape[1] * image.shape[2] * image.shape[3] <= _SLOW_BELOW
