"""Two small discriminators without padding: one sees cubes, the other flat boxes of thick sections."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, convolve, convolve_halves, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution
from medgan.networks.residual_discriminator import require_judgeable

POOLS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "isotropic": ((2, 2, 2), (2, 2, 2)),
    "anisotropic": ((2, 2, 1), (2, 2, 2)),
    "flat": ((2, 2, 1), (2, 2, 1)),
}
"""What is pooled after the first and second convolution; the last axis is across the sections."""


class VolumeDiscriminator(nn.Module):
    """Tell real from translated volumes, place by place, with few weights.

    Parameters
    ----------
    shape : str
        ``"isotropic"`` sees 30 x 30 x 30 voxels for one verdict; ``"anisotropic"`` pools planes only at first and sees
        30 x 30 x 12; ``"flat"`` has kernels of 1 across the sections and sees 30 x 30 x 1.
    in_channels : int
        Channels of what is judged.
    width : int
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For a shape or form that does not exist, or counts below 1.

    Notes
    -----
    The alternatives of Januszewski and Jain 2019 (doi 10.1101/548081): conv 3 (32), ReLU, pool 2, twice; conv 3 (32),
    ReLU, conv 4 (1); the anisotropic one pools (1, 2, 2) in z, y, x first. Nothing is padded. Deviations: ``"flat"``,
    for stacks of a few thick sections; and where the last kernel would be 4 across the sections it is 4 only in
    ``"isotropic"`` and 2 in ``"anisotropic"``, so that 12 sections suffice (both free choices).
    The authors give crops of 33, of which the pooling uses 30.
    """

    normalization = "none"
    spatial_dims = 3

    def __init__(
        self, *, shape: str = "isotropic", in_channels: int = 1, width: int = 32, form: Form = "plain"
    ) -> None:
        super().__init__()
        if shape not in POOLS:
            raise NetworkError(f"VolumeDiscriminator needs a shape of {', '.join(POOLS)}: found {shape!r}.")
        if min(in_channels, width) < 1:
            raise NetworkError(
                f"VolumeDiscriminator needs at least 1 channel and a width of 1: found {in_channels}, {width}."
            )
        self.shape, self.in_channels = shape, in_channels
        kernel = (3, 3, 1) if shape == "flat" else (3, 3, 3)
        last = {"isotropic": (4, 4, 4), "anisotropic": (4, 4, 2), "flat": (4, 4, 1)}[shape]
        self.features = nn.ModuleList(nn.Conv3d(before, width, kernel) for before in (in_channels, width, width))
        self.verdict = nn.Conv3d(width, 1, last)
        self.set_form(checked_form(form))

    @property
    def smallest_size(self) -> tuple[int, int, int]:
        """Voxels that each axis of an image needs at least, for one verdict."""
        size = list(self.verdict.kernel_size)
        for number in (2, 1, 0):
            if number < 2:
                size = [n * p for n, p in zip(size, POOLS[self.shape][number])]
            size = [n + k - 1 for n, k in zip(size, self.features[number].kernel_size)]  # type: ignore[arg-type]
        return size[0], size[1], size[2]

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding."""
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=3)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with: He's before a ReLU (free choices)."""
        for convolution in self.features:
            yield convolution, sqrt(2.0)  # type: ignore[misc]
        yield self.verdict, 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        image : Tensor
            (N, in_channels, I, J, K), every axis at least :attr:`smallest_size`.

        Returns
        -------
        Tensor
            (N, 1, I', J', K'), float32: a logit for each place, without sigmoid.

        Raises
        ------
        NetworkError
            For another shape or a smaller image.
        """
        require_judgeable(image, self.in_channels, self.smallest_size)
        fast = self.form == "fast"
        convolve_3 = convolve_halves if fast else convolve
        hidden = image.contiguous(memory_format=CHANNELS_LAST[3]) if fast else image
        for number, convolution in enumerate(self.features):
            hidden = F.relu(convolve_3(hidden, convolution.weight, convolution.bias))  # type: ignore[arg-type]
            if number < 2:
                hidden = F.max_pool3d(hidden, POOLS[self.shape][number])
        logits = self.verdict(hidden)
        return logits.to(wide(logits.dtype))
