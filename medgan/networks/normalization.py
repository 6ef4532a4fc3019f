"""Instance normalization that is right in every memory layout, and fast in both directions.

Three functions of torch 2.13 compute it, and on a CPU each has a fault in channels-last layout:

* ``torch.nn.functional.instance_norm`` gives wrong input gradients when the gradient that arrives is channels-last:
  relative error above 1, also at batch size 1;
* group normalization with one channel a group takes the variance as a difference of two sums, which is lost in
  rounding where a channel's mean is far above its deviation, as in air: errors of 0.7 deviations at a ratio of 100;
* batch normalization of one sample adds a channel up number by number, which costs digits too (0.004 deviations at a
  ratio of 1000), and is right only where image and gradient say by their strides in which layout they are, which a
  sample of its own need not do.

A training takes the last, mended, as does bfloat16, whose own rounding is coarser; in float32 without gradients mean
and variance are computed here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from medgan.networks.narrow_gradient import narrows
from medgan.networks.reused_memory import rectified

_PART = 1 << 18
"""Numbers of an image that are added up at once: a megabyte."""


def instance_norm(image: Tensor, *, eps: float = 1e-5) -> Tensor:
    """Give every channel of every sample mean 0 and variance 1 over its spatial extent.

    Parameters
    ----------
    image : Tensor
        (N, C, I, J) or (N, C, I, J, K), floating point, any memory layout.
    eps : float
        Added to the (biased) variance.

    Returns
    -------
    Tensor
        Same shape and dtype; the statistics are float32 also where the image is bfloat16.

    Notes
    -----
    ``(x - mean(x)) / sqrt(var(x) + eps)``; Ulyanov, Vedaldi and Lempitsky 2016 (arXiv 1607.08022), without affine
    parameters as in the CycleGAN authors' code. Deviation: a channel of one voxel, which
    ``torch.nn.functional.group_norm`` refuses, becomes 0.

    With gradients on a CPU every sample is normalized as a batch of its own: the backward of group normalization takes,
    channels-last, 8 times as long in float32 and 40 times in bfloat16. Without gradients, channels-last on a CPU, so is
    bfloat16; float32 takes the statistics of :func:`channel_statistics`. Elsewhere it is group normalization.

    Examples
    --------
    >>> instance_norm(torch.tensor([[[[1.0, 3.0]]]]), eps=0.0)
    tensor([[[[-1.,  1.]]]])
    """
    is_trained = torch.is_grad_enabled() and image.requires_grad
    if image.device.type != "cpu" or not (is_trained or _is_channels_last(image)):
        return torch.group_norm(image, image.shape[1], None, None, eps)
    is_narrow = image.dtype in (torch.bfloat16, torch.float16)
    normalized = _normalized if is_trained or is_narrow else _measured
    samples = [normalized(one, eps) for one in image.split(1)]
    return samples[0] if len(samples) == 1 else torch.cat(samples)


def activated_norm(image: Tensor, *, slope: float, eps: float = 1e-5) -> Tensor:
    """Normalize as :func:`instance_norm` does and multiply what is negative by ``slope``.

    Parameters
    ----------
    image : Tensor
        (N, C, I, J) or (N, C, I, J, K), floating point.
    slope : float
        0 for ReLU, between for LeakyReLU, 1 for the normalization alone.
    eps : float
        Added to the variance.

    Returns
    -------
    Tensor
        Same shape and dtype.

    Notes
    -----
    In a training in bfloat16 on a CPU a float32 image has the same result, and gradients in bfloat16 as those of
    :mod:`medgan.networks.narrow_gradient`: instead of image and result in float32 the normalized image is kept in
    bfloat16, a quarter of the memory. It has the signs of the float32 one, so that the same gradients pass.

    Examples
    --------
    >>> activated_norm(torch.tensor([[[[1.0, 3.0]]]]), slope=0.0, eps=0.0)
    tensor([[[[0., 1.]]]])
    """
    if image.dtype == torch.float32 and narrows(image, image):
        samples = [_NarrowNorm.apply(_plainly_strided(one), slope, eps) for one in image.split(1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)
    normalized = instance_norm(image, eps=eps)
    if slope == 1:
        return normalized
    return rectified(normalized, slope=slope)


class _NarrowNorm(torch.autograd.Function):
    """Normalization of one sample and its activation, in float32 forward and in bfloat16 backward."""

    @staticmethod
    def forward(ctx: Any, sample: Tensor, slope: float, eps: float) -> Tensor:
        normalized, _, inverse_deviation = torch.native_batch_norm(sample, None, None, None, None, True, 0.0, eps)
        ctx.slope = slope
        ctx.save_for_backward(normalized.bfloat16(), inverse_deviation)
        if slope == 1:
            return normalized
        return F.leaky_relu(normalized, slope, inplace=True) if slope else F.relu(normalized, inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (normalized, inverse_deviation), slope = ctx.saved_tensors, ctx.slope
        upstream = _plainly_strided(gradients[0]).bfloat16()
        if slope != 1:
            upstream = torch.ops.aten.leaky_relu_backward(upstream, normalized, slope, False)
        # Of what is normalized already the mean is 0 and the deviation 1; that of the image enters as a weight.
        mean, deviation = torch.zeros_like(inverse_deviation), torch.ones_like(inverse_deviation)
        of_sample, _, _ = torch.ops.aten.native_batch_norm_backward(
            upstream, normalized, inverse_deviation, None, None, mean, deviation, True, 0.0, (True, False, False)
        )
        return of_sample, None, None


def _normalized(sample: Tensor, eps: float) -> Tensor:
    normalized = torch.batch_norm(_plainly_strided(sample), None, None, None, None, True, 0.0, eps, False)
    if normalized.requires_grad:
        normalized.register_hook(_plainly_strided)
    return normalized


def channel_statistics(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and (biased) variance of every channel of a channels-last sample.

    Parameters
    ----------
    sample : Tensor
        (1, C, ...), channels-last, float32 or float64.

    Returns
    -------
    mean, variance : (C,)
        Of the sample's dtype.

    Notes
    -----
    The variance is that of differences from the mean. Both are sums of sums over parts that stay in a core's memory,
    added in float64, so that neither many voxels nor a mean far above the deviation cost digits.
    """
    voxels = sample.movedim(1, -1).flatten(0, -2)
    parts = voxels.split(max(1, _PART // voxels.shape[1]))
    total = torch.zeros(voxels.shape[1], dtype=torch.float64)
    for part in parts:
        total += part.sum(0)
    mean = (total / len(voxels)).to(sample.dtype)
    total.zero_()
    for part in parts:
        total += (part - mean).square_().sum(0)
    return mean, (total / len(voxels)).to(sample.dtype)


def _measured(sample: Tensor, eps: float) -> Tensor:
    mean, variance = channel_statistics(sample)
    return torch.batch_norm(sample, None, None, mean, variance, False, 0.0, eps, False)


def _is_channels_last(image: Tensor) -> bool:
    layout = torch.channels_last if image.ndim == 4 else torch.channels_last_3d
    return not image.is_contiguous() and image.is_contiguous(memory_format=layout)


def _plainly_strided(sample: Tensor) -> Tensor:
    """Return a (1, C, ...) tensor, the same memory, with the stride along the first axis that its size gives.

    Notes
    -----
    That stride means nothing, and views leave any number there, such as 1 x C for a channels-last sample that was
    indexed and got its axis back. The backward of batch normalization (torch 2.13, CPU) then takes it for contiguous:
    relative error 1.4 where image and gradient differ in layout.
    """
    size = sample[0].numel()
    if sample.stride(0) == size:
        return sample
    return sample.as_strided(sample.shape, (size, *sample.stride()[1:]))
