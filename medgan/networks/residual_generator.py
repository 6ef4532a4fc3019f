"""The CycleGAN generator: an encoder, residual blocks and a decoder, in two or three dimensions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.folded_convolution import (
    CHANNELS_LAST,
    convolve,
    convolve_few_inputs,
    convolve_few_outputs,
    convolve_halves_exactly,
    convolve_transposed,
    convolve_transposed_halves_exactly,
    wide,
)
from medgan.networks.form import Form, checked_form, lay_out
from medgan.networks.initialization import Convolution
from medgan.networks.neighboring_slices import slices_as_channels, slices_as_volume
from medgan.networks.normalization import activated_norm
from medgan.networks.reused_memory import added, rectified

Normalization = Literal["instance", "none"]
_CONVOLUTION: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_HALVINGS = 2
_REACH = 3  # half of the 7-voxel kernels of stem and head


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection around them."""

    def __init__(self, spatial_dims: int, width: int) -> None:
        super().__init__()
        self.first = _CONVOLUTION[spatial_dims](width, width, 3, padding=1)
        self.second = _CONVOLUTION[spatial_dims](width, width, 3, padding=1)

    def forward(self, image: Tensor, normalize: bool, fast: bool) -> Tensor:
        """Return ``image`` plus what the two convolutions add; (N, C, ...) to (N, C, ...)."""
        convolve_3 = convolve_halves_exactly if fast else convolve
        hidden = convolve_3(image, self.first.weight, self.first.bias, padding=1)
        hidden = activated_norm(hidden, slope=0.0) if normalize else rectified(hidden)
        hidden = convolve_3(hidden, self.second.weight, self.second.bias, padding=1)
        return added(activated_norm(hidden, slope=1.0) if normalize else hidden, image)


