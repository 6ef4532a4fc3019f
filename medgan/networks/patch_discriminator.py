"""The PatchGAN discriminator: one verdict for every overlapping patch of an image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import CHANNELS_LAST, convolve_blocks, convolve_halves_exactly, wide
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution
from medgan.networks.normalization import activated_norm

_CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_SLOPE = 0.2
_WIDEST = 8  # channels grow up to this multiple of the width


class PatchDiscriminator(nn.Module):
    """Tell real from translated images, patch by patch.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    width : int
        Channels after the first convolution.
    layers : int
        Convolutions of stride 2; 3 gives a receptive field of 70 voxels, 2 of 34, 1 of 16.
    in_channels : int
        Channels of the image.
    normalization : str
        ``"instance"`` (published) or ``"none"``.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights.

    Raises
    ------
    NetworkError
        For a number of dimensions, a normalization or a form that does not exist, or counts below 1.

    Notes
    -----
    Isola et al. 2017 (arXiv 1611.07004) and Zhu et al. 2017 (arXiv 1703.10593), authors' code: kernels of 4, zero
    padding 1, ``layers`` convolutions of stride 2 with doubling channels, one of stride 1, one of stride 1 to a logit;
    LeakyReLU 0.2; instance normalization except in the first and last. Deviations: three-dimensional where asked;
    optional absence of normalization.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        width: int = 64,
        layers: int = 3,
        in_channels: int = 1,
        normalization: str = "instance",
        form: Form = "plain",
    ) -> None:
        super().__init__()
        _require(spatial_dims in _CONVOLUTION, "spatial_dims", "2 or 3", spatial_dims)
        _require(min(width, layers, in_channels) >= 1, "width, layers and in_channels", "at least 1",
                 (width, layers, in_channels))  # fmt: skip
        _require(normalization in ("instance", "none"), "normalization", "'instance' or 'none'", normalization)
        self.spatial_dims = spatial_dims
        self.layers = layers
        self.in_channels = in_channels
        self.normalization = normalization
        conv = _CONVOLUTION[spatial_dims]
        channels = [in_channels, *(width * min(2**level, _WIDEST) for level in range(layers + 1))]
        strides = [2] * layers + [1]
        self.features = nn.ModuleList(
            conv(before, after, 4, stride=stride, padding=1)
            for (before, after), stride in zip(pairwise(channels), strides, strict=True)
        )
        self.verdict = conv(channels[-1], 1, 4, padding=1)
        self.set_form(checked_form(form))

    @property
    def smallest_size(self) -> int:
        """Voxels that each axis of an image needs at least."""
        return 3 * 2**self.layers

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding."""
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=self.spatial_dims)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with where there is no normalization (He; a free choice)."""
        for convolution in self.features:
            yield convolution, (2.0 / (1.0 + _SLOPE**2)) ** 0.5  # type: ignore[misc]
        yield self.verdict, 1.0

    def forward(self, image: Tensor) -> Tensor:
        """Judge a batch.

        Parameters
        ----------
        image : Tensor
            (N, in_channels, I, J[, K]), every axis at least :attr:`smallest_size`.

        Returns
        -------
        Tensor
            (N, 1, I', J'[, K']), float32: a logit for each patch, without sigmoid.

        Raises
        ------
        NetworkError
            For another shape or a smaller image.
        """
        if image.ndim != self.spatial_dims + 2 or image.shape[1] != self.in_channels:
            raise NetworkError(
                f"A {self.spatial_dims}-D discriminator needs images of shape (N, {self.in_channels}"
                f"{', n' * self.spatial_dims}): found {tuple(image.shape)}."
            )
        if min(image.shape[2:]) < self.smallest_size:
            raise NetworkError(
                f"A patch discriminator with {self.layers} strided layers needs at least {self.smallest_size} voxels "
                f"along every axis: found {tuple(image.shape[2:])}. Use larger patches or fewer layers."
            )
        fast = self.form == "fast"
        if fast:
            image = image.contiguous(memory_format=CHANNELS_LAST[self.spatial_dims])
        hidden = image
        for index, convolution in enumerate(self.features):
            if not fast:
                hidden = convolution(hidden)
            elif index == 0:
                hidden = convolve_blocks(hidden, convolution.weight, convolution.bias)  # type: ignore[arg-type]
            else:
                hidden = convolve_halves_exactly(
                    hidden,
                    convolution.weight,  # type: ignore[arg-type]
                    convolution.bias,  # type: ignore[arg-type]
                    stride=convolution.stride,  # type: ignore[arg-type]
                    padding=1,
                )
            normalize = index > 0 and self.normalization == "instance"
            hidden = activated_norm(hidden, slope=_SLOPE) if normalize else F.leaky_relu(hidden, _SLOPE)
        verdict = self.verdict
        logits = convolve_halves_exactly(hidden, verdict.weight, verdict.bias, padding=1) if fast else verdict(hidden)
        return logits.to(wide(logits.dtype))


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise NetworkError(f"PatchDiscriminator needs {name} {required}: found {found!r}.")
