"""Instance normalization that is right in every memory layout, and fast in both directions.

``torch.nn.functional.instance_norm`` gives wrong input gradients on the CPU (torch 2.13) when the gradient that
arrives is channels-last: relative error above 1, also at batch size 1. Group normalization with one channel a group,
and batch normalization of one sample, are the same function, and their backward is right; that of batch normalization
only where image and gradient say by their strides in which layout they are, which a sample of its own need not do.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from medgan.networks.narrow_gradient import narrows


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

    Without gradients it is group normalization, whose forward is the faster one. With gradients on a CPU every sample
    is normalized as a batch of its own: the backward of group normalization takes, channels-last, 8 times as long in
    float32 and 40 times in bfloat16 (torch 2.13), where it also rounds the statistics.

    Examples
    --------
    >>> instance_norm(torch.tensor([[[[1.0, 3.0]]]]), eps=0.0)
    tensor([[[[-1.,  1.]]]])
    """
    if not (torch.is_grad_enabled() and image.requires_grad and image.device.type == "cpu"):
        return torch.group_norm(image, image.shape[1], None, None, eps)
    samples = [_normalized(one, eps) for one in image.split(1)]
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
    return F.leaky_relu(normalized, slope) if slope else F.relu(normalized)


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
    normalized.register_hook(_plainly_strided)
    return normalized


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