class ResidualGenerator(nn.Module):
    """Translate an image of one contrast into another.

    Parameters
    ----------
    spatial_dims : int
        2 or 3.
    width : int
        Channels at full resolution; doubled by each of two halvings.
    blocks : int
        Residual blocks at quarter resolution.
    normalization : str
        ``"instance"`` (published) or ``"none"``: instance normalization erases the mean that Hounsfield units need.
    body_mask : bool
        Whether a body mask comes with each image, as a second input channel; then the output outside the body is
        exactly ``outside``.
    outside : float
        Output value outside the body, in the target's normalized units.
    skips : bool
        Whether what the encoder found at full and half resolution is added to the decoder there, so that detail need
        not pass through quarter resolution.
    residual : bool
        Whether the result is the image plus twice the tanh, held in [-1, 1], so that what is not to be changed need not
        be rebuilt; a free choice for counterfactuals, where most of an image stays.
    slices : int or None
        2.5-D: volumes are translated slice by slice along their last axis, by a two-dimensional network that sees this
        odd number of neighboring slices as channels, and halves no length across the slices. None for a network of
        ``spatial_dims`` dimensions.
    form : str
        ``"plain"`` or ``"fast"``: the same function of the same weights, see :meth:`set_form`.

    Raises
    ------
    NetworkError
        For a number of dimensions, a normalization or a form that does not exist, counts below 1, or slices that are
        not odd or not those of a volume.

    Notes
    -----
    Zhu et al. 2017 (arXiv 1703.10593), authors' code: 7-voxel convolution with reflection padding, two convolutions of
    stride 2, residual blocks, two transposed convolutions (kernel 3, stride 2), 7-voxel convolution, tanh; instance
    normalization without affine parameters; ReLU. Deviations: three-dimensional where asked; the convolutions inside
    (kernel 3) pad with zeros instead of reflection; no dropout; any image size, by replicating the last voxels up to a
    multiple of 4 and cropping the result; optional absence of normalization, body mask, fixed outside value, skips,
    residual result and slices. A stack of adjacent slices as the input for the central one after Vu et al. 2020 (arXiv
    1912.09287, there for segmentation); instance normalization then acts on each slice by itself.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        width: int = 64,
        blocks: int = 9,
        normalization: Normalization = "instance",
        body_mask: bool = False,
        outside: float = -1.0,
        skips: bool = False,
        residual: bool = False,
        slices: int | None = None,
        form: Form = "plain",
    ) -> None:
        super().__init__()
        _require(spatial_dims in _CONVOLUTION, "spatial_dims", "2 or 3", spatial_dims)
        _require(width >= 1, "width", "at least 1", width)
        _require(blocks >= 0, "blocks", "at least 0", blocks)
        _require(normalization in ("instance", "none"), "normalization", "'instance' or 'none'", normalization)
        _require(
            slices is None or (spatial_dims == 3 and slices >= 1 and slices % 2 == 1),
            "slices",
            "odd, and volumes (spatial_dims 3)",
            (slices, spatial_dims),
        )
        self.spatial_dims = spatial_dims
        self.slices = slices
        self.network_dims = spatial_dims if slices is None else 2
        self.normalization: str = normalization
        self.body_mask = body_mask
        self.skips = skips
        self.residual = residual
        self.outside = outside
        conv, transposed = _CONVOLUTION[self.network_dims], _TRANSPOSED[self.network_dims]
        widths = [width * 2**level for level in range(_HALVINGS + 1)]
        self.stem = conv((2 if body_mask else 1) * (slices or 1), width, 2 * _REACH + 1)
        self.downs = nn.ModuleList(conv(w, 2 * w, 3, stride=2, padding=1) for w in widths[:-1])
        self.blocks = nn.ModuleList(ResidualBlock(self.network_dims, widths[-1]) for _ in range(blocks))
        self.ups = nn.ModuleList(
            transposed(2 * w, w, 3, stride=2, padding=1, output_padding=1) for w in reversed(widths[:-1])
        )
        self.head = conv(width, 1, 2 * _REACH + 1)
        self.set_form(checked_form(form))

    def set_form(self, form: Form) -> None:
        """Choose how the same function is computed; weights and results do not change beyond rounding.

        Notes
        -----
        The fast form works channels-last, folds the few channels of stem and head (see
        :mod:`medgan.networks.folded_convolution`) and keeps small volumes off torch's slow convolution.
        """
        self.form: Form = checked_form(form)
        lay_out(self, self.form, spatial_dims=self.network_dims)

    def convolutions(self) -> Iterator[tuple[Convolution, float]]:
        """Yield the convolutions with the gain each starts with where there is no normalization.

        Notes
        -----
        sqrt(2) before a ReLU (He); 0.1 for what closes a residual block, so that the blocks start near the identity and
        depth does not multiply the variance; 0.5 before tanh, so that it starts in its linear range, and 0.05 where
        the tanh is added to the image, so that a training starts near the identity. Free choices.
        """
        he = 2.0**0.5
        yield self.stem, he
        for down in self.downs:
            yield down, he  # type: ignore[misc]
        for block in self.blocks:
            yield block.first, he  # type: ignore[misc]
            yield block.second, 0.1  # type: ignore[misc]
        for up in self.ups:
            yield up, he  # type: ignore[misc]
        yield self.head, 0.05 if self.residual else 0.5

    def forward(self, image: Tensor, body: Tensor | None = None) -> Tensor:
        """Translate a batch.

        Parameters
        ----------
        image : Tensor
            (N, 1, I, J[, K]), values in [-1, 1].
        body : Tensor or None
            Same shape, 1 inside the body and 0 outside (bool or floating point); given exactly when the generator was
            made with ``body_mask``.

        Returns
        -------
        Tensor
            Same shape, float32 (float64 for a float64 network), in [-1, 1]; exactly ``outside`` where ``body`` is 0.

        Raises
        ------
        NetworkError
            For another shape, or a mask that is missing or not expected.
        """
        self._check(image, body)
        stacked = image if body is None else torch.cat((image, body.to(image.dtype)), dim=1)
        if self.slices is not None:
            stacked = slices_as_channels(stacked, self.slices)
        size = stacked.shape[2:]
        padding = [pad for length in reversed(size) for pad in (0, -length % 2**_HALVINGS)]
        if any(padding):
            stacked = F.pad(stacked, padding, mode="replicate")
        translated = torch.tanh(self._fast(stacked) if self.form == "fast" else self._plain(stacked))
        for axis, length in enumerate(size):
            translated = translated.narrow(2 + axis, 0, length)
        if self.slices is not None:
            translated = slices_as_volume(translated, len(image))
        if self.residual:
            translated = (image + 2.0 * translated).clamp(-1.0, 1.0)
        if body is not None:
            translated = torch.where(body > 0.5, translated, self.outside)
        return translated

    def _plain(self, image: Tensor) -> Tensor:
        reflection = (_REACH,) * (2 * self.network_dims)
        hidden = self._inner(self.stem(F.pad(image, reflection, mode="reflect")), fast=False)
        logits = self.head(F.pad(hidden, reflection, mode="reflect"))
        return logits.to(wide(logits.dtype))

    def _fast(self, image: Tensor) -> Tensor:
        padded = F.pad(image, (_REACH,) * (2 * self.network_dims), mode="reflect")
        hidden = convolve_few_inputs(padded, self.stem.weight, self.stem.bias)
        hidden = self._inner(hidden.contiguous(memory_format=CHANNELS_LAST[self.network_dims]), fast=True)
        return convolve_few_outputs(hidden, self.head.weight, self.head.bias)

    def _inner(self, hidden: Tensor, *, fast: bool) -> Tensor:
        """Everything between stem and head."""
        normalize = self.normalization == "instance"
        convolve_down = convolve_halves_exactly if fast else convolve
        convolve_up = convolve_transposed_halves_exactly if fast else convolve_transposed
        hidden = activated_norm(hidden, slope=0.0) if normalize else rectified(hidden)
        encoded = []
        for down in self.downs:
            encoded.append(hidden)
            hidden = convolve_down(hidden, down.weight, down.bias, stride=2, padding=1)  # type: ignore[arg-type]
            hidden = activated_norm(hidden, slope=0.0) if normalize else rectified(hidden)
        for block in self.blocks:
            hidden = block(hidden, normalize, fast)
        for up in self.ups:
            hidden = convolve_up(hidden, up.weight, up.bias)  # type: ignore[arg-type]
            hidden = activated_norm(hidden, slope=0.0) if normalize else rectified(hidden)
            if self.skips:
                hidden = added(hidden, encoded.pop())
        return hidden

    def _check(self, image: Tensor, body: Tensor | None) -> None:
        if image.ndim != self.spatial_dims + 2 or image.shape[1] != 1 or 0 in image.shape:
            raise NetworkError(
                f"A {self.spatial_dims}-D generator needs images of shape (N, 1{', n' * self.spatial_dims}): "
                f"found {tuple(image.shape)}."
            )
        if self.body_mask != (body is not None):
            found, cure = ("none", "pass body=") if body is None else ("one", "make it with body_mask=True")
            expected = "a" if self.body_mask else "no"
            raise NetworkError(f"This generator was made for {expected} body mask: found {found}; {cure}.")
        if body is not None and body.shape != image.shape:
            raise NetworkError(f"A body mask needs its image's shape {tuple(image.shape)}: found {tuple(body.shape)}.")


def _require(holds: bool, name: str, required: str, found: object) -> None:
    if not holds:
        raise NetworkError(f"ResidualGenerator needs {name} {required}: found {found!r}.")
