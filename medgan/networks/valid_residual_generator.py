"""A residual generator without padding: what it gives of a voxel depends on its neighborhood and on nothing else.

So a volume can be translated in blocks of any size, each read with its halo, to the bits of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution

HEADS = ("tanh", "residual")


class ValidModule(nn.Module):
    """Two convolutions without padding; the last axis of their kernels is 3 or 1."""

    def __init__(self, before: int, after: int, section_kernel: int) -> None:
        super().__init__()
        kernel = (3, 3, section_kernel)
        self.first = nn.Conv3d(before, after, kernel)
        self.second = nn.Conv3d(after, after, kernel)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the result of both, (N, before, ...) to (N, after, ...), smaller by 2 voxels on each side."""
        return self.second(F.relu(self.first(hidden)))


class ValidResidualGenerator(nn.Module):
    """Translate a volume to another contrast; the result is smaller by :attr:`shrink` voxels on each side.

    Parameters
    ----------
    depth : int
        Modules of two convolutions.
    width : int
        Channels.
    section_kernels : sequence of 1 or 3, optional
        Extent of each module's kernels along the last axis, across the sections; 3 in all if not given. 1 suits thick
        sections, and few of them.
    noise_channels : int
        Channels of random numbers that the generator sees beside the image: what a microscope adds at random cannot be
        made of the image alone. Without noise given they are 0.
    head : str
        ``"tanh"`` (published), or ``"residual"``: the image plus a correction, which starts small.
    padding : str
        ``"valid"`` (published), or ``"reflect"``: the image is reflected at its border first, so that the result has
        its size, for use patch by patch.
    outside : float
        With a body mask: value beyond the body.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For counts below 1, kernels of another extent or number, or a head, padding or form that does not exist.

    Notes
    -----
    Januszewski and Jain 2019 (doi 10.1101/548081), authors' code: conv 3 (32), ReLU, conv 3 (32), then depth - 1
    pre-activated modules (ReLU, conv 3, ReLU, conv 3, plus the center-cropped input), ReLU, conv 1, tanh; no
    normalization, nothing halved; depth 4 there, 8 in an independent reproduction. Deviations: kernels of 1 across
    sections, noise, the residual head, and reflection where asked.
    """

    normalization = "none"
    spatial_dims = 3

    def __init__(
        self,
        *,
        depth: int = 4,
        width: int = 32,
        section_kernels: Sequence[int] | None = None,
        noise_channels: int = 0,
        head: str = "tanh",
        padding: str = "valid",
        outside: float = -1.0,
        form: Form = "plain",
    ) -> None:
        super().__init__()
        kernels = tuple(section_kernels) if section_kernels is not None else (3,) * depth
        _require(min(depth, width) >= 1, "depth and width", "at least 1", (depth, width))
        _require(
            len(kernels) == depth and set(kernels) <= {1, 3},
            "section_kernels",
            f"{depth} numbers, each 1 or 3",
            kernels,
        )
        _require(noise_channels >= 0, "noise_channels", "at least 0", noise_channels)
        _require(head in HEADS, "head", "'tanh' or 'residual'", head)
        _require(padding in ("valid", "reflect"), "padding", "'valid' or 'reflect'", padding)
        self.depth, self.width, self.section_kernels = depth, width, kernels
        self.noise_channels, self.head, self.padding = noise_channels, head, padding
        self.outside, self.body_mask = outside, False
        channels = [1 + noise_channels, *[width] * depth]
        self.blocks = nn.ModuleList(
            ValidModule(before, width, kernel) for before, kernel in zip(channels[:-1], kernels)
        )
        self.last = nn.Conv3d(width, 1, 1)
        self.set_form(checked_form(form))

    @property
    def shrink(self) -> tuple[int, int, int]:
        """Voxels of the image beyond each side of the result that a voxel of it depends on, an axis each."""
        across = sum(kernel - 1 for kernel in self.section_kernels)
        return 2 * self.depth, 2 * self.depth, across

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding."""
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=3)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with.

        He's gain before a ReLU; each module's second convolution starts at a share of it, so that the sum over modules
        does not grow with depth (a free choice); the residual head starts at N(0, 0.02), as measured to work.
        """
        he = sqrt(2.0)
        for number, block in enumerate(self.blocks):
            yield block.first, he  # type: ignore[misc]
            yield block.second, he if number == 0 else he / sqrt(self.depth)  # type: ignore[misc]
        # N(0, gain / sqrt(fan in)) with a fan in of width.
        yield self.last, 0.02 * sqrt(self.width) if self.head == "residual" else 1.0

    def forward(self, image: Tensor, body: Tensor | None = None, *, noise: Tensor | None = None) -> Tensor:
        """Translate a batch.

        Parameters
        ----------
        image : Tensor
            (N, 1, I, J, K), values in [-1, 1].
        body : Tensor, optional
            (N, 1, I, J, K), 1 inside the body; with ``padding="reflect"`` only: beyond it the result is ``outside``.
        noise : Tensor, optional
            (N, noise_channels, I, J, K), standard normal; 0 if not given.

        Returns
        -------
        Tensor
            (N, 1, I - 2 a, J - 2 b, K - 2 c) with :attr:`shrink` = (a, b, c), float32; of the image's size with
            ``padding="reflect"``.

        Raises
        ------
        NetworkError
            For another shape, or an image not larger than the field of view.
        """
        if image.ndim != 5 or image.shape[1] != 1:
            raise NetworkError(f"A VALID generator needs images of shape (N, 1, I, J, K): found {tuple(image.shape)}.")
        size, shrink = image.shape[2:], self.shrink
        if self.padding == "reflect":
            if any(n <= s for n, s in zip(size, shrink)):
                raise NetworkError(
                    f"Reflection needs more than {shrink} voxels along the axes: found {tuple(size)}. Use larger ones."
                )
            image = F.pad(image, [s for s in reversed(shrink) for _ in range(2)], mode="reflect")
        elif any(n <= 2 * s for n, s in zip(size, shrink)):
            raise NetworkError(
                f"A VALID generator of depth {self.depth} needs at least {tuple(2 * s + 1 for s in shrink)} voxels, "
                f"its field of view: found {tuple(size)}. Use larger patches, less depth, or section kernels of 1."
            )
        result = self._translated(image, noise)
        if body is None or self.padding != "reflect":
            return result
        return torch.where(body > 0.5, result, torch.full_like(result, self.outside))

    def _translated(self, image: Tensor, noise: Tensor | None) -> Tensor:
        hidden = image
        if self.noise_channels:
            shape = (image.shape[0], self.noise_channels, *image.shape[2:])
            if noise is not None and noise.shape != shape:
                raise NetworkError(f"The noise of this generator needs shape {shape}: found {tuple(noise.shape)}.")
            hidden = torch.cat((image, torch.zeros(shape, device=image.device) if noise is None else noise), dim=1)
        if self.form == "fast":
            hidden = hidden.contiguous(memory_format=CHANNELS_LAST[3])
        for number, block in enumerate(self.blocks):
            start = F.relu(hidden) if number else hidden
            changed = block(start)
            hidden = changed + center(hidden, like=changed) if number else changed
        correction = self.last(F.relu(hidden))
        correction = correction.to(wide(correction.dtype))
        return torch.tanh(correction) if self.head == "tanh" else center(image, like=correction) + correction


def center(image: Tensor, *, like: Tensor) -> Tensor:
    """Return the middle of an image, of another's spatial size; the two differ by an even number along every axis.

    Raises
    ------
    NetworkError
        If they do not, or the other is larger.

    Examples
    --------
    >>> center(torch.arange(5.0).reshape(1, 1, 5), like=torch.zeros(1, 1, 3)).flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    for axis in range(2, image.ndim):
        surplus = image.shape[axis] - like.shape[axis]
        if surplus < 0 or surplus % 2:
            raise NetworkError(
                f"A middle lies an equal number of voxels from both ends: found sizes {tuple(image.shape[2:])} and "
                f"{tuple(like.shape[2:])}."
            )
        image = image.narrow(axis, surplus // 2, like.shape[axis])
    return image


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise NetworkError(f"ValidResidualGenerator needs {name} {required}: found {found!r}.")
