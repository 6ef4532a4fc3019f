"""The patch discriminator: sizes, receptive field, refusals; its fast form is tested with the generator's."""

from __future__ import annotations

from inspect import signature

import pytest
import torch

from medgan.errors import NetworkError
from medgan.networks.form import FORMS, preferred_form
from medgan.networks.initialization import initialize
from medgan.networks.patch_discriminator import PatchDiscriminator
from medgan.networks.table import NETWORKS


def discriminator(**options) -> PatchDiscriminator:
    network = PatchDiscriminator(width=2, **options)
    initialize(network, torch.Generator().manual_seed(1))
    return network


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("form", FORMS)
def test_smallest_size_gives_one_patch_and_less_is_refused(layers, form):
    network = discriminator(spatial_dims=2, layers=layers, form=form)
    smallest = network.smallest_size
    assert network(torch.zeros(1, 1, smallest, smallest)).shape == (1, 1, 1, 1)
    with pytest.raises(NetworkError, match=rf"at least {smallest} voxels along every axis: found \({smallest - 1}, 99"):
        network(torch.zeros(1, 1, smallest - 1, 99))


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field(layers, field):
    network = discriminator(spatial_dims=2, layers=layers, normalization="none")
    image = torch.zeros(1, 1, 160, 160, requires_grad=True)
    logits = network(image)
    middle = logits.shape[-1] // 2
    (gradient,) = torch.autograd.grad(logits[0, 0, middle, middle], image)
    rows = gradient[0, 0].abs().sum(dim=1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == field


def test_every_patch_of_a_larger_image_has_a_verdict_without_sigmoid():
    network = discriminator(spatial_dims=3, layers=2)
    with torch.no_grad():
        logits = network(torch.randn(2, 1, 16, 20, 24, generator=torch.Generator().manual_seed(1)))
    assert logits.shape == (2, 1, 2, 3, 4)
    assert logits.dtype == torch.float32
    assert float(logits.min()) < 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spatial_dims": 1}, "spatial_dims 2 or 3: found 1"),
        ({"spatial_dims": 3, "layers": 0}, "at least 1"),
        ({"spatial_dims": 3, "normalization": "batch"}, "found 'batch'"),
        ({"spatial_dims": 3, "form": "quick"}, "found 'quick'"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(NetworkError, match=message):
        PatchDiscriminator(**options)


def test_refused_channels():
    with pytest.raises(NetworkError, match=r"shape \(N, 2, n, n\): found \(1, 1, 24, 24\)"):
        discriminator(spatial_dims=2, in_channels=2)(torch.zeros(1, 1, 24, 24))


def test_preferred_form():
    assert preferred_form("cpu", "bfloat16") == "fast"
    assert preferred_form("cuda", "float32") == "plain"
    with pytest.raises(NetworkError, match="found 'float16'"):
        preferred_form("cpu", "float16")


def test_the_table_builds_every_network_in_both_dimensions():
    for network in NETWORKS.values():
        arguments = signature(network).parameters
        needed = {name for name, one in arguments.items() if one.default is one.empty}
        if needed - {"spatial_dims", "width"} or "spatial_dims" not in arguments:
            continue  # built in its own tests
        for spatial_dims in (2, 3):
            assert any(True for _ in network(spatial_dims=spatial_dims, width=2).parameters())
