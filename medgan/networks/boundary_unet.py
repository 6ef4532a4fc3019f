"""A 3-D U-Net for boundaries or affinities in stacks whose sections may be thicker than pixels are wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, convolve, convolve_halves, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution
from medgan.networks.residual_discriminator import is_tiny, wide_where_tiny
from medgan.networks.reused_memory import rectified


class SectionPair(nn.Module):
    """Two zero-padded convolutions with ReLU; the last axis of their kernels is 3 or 1."""

    def __init__(self, before: int, after: int, section_kernel: int) -> None:
        super().__init__()
        kernel, padding = (3, 3, section_kernel), (1, 1, section_kernel // 2)
        self.first = nn.Conv3d(before, after, kernel, padding=padding)
        self.second = nn.Conv3d(after, after, kernel, padding=padding)

    def forward(self, hidden: Tensor, fast: bool) -> Tensor:
        """Return features of the image's size."""
        for convolution in (self.first, self.second):
            if fast and convolution.kernel_size[2] == 3:
                hidden = convolve_halves(hidden, convolution.weight, convolution.bias, padding=1)
            elif convolution.kernel_size[2] == 3:
                hidden = convolve(hidden, convolution.weight, convolution.bias, padding=1)
            else:
                hidden = convolution(hidden)
            hidden = rectified(hidden)
        return hidden


class BoundaryUNet(nn.Module):
    """Give every voxel a logit for a boundary, or for belonging together with each of some neighbors.

    Parameters
    ----------
    out_channels : int
        1 for boundaries, the number of offsets for affinities, or of classes.
    width : int
        Channels at full resolution; doubled at every level.
    section_pools : sequence of 1 or 2
        A level each: whether the last axis, across the sections, is halved with the planes.
    section_kernels : sequence of 1 or 3, optional
        Extent of the kernels across the sections, a level each and one for the bottom; 3 in all if not given.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For counts below 1, or kernels and pools of another size or number.

    Notes
    -----
    Cicek et al. 2016 (arXiv 1606.06650). Deviations: no normalization, so that a voxel's logits depend on its
    neighborhood alone and a volume can be done in blocks; sizes that levels do not divide are filled up by replication
    and cut off again; trilinear upsampling by repetition instead of transposed convolutions; anisotropic kernels and
    pools.
    """

    normalization = "none"
    spatial_dims = 3

    def __init__(
        self,
        *,
        out_channels: int = 1,
        width: int = 16,
        section_pools: Sequence[int] = (2, 2),
        section_kernels: Sequence[int] | None = None,
        form: Form = "plain",
    ) -> None:
        super().__init__()
        kernels = tuple(section_kernels) if section_kernels is not None else (3,) * (len(section_pools) + 1)
        _require(min(out_channels, width) >= 1, "out_channels and width", "at least 1", (out_channels, width))
        _require(set(section_pools) <= {1, 2}, "section_pools", "numbers of 1 or 2", tuple(section_pools))
        _require(
            len(kernels) == len(section_pools) + 1 and set(kernels) <= {1, 3},
            "section_kernels",
            f"{len(section_pools) + 1} numbers, each 1 or 3",
            kernels,
        )
        self.out_channels, self.section_pools, self.section_kernels = out_channels, tuple(section_pools), kernels
        widths = [width * 2**level for level in range(len(kernels))]
        self.encoder = nn.ModuleList(
            SectionPair(before, after, kernel) for before, after, kernel in zip([1, *widths[:-1]], widths, kernels)
        )
        self.decoder = nn.ModuleList(
            SectionPair(3 * narrow, narrow, kernel)
            for narrow, kernel in zip(reversed(widths[:-1]), reversed(kernels[:-1]))
        )
        self.head = nn.Conv3d(width, out_channels, 1)
        self.set_form(checked_form(form))

    @property
    def factors(self) -> tuple[tuple[int, int, int], ...]:
        """What each level is pooled by."""
        return tuple((2, 2, pool) for pool in self.section_pools)

    @property
    def granularity(self) -> tuple[int, int, int]:
        """Image sizes that are multiples of this are not filled up; a shift by it shifts the result alike."""
        planes = 2 ** len(self.section_pools)
        return planes, planes, prod(self.section_pools)

    @property
    def reach(self) -> tuple[int, int, int]:
        """How far beyond a voxel, at most, its logits depend on the image, an axis each."""
        reach, step = [0, 0, 0], [1, 1, 1]
        kernels = [(3, 3, k) for k in self.section_kernels]
        for level, kernel in enumerate(kernels):
            passes = 4 if level < len(kernels) - 1 else 2  # encoder and decoder; the bottom has one pair
            for axis in range(3):
                reach[axis] += passes * (kernel[axis] // 2) * step[axis]
            if level < len(self.factors):
                for axis in range(3):
                    # Pooling and repeating look up to one voxel further at the finer level, each.
                    reach[axis] += 2 * (self.factors[level][axis] - 1) * step[axis]
                    step[axis] *= self.factors[level][axis]
        return reach[0], reach[1], reach[2]

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding."""
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=3)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with: He's before a ReLU (free choices)."""
        for pair in (*self.encoder, *self.decoder):
            yield pair.first, sqrt(2.0)
            yield pair.second, sqrt(2.0)
        yield self.head, 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        image : Tensor
            (N, 1, I, J, K), values in [-1, 1], any size.

        Returns
        -------
        Tensor
            (N, out_channels, I, J, K), float32: logits.

        Raises
        ------
        NetworkError
            For another shape.
        """
        if image.ndim != 5 or image.shape[1] != 1 or 0 in image.shape:
            raise NetworkError(f"A boundary U-Net needs images of shape (N, 1, I, J, K): found {tuple(image.shape)}.")
        size, fast = image.shape[2:], self.form == "fast"
        missing = [-n % g for n, g in zip(size, self.granularity)]
        if any(missing):
            image = F.pad(image, [pad for amount in reversed(missing) for pad in (0, amount)], mode="replicate")
        hidden = image.contiguous(memory_format=CHANNELS_LAST[3]) if fast else image
        seen = []
        for level, pair in enumerate(self.encoder):
            if level:
                seen.append(hidden)
                hidden = F.max_pool3d(hidden, self.factors[level - 1])
            with wide_where_tiny(hidden):
                hidden = pair(hidden.to(wide(hidden.dtype)) if is_tiny(hidden) else hidden, fast)
        for pair, factors in zip(self.decoder, reversed(self.factors)):
            finer = seen.pop()
            repeated = F.interpolate(hidden, scale_factor=[float(f) for f in factors], mode="nearest")
            hidden = pair(torch.cat((finer, repeated), dim=1), fast)
        logits = self.head(hidden)[..., : size[0], : size[1], : size[2]]
        return logits.to(wide(logits.dtype))


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise NetworkError(f"BoundaryUNet needs {name} {required}: found {found!r}.")
