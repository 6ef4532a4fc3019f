"""A residual discriminator that gives a map of verdicts and never pools them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, convolve, convolve_halves, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution

_WIDENINGS = (2, 4, 8)


class ResidualStage(nn.Module):
    """A pre-activated residual module; with a stride or more channels its shortcut is a convolution of kernel 1."""

    def __init__(self, before: int, after: int, strides: tuple[int, int, int]) -> None:
        super().__init__()
        self.first = nn.Conv3d(before, after, 3, stride=strides, padding=1)
        self.second = nn.Conv3d(after, after, 3, padding=1)
        changes = before != after or strides != (1, 1, 1)
        self.shortcut = nn.Conv3d(before, after, 1, stride=strides) if changes else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the module's output, (N, before, ...) to (N, after, ...)."""
        active = F.relu(hidden)
        changed = self.second(F.relu(self.first(active)))
        return changed + (hidden if self.shortcut is None else self.shortcut(active))


class ResidualDiscriminator(nn.Module):
    """Tell real from translated volumes, place by place.

    Parameters
    ----------
    in_channels : int
        Channels of what is judged: 1 for an image, more for a segmentation or both.
    width : int
        Channels at full resolution; doubled at every stage of stride 2.
    section_strides : three of 1 and 2
        Stride along the last axis, across the sections, of the three stages; 1 suits thick sections.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For counts below 1, strides of another size or number, or a form that does not exist.

    Notes
    -----
    Januszewski and Jain 2019 (doi 10.1101/548081), authors' code: like ResNet-18 in 3-D, zero-padded, pre-activated, no
    normalization: two convolutions (32), a residual module (32), three stages of stride 2 (64, 128, 256) with one more
    residual module each, convolution of kernel 1 to logits; no global pooling and no fully connected head, which the
    authors needed for stability. Deviation: strides of 1 across sections where asked.
    """

    normalization = "none"
    spatial_dims = 3

    def __init__(
        self,
        *,
        in_channels: int = 1,
        width: int = 32,
        section_strides: Sequence[int] = (2, 2, 2),
        form: Form = "plain",
    ) -> None:
        super().__init__()
        if min(in_channels, width) < 1:
            raise NetworkError(
                f"ResidualDiscriminator needs at least 1 channel and a width of 1: found {in_channels}, {width}."
            )
        if len(section_strides) != len(_WIDENINGS) or not set(section_strides) <= {1, 2}:
            raise NetworkError(
                f"ResidualDiscriminator needs three section_strides, each 1 or 2: found {tuple(section_strides)}."
            )
        self.in_channels, self.section_strides = in_channels, tuple(section_strides)
        self.first = nn.Conv3d(in_channels, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        stages, before = [ResidualStage(width, width, (1, 1, 1))], width
        for widening, stride in zip(_WIDENINGS, section_strides):
            stages += [
                ResidualStage(before, width * widening, (2, 2, stride)),
                ResidualStage(width * widening, width * widening, (1, 1, 1)),
            ]
            before = width * widening
        self.stages = nn.ModuleList(stages)
        self.verdict = nn.Conv3d(before, 1, 1)
        self.set_form(checked_form(form))

    @property
    def smallest_size(self) -> tuple[int, int, int]:
        """Voxels that each axis needs at least, so that a verdict is one of a place and not of zeros around it."""
        across = 1
        for stride in self.section_strides:
            across *= stride
        return 8, 8, across

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding."""
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=3)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with: He's before a ReLU (free choices)."""
        he = sqrt(2.0)
        yield self.first, he
        yield self.second, he
        for stage in self.stages:
            yield stage.first, he  # type: ignore[misc]
            yield stage.second, 1.0  # type: ignore[misc]
            if stage.shortcut is not None:
                yield stage.shortcut, he  # type: ignore[misc]
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
        if fast:
            image = image.contiguous(memory_format=CHANNELS_LAST[3])
        hidden = convolve_3(image, self.first.weight, self.first.bias, padding=1)
        hidden = convolve_3(F.relu(hidden), self.second.weight, self.second.bias, padding=1)
        for stage in self.stages:
            strides = stage.first.stride
            with wide_where_tiny(hidden, strides):  # type: ignore[arg-type]
                hidden = stage(hidden.to(wide(hidden.dtype)) if is_tiny(hidden, strides) else hidden)  # type: ignore[arg-type]
        logits = self.verdict(F.relu(hidden))
        return logits.to(wide(logits.dtype))


def is_tiny(image: Tensor, strides: Sequence[int] = (1, 1, 1)) -> bool:
    """Tell whether a convolution of an image, with these strides, works on fewer than three voxels along an axis."""
    return any(-(-n // stride) < 3 for n, stride in zip(image.shape[2:], strides))


def wide_where_tiny(image: Tensor, strides: Sequence[int] = (1, 1, 1)) -> AbstractContextManager[None]:
    """Return a context in which convolutions of a tiny image are float32, also where bfloat16 is asked for.

    Notes
    -----
    torch 2.13 on CPUs with bfloat16 instructions: the gradient of a 3-D kernel of 3 over 2 x 2 x 2 voxels holds values
    that were never written, NaN at times. From 3 x 3 x 3 voxels on it is right.
    """
    if is_tiny(image, strides):
        return torch.autocast(image.device.type, enabled=False)
    return nullcontext()


def require_judgeable(image: Tensor, channels: int, smallest: tuple[int, int, int]) -> None:
    """Refuse a batch that a 3-D discriminator cannot judge.

    Raises
    ------
    NetworkError
        For another number of axes or channels, or fewer voxels than ``smallest``.
    """
    if image.ndim != 5 or image.shape[1] != channels:
        raise NetworkError(
            f"A 3-D discriminator needs images of shape (N, {channels}, I, J, K): found {tuple(image.shape)}."
        )
    if any(n < least for n, least in zip(image.shape[2:], smallest)):
        raise NetworkError(
            f"This discriminator needs at least {smallest} voxels: found {tuple(image.shape[2:])}. Use larger patches, "
            "or a discriminator that looks at fewer sections."
        )
