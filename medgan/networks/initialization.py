"""First weights of a network, drawn from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d


class Initializable(Protocol):
    """A network that lists its convolutions with the gain each should start with."""

    normalization: str

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield every convolution and its gain, in a fixed order."""
        ...


def initialize(network: Initializable, generator: torch.Generator) -> None:
    """Draw all weights of a network; biases become 0.

    Parameters
    ----------
    network : Initializable
        Changed in place.
    generator : torch.Generator
        On the CPU; the weights depend on its state and on nothing else.

    Notes
    -----
    With instance normalization N(0, 0.02), as in the CycleGAN authors' code. Without normalization that would make the
    activations vanish with depth; there, a free choice: N(0, gain / sqrt(fan in)) after He et al. 2015
    (arXiv 1502.01852), with the gain that the network declares for each convolution.
    """
    with torch.no_grad():
        for convolution, gain in network.convolutions():
            deviation = 0.02 if network.normalization == "instance" else gain / math.sqrt(_fan_in(convolution))
            drawn: Tensor = torch.empty(convolution.weight.shape).normal_(0.0, deviation, generator=generator)
            convolution.weight.copy_(drawn)
            if convolution.bias is not None:
                convolution.bias.zero_()


def _fan_in(convolution: Convolution) -> float:
    """Return how many products are summed in one output voxel, on average."""
    products = float(convolution.in_channels * math.prod(convolution.kernel_size))
    if isinstance(convolution, nn.ConvTranspose2d | nn.ConvTranspose3d):
        # Every input voxel meets every tap, but they are spread over more output voxels.
        products /= math.prod(convolution.stride)
    return products
