"""The U-Net: shapes, the two forms, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from medgan.errors import NetworkError
from medgan.networks.initialization import initialize
from medgan.networks.unet import UNet


def made(**changes) -> UNet:
    settings = {"spatial_dims": 2, "in_channels": 2, "classes": 3, "width": 8, "levels": 2, **changes}
    network = UNet(**settings)
    initialize(network, torch.Generator().manual_seed(1))
    return network


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (5, 4)])
@pytest.mark.parametrize("normalization", ["group", "instance", "none"])
def test_result_has_the_image_size_and_both_forms_agree(size, normalization):
    plain, fast = made(normalization=normalization), made(normalization=normalization, form="fast")
    image = torch.rand(2, 2, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    one, other = plain(image), fast(image)
    assert one.shape == (2, 3, *size)
    assert one.dtype == torch.float32
    assert torch.allclose(one, other, atol=1e-4)
    one.square().mean().backward()
    other.square().mean().backward()
    for a, b in zip(plain.parameters(), fast.parameters()):
        scale = max(float(a.grad.abs().max()), 1e-3)
        assert float((a.grad - b.grad).abs().max()) < 1e-3 * scale


def test_three_dimensions_with_a_short_last_axis():
    network = made(spatial_dims=3, levels=3, halve_last=False)
    assert network(torch.zeros(1, 2, 16, 9, 3)).shape == (1, 3, 16, 9, 3)
    assert network.factors == (2, 2, 1)
    # Nothing is lost along the last axis: the bottom has as many slices.
    assert made(spatial_dims=3)(torch.zeros(1, 2, 8, 8, 5)).shape == (1, 3, 8, 8, 5)


def test_group_normalization_keeps_relative_means_and_instance_erases_them():
    image = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(3))
    shifted = image.clone()
    shifted[:, 1] += 0.5
    for normalization, differs in (("group", True), ("instance", False)):
        network = made(normalization=normalization, levels=1)
        inner = network.encoder[0].first
        torch.nn.init.zeros_(inner.weight)
        # Half of the channels copy the first contrast, half the second: their difference is the contrast.
        with torch.no_grad():
            inner.weight[:4, 0, 1, 1] = 1
            inner.weight[4:, 1, 1, 1] = 1
        change = (network(shifted) - network(image)).detach().abs().max()
        assert (float(change) > 1e-3) is differs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spatial_dims": 4}, "spatial_dims 2 or 3: found 4"),
        ({"levels": 0}, "at least 1"),
        ({"normalization": "batch"}, "'group', 'instance' or 'none': found 'batch'"),
        ({"width": 12}, "a multiple of 8 for groups: found 12"),
    ],
)
def test_refused_settings(changes, message):
    with pytest.raises(NetworkError, match=message):
        made(**changes)


@pytest.mark.parametrize("shape", [(1, 2, 8), (1, 3, 8, 8), (1, 2, 8, 0)])
def test_refused_images(shape):
    with pytest.raises(NetworkError, match="needs images of shape"):
        made()(torch.zeros(shape))
