"""Two small classifiers of different architecture that every attribution method can look into.

Every activation is a :class:`torch.nn.ReLU` module of its own, used once a forward pass and never in place, and there
is no max pooling: guided backpropagation, deconvolution and DeepLift replace the backward pass of activation modules,
and go wrong without a word where an activation is a function or is used twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from medgan.errors import NetworkError

_CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d | nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL: dict[int, type[nn.AvgPool2d | nn.AvgPool3d]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
FEATURES = "features"
"""Name of the layer whose output is the last feature map with spatial extent, in both classifiers."""


class ConvolutionalClassifier(nn.Module):
    """Stages of convolution, batch normalization and ReLU, then the mean of each channel and one linear layer.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    in_channels, classes : int
        Channels of the image, and logits that are returned.
    width : int
        Channels of the first stage; doubled by each further one.
    stages : int
        The first keeps the size, each further one halves it: 28 pixels and three stages end in 7 x 7.
    depth : int
        Convolutions of each stage.

    Raises
    ------
    NetworkError
        For a number of dimensions that does not exist, or counts below 1.

    Notes
    -----
    Batch normalization in evaluation mode is one factor and one offset a channel, so it is transparent for DeepLift.
    (Normalization over groups of one channel would erase the mean intensity and blind the classifier to brightness.)
    """

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 1,
        classes: int = 2,
        width: int = 16,
        stages: int = 3,
        depth: int = 2,
    ) -> None:
        super().__init__()
        _check("ConvolutionalClassifier", spatial_dims, in_channels, classes, width, stages, depth)
        self.spatial_dims, self.in_channels, self.stages = spatial_dims, in_channels, stages
        conv, norm = _CONVOLUTION[spatial_dims], _NORM[spatial_dims]
        layers: list[nn.Module] = []
        channels = in_channels
        for stage in range(stages):
            for position in range(depth):
                stride = 2 if stage and not position else 1
                after = width * 2**stage
                layers += [conv(channels, after, 3, stride=stride, padding=1, bias=False), norm(after), nn.ReLU()]
                channels = after
        self.features = nn.Sequential(*layers)
        self.verdict = nn.Linear(channels, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, in_channels, I, J[, K]).

        Raises
        ------
        NetworkError
            For another shape.
        """
        _check_image(image, self.spatial_dims, self.in_channels)
        return self.verdict(self.features(image).flatten(2).mean(2))


class ResidualUnit(nn.Module):
    """Two convolutions with a skip connection; where the size is halved, the skip is averaged and mixed."""

    def __init__(self, spatial_dims: int, before: int, after: int, *, halve: bool) -> None:
        super().__init__()
        conv, norm = _CONVOLUTION[spatial_dims], _NORM[spatial_dims]
        self.first = conv(before, after, 3, stride=2 if halve else 1, padding=1, bias=False)
        self.first_norm = norm(after)
        self.first_relu = nn.ReLU()
        self.second = conv(after, after, 3, padding=1, bias=False)
        self.second_norm = norm(after)
        self.last_relu = nn.ReLU()
        # ceil_mode: an odd length becomes what the strided convolution makes of it.
        pool = [_POOL[spatial_dims](2, ceil_mode=True, count_include_pad=False)] if halve else []
        mix = [conv(before, after, 1, bias=False)] if halve or before != after else []
        self.skip = nn.Sequential(*pool, *mix)

    def forward(self, image: Tensor) -> Tensor:
        """Return features of (N, before, ...) as (N, after, ...)."""
        hidden = self.first_relu(self.first_norm(self.first(image)))
        return self.last_relu(self.skip(image) + self.second_norm(self.second(hidden)))


class ResidualClassifier(nn.Module):
    """A wide stem and residual units: a second opinion that shares neither architecture nor first weights.

    Parameters
    ----------
    spatial_dims, in_channels, classes, width, stages
        As of :class:`ConvolutionalClassifier`.
    depth : int
        Residual units of each stage.

    Raises
    ------
    NetworkError
        For a number of dimensions that does not exist, or counts below 1.

    Notes
    -----
    After He et al. 2016 (arXiv 1512.03385). Deviations: a stem of kernel 5 without stride or pooling; skips are halved
    by averaging before the mixing convolution, so that none of their pixels is dropped.
    """

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 1,
        classes: int = 2,
        width: int = 16,
        stages: int = 3,
        depth: int = 1,
    ) -> None:
        super().__init__()
        _check("ResidualClassifier", spatial_dims, in_channels, classes, width, stages, depth)
        self.spatial_dims, self.in_channels, self.stages = spatial_dims, in_channels, stages
        widths = [width, *(width * 2**stage for stage in range(stages))]
        units = [
            ResidualUnit(spatial_dims, before if not position else after, after, halve=bool(stage) and not position)
            for stage, (before, after) in enumerate(pairwise(widths))
            for position in range(depth)
        ]
        stem = _CONVOLUTION[spatial_dims](in_channels, width, 5, padding=2, bias=False)
        self.features = nn.Sequential(stem, _NORM[spatial_dims](width), nn.ReLU(), *units)
        self.verdict = nn.Linear(widths[-1], classes)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, in_channels, I, J[, K]).

        Raises
        ------
        NetworkError
            For another shape.
        """
        _check_image(image, self.spatial_dims, self.in_channels)
        return self.verdict(self.features(image).flatten(2).mean(2))


CLASSIFIERS: dict[str, type[ConvolutionalClassifier | ResidualClassifier]] = {
    "convolutional_classifier": ConvolutionalClassifier,
    "residual_classifier": ResidualClassifier,
}
"""The classifiers by the names that they have in configurations and bundles."""


def initialize_classifier(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of a classifier; biases become 0.

    Parameters
    ----------
    network : Module
        Changed in place.
    generator : torch.Generator
        On the CPU; the weights depend on its state and on nothing else.

    Notes
    -----
    Convolutions: N(0, sqrt(2 / fan in)) after He et al. 2015 (arXiv 1502.01852). Linear layers: N(0, 0.01), so that
    a training begins undecided. Normalizations keep factor 1 and offset 0.
    """
    with torch.no_grad():
        for weight, deviation in _drawn(network):
            weight.copy_(torch.empty(weight.shape).normal_(0.0, deviation, generator=generator))
        for module in network.modules():
            if isinstance(module, nn.Linear):
                module.bias.zero_()


def _drawn(network: nn.Module) -> Iterator[tuple[Tensor, float]]:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            yield module.weight, math.sqrt(2.0 / (module.in_channels * math.prod(module.kernel_size)))
        elif isinstance(module, nn.Linear):
            yield module.weight, 0.01


def _check(name: str, spatial_dims: int, *counts: int) -> None:
    if spatial_dims not in _CONVOLUTION:
        raise NetworkError(f"{name} needs spatial_dims 2 or 3: found {spatial_dims!r}.")
    if min(counts) < 1:
        raise NetworkError(f"{name} needs in_channels, classes, width, stages and depth of at least 1: found {counts}.")


def _check_image(image: Tensor, spatial_dims: int, channels: int) -> None:
    if image.ndim != spatial_dims + 2 or image.shape[1] != channels or 0 in image.shape:
        raise NetworkError(
            f"A {spatial_dims}-D classifier needs images of shape (N, {channels}{', n' * spatial_dims}): "
            f"found {tuple(image.shape)}."
        )
