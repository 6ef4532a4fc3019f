"""Instance normalization that is right in every memory layout, and fast in both directions.

``torch.nn.functional.instance_norm`` gives wrong input gradients on the CPU (torch 2.13) when the gradient that
arrives is channels-last: relative error above 1, also at batch size 1. Group normalization with one channel a group,
and batch normalization of one sample, are the same function, and their backward is right.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    samples = [torch.batch_norm(one, None, None, None, None, True, 0.0, eps, False) for one in image.split(1)]
    return samples[0] if len(samples) == 1 else torch.cat(samples)
