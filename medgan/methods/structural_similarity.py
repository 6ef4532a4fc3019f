"""Structural similarity as a differentiable function of two tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_AVERAGE: dict[int, Callable[..., Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}


def structural_similarity(first: Tensor, second: Tensor, *, data_range: float = 2.0, window: int = 7) -> Tensor:
    """Return the mean structural similarity (SSIM) of two images; it is symmetric.

    Parameters
    ----------
    first, second : Tensor
        (N, C, I, J[, K]), one shape.
    data_range : float
        Largest minus smallest possible value; 2 for images in [-1, 1].
    window : int
        Edge of the cubic window; cut to the extent of shorter axes.

    Returns
    -------
    Tensor
        A number in [-1, 1], 1 for equal images, float32.

    Notes
    -----
    Wang et al. 2004 (doi 10.1109/TIP.2003.819861), equation 13, with K1 = 0.01, K2 = 0.03, averaged over all windows
    that lie inside the image. Deviations: uniform window of 7 voxels (as scikit-image by default) instead of a Gaussian
    of 11; population instead of sample covariance.
    """
    dims = first.ndim - 2
    extent = [min(window, length) for length in first.shape[2:]]
    luminance, contrast = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def mean(image: Tensor) -> Tensor:
        # One axis at a time: 3 x 7 instead of 7^3 sums a voxel.
        for axis, length in enumerate(extent):
            kernel = [1] * dims
            kernel[axis] = length
            image = _AVERAGE[dims](image, kernel, stride=1)
        return image

    x, y = first.float(), second.float()
    channels = x.shape[1]
    moments = mean(torch.cat((x, y, x * x, y * y, x * y), dim=1)).split(channels, dim=1)
    mean_x, mean_y = moments[0], moments[1]
    variance_x, variance_y = moments[2] - mean_x**2, moments[3] - mean_y**2
    covariance = moments[4] - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + luminance) * (2 * covariance + contrast)
    return (similarity / ((mean_x**2 + mean_y**2 + luminance) * (variance_x + variance_y + contrast))).mean()
