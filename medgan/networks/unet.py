"""A U-Net: an encoder, a decoder, and what the encoder saw handed across; in two or three dimensions."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, convolve, convolve_halves_exactly, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution
from medgan.networks.narrow_gradient import convolved
from medgan.networks.normalization import instance_norm
from medgan.networks.reused_memory import rectified

NORMALIZATIONS = ("group", "instance", "none")
GROUP = 8
"""Channels that are normalized together: their means relative to each other survive, which instance norm erases."""
_CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOL = {2: F.max_pool2d, 3: F.max_pool3d}


class ConvolutionPair(nn.Module):
    """Two convolutions of kernel 3 with zero padding, each normalized and rectified."""

    def __init__(self, spatial_dims: int, before: int, after: int) -> None:
        super().__init__()
        self.first = _CONVOLUTION[spatial_dims](before, after, 3, padding=1)
        self.second = _CONVOLUTION[spatial_dims](after, after, 3, padding=1)

    def forward(self, image: Tensor, normalization: str, fast: bool) -> Tensor:
        """Return features of the image's size; (N, before, ...) to (N, after, ...)."""
        convolve_3 = convolve_halves_exactly if fast else convolve
        for convolution in (self.first, self.second):
            image = convolve_3(image, convolution.weight, convolution.bias, padding=1)
            image = rectified(_normalized(image, normalization))
        return image


class UNet(nn.Module):
    """Give every voxel a logit for each class.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    in_channels : int
        Channels of the image: contrasts, times neighbor slices where a slice comes with them.
    classes : int
        Channels of the result.
    width : int
        Channels at full resolution; doubled at each level.
    levels : int
        How many times the image is halved.
    normalization : str
        ``"group"`` (groups of 8 channels), ``"instance"`` or ``"none"``, always without affine parameters.
    halve_last : bool
        Whether the last axis is halved, too; off for a few thick slices in 3-D.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For a number of dimensions, a normalization or a form that does not exist, counts below 1, or a width that
        groups do not divide.

    Notes
    -----
    Ronneberger et al. 2015 (arXiv 1505.04597) and Cicek et al. 2016 (arXiv 1606.06650, 3-D). Deviations: zero padding,
    so that the result has the image's size (any size: the last voxels are replicated up to a multiple of the smallest
    one and cut off again); width and depth are free; group or instance normalization (as in nnU-Net, where it is
    instance); transposed convolutions of kernel 2.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        in_channels: int,
        classes: int,
        width: int = 32,
        levels: int = 4,
        normalization: str = "group",
        halve_last: bool = True,
        form: Form = "plain",
    ) -> None:
        super().__init__()
        _require(spatial_dims in _CONVOLUTION, "spatial_dims", "2 or 3", spatial_dims)
        _require(min(in_channels, classes, width, levels) >= 1, "in_channels, classes, width and levels", "at least 1",
                 (in_channels, classes, width, levels))  # fmt: skip
        _require(normalization in NORMALIZATIONS, "normalization", "'group', 'instance' or 'none'", normalization)
        _require(normalization != "group" or width % GROUP == 0, "width", f"a multiple of {GROUP} for groups", width)
        self.spatial_dims, self.in_channels, self.classes = spatial_dims, in_channels, classes
        self.levels, self.normalization = levels, normalization
        self.factors = (2,) * (spatial_dims - 1) + (2 if halve_last else 1,)
        widths = [width * 2**level for level in range(levels + 1)]
        self.encoder = nn.ModuleList(
            ConvolutionPair(spatial_dims, before, after) for before, after in zip([in_channels, *widths[:-1]], widths)
        )
        self.ups = nn.ModuleList(
            _TRANSPOSED[spatial_dims](2 * narrow, narrow, self.factors, stride=self.factors)  # type: ignore[arg-type]
            for narrow in reversed(widths[:-1])
        )
        self.decoder = nn.ModuleList(
            ConvolutionPair(spatial_dims, 2 * narrow, narrow) for narrow in reversed(widths[:-1])
        )
        self.head = _CONVOLUTION[spatial_dims](width, classes, 1)
        self.set_form(checked_form(form))

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding.

        The fast form works channels-last and keeps small volumes off torch's slow convolution.
        """
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=self.spatial_dims)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with: sqrt(2) before a ReLU (He), else 1 (free choices)."""
        he = 2.0**0.5
        for pair in (*self.encoder, *self.decoder):
            yield pair.first, he
            yield pair.second, he
        for up in self.ups:
            yield up, 1.0  # type: ignore[misc]
        yield self.head, 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Segment a batch.

        Parameters
        ----------
        image : Tensor
            (N, in_channels, I, J[, K]), values in [-1, 1].

        Returns
        -------
        Tensor
            (N, classes, I, J[, K]), float32 (float64 for a float64 network): logits, without softmax.

        Raises
        ------
        NetworkError
            For another shape.
        """
        if image.ndim != self.spatial_dims + 2 or image.shape[1] != self.in_channels or 0 in image.shape:
            raise NetworkError(
                f"A {self.spatial_dims}-D U-Net needs images of shape (N, {self.in_channels}"
                f"{', n' * self.spatial_dims}): found {tuple(image.shape)}."
            )
        size, fast = image.shape[2:], self.form == "fast"
        missing = [-length % factor**self.levels for length, factor in zip(size, self.factors)]
        if any(missing):
            image = F.pad(image, [pad for amount in reversed(missing) for pad in (0, amount)], mode="replicate")
        if fast:
            image = image.contiguous(memory_format=CHANNELS_LAST[self.spatial_dims])
        apply = convolved if fast else nn.Module.__call__
        hidden, seen = image, []
        for level, pair in enumerate(self.encoder):
            if level:
                seen.append(hidden)
                hidden = _POOL[self.spatial_dims](hidden, self.factors)
            hidden = pair(hidden, self.normalization, fast)
        for up, pair in zip(self.ups, self.decoder):
            hidden = pair(torch.cat((seen.pop(), apply(up, hidden)), dim=1), self.normalization, fast)
        logits = apply(self.head, hidden)
        for axis, length in enumerate(size):
            logits = logits.narrow(2 + axis, 0, length)
        return logits.to(wide(logits.dtype))


def _normalized(image: Tensor, normalization: str) -> Tensor:
    if normalization == "none":
        return image
    if normalization == "instance":
        return instance_norm(image)
    # Of groups of eight torch's own backward is the fastest in float32, in which a training on a CPU computes this; of
    # groups of one channel it is not, see instance_norm.
    return torch.group_norm(image, image.shape[1] // GROUP, None, None, 1e-5)


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise NetworkError(f"UNet needs {name} {required}: found {found!r}.")
