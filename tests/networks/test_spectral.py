"""Spectral normalization of discriminators."""

from __future__ import annotations

import pytest
import torch

from medgan.networks.initialization import initialize
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.spectral import normalize_spectrally
from medgan.seeding import torch_generator


def discriminator(*, spectral: bool, form: str = "plain") -> PatchDiscriminator:
    network = PatchDiscriminator(spatial_dims=3, width=4, layers=1, normalization="none", form=form)
    initialize(network, torch_generator(1, "discriminator"))
    with torch.no_grad():
        for convolution, _ in network.convolutions():
            convolution.weight.mul_(7.0)
    if spectral:
        normalize_spectrally(network)
    return network


def largest_singular_values(network: PatchDiscriminator) -> list[float]:
    weights = [convolution.weight.detach().flatten(1) for convolution, _ in network.convolutions()]
    return [float(torch.linalg.matrix_norm(weight, 2)) for weight in weights]


def test_the_largest_singular_value_of_every_weight_is_one():
    network = discriminator(spectral=True)
    image = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(3))
    for _ in range(20):  # one power iteration a pass
        network(image)
    assert largest_singular_values(network) == pytest.approx([1.0] * 3, rel=0.02)
    assert min(largest_singular_values(discriminator(spectral=False))) > 2.0


def test_equal_weights_give_equal_bits_and_the_global_generator_is_left_alone():
    first = discriminator(spectral=False)
    torch.manual_seed(5)
    normalize_spectrally(first)
    following = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(following, torch.rand(1))
    torch.manual_seed(99)
    second = discriminator(spectral=True)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_fast_form_is_the_same_function():
    image = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(3))
    plain, fast = discriminator(spectral=True).eval(), discriminator(spectral=True, form="fast").eval()
    assert torch.allclose(plain(image), fast(image), atol=1e-5)
