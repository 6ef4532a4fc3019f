"""Discriminators of volumes and the boundary U-Net: sizes, reach, forms, and gradients that are numbers."""

from __future__ import annotations

import pytest
import torch

from medgan.errors import NetworkError
from medgan.networks.boundary_unet import BoundaryUNet
from medgan.networks.initialization import initialize
from medgan.networks.residual_discriminator import ResidualDiscriminator
from medgan.networks.volume_discriminators import POOLS, VolumeDiscriminator
from medgan.training.precision import autocast


def ready(network):
    initialize(network, torch.Generator().manual_seed(1))
    return network


def image(*size: int, channels: int = 1) -> torch.Tensor:
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.mark.parametrize("shape", POOLS)
def test_a_small_judge_gives_one_verdict_for_its_smallest_image(shape):
    network = ready(VolumeDiscriminator(shape=shape, width=2, in_channels=2))
    smallest = network.smallest_size
    assert network(image(*smallest, channels=2)).shape == (1, 1, 1, 1, 1)
    with pytest.raises(NetworkError, match="at least"):
        network(image(smallest[0] - 1, *smallest[1:], channels=2))


def test_the_published_crop_of_33_gives_one_verdict():
    assert ready(VolumeDiscriminator(width=2))(image(33, 33, 33)).shape == (1, 1, 1, 1, 1)


def test_thick_sections_need_fewer():
    sizes = {shape: VolumeDiscriminator(shape=shape, width=2).smallest_size[2] for shape in POOLS}
    assert sizes == {"isotropic": 30, "anisotropic": 12, "flat": 1}
    assert ResidualDiscriminator(width=1, section_strides=(1, 1, 2)).smallest_size == (8, 8, 2)


def test_the_residual_judge_gives_a_map_without_pooling_it():
    network = ready(ResidualDiscriminator(width=2))
    assert network(image(24, 16, 8)).shape == (1, 1, 3, 2, 1)
    assert ready(ResidualDiscriminator(width=2, section_strides=(1, 1, 1)))(image(16, 16, 8)).shape[-1] == 8


@pytest.mark.parametrize("make", [ResidualDiscriminator, VolumeDiscriminator])
def test_what_a_judge_cannot_judge_is_refused(make):
    with pytest.raises(NetworkError, match="at least 1 channel"):
        make(in_channels=0)
    with pytest.raises(NetworkError, match=r"images of shape \(N, 1, I, J, K\)"):
        make(width=2)(image(40, 40, 40, channels=2))


def test_strides_and_shapes_that_do_not_exist_are_refused():
    with pytest.raises(NetworkError, match="three section_strides"):
        ResidualDiscriminator(section_strides=(2, 3, 2))
    with pytest.raises(NetworkError, match="a shape of isotropic"):
        VolumeDiscriminator(shape="round")


@pytest.mark.parametrize(
    "network",
    [
        ResidualDiscriminator(width=2),
        VolumeDiscriminator(shape="anisotropic", width=3),
        BoundaryUNet(width=3, section_pools=(2, 1), section_kernels=(1, 3, 3)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_both_forms_are_one_function(network):
    ready(network).set_form("plain")
    x = image(32, 32, 16)
    plain = network(x)
    network.set_form("fast")
    torch.testing.assert_close(network(x), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "size"), [(lambda: ResidualDiscriminator(width=2), 16), (lambda: BoundaryUNet(width=4), 8)]
)
def test_gradients_in_half_precision_are_numbers_where_the_deepest_level_is_tiny(make, size):
    # torch's gradient of a bfloat16 kernel of 3 over 2 x 2 x 2 voxels holds memory that was never written.
    for seed in range(4):
        network = ready(make())
        unwritten = [torch.full((n,), float("nan")) for n in (100, 1000, 5000, 20000) for _ in range(20)]
        del unwritten
        x = torch.rand(1, 1, size, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        with autocast("bfloat16", torch.device("cpu")):
            verdict = network(x)
        (verdict - 1).square().mean().backward()
        assert all(bool(p.grad.isfinite().all()) for p in network.parameters())


@pytest.mark.parametrize(("pools", "kernels"), [((2, 2), None), ((1, 2), (1, 3, 3)), ((1,), (1, 1))], ids=str)
def test_a_logit_sees_no_farther_than_the_reach(pools, kernels):
    network = ready(BoundaryUNet(width=2, section_pools=pools, section_kernels=kernels)).double()
    n = 2 * max(network.reach) + 8
    x = image(n, n, n).double().requires_grad_(True)
    middle = n // 2
    network(x)[0, 0, middle, middle, middle].backward()
    seen = (x.grad[0, 0] != 0).nonzero() - middle
    for axis, reach in enumerate(network.reach):
        assert -reach <= int(seen[:, axis].min()) <= 0 <= int(seen[:, axis].max()) <= reach
    if kernels == (1, 1):
        assert network.reach[2] == 0


def test_a_shift_by_whole_pooling_steps_shifts_the_logits():
    network = ready(BoundaryUNet(width=2))
    assert network.granularity == (4, 4, 4)
    x = image(80, 64, 64)
    reach = network.reach[0]
    inner = slice(reach + 2, 64 - reach - 2)
    one, other = network(x[:, :, :64]), network(x[:, :, 4:68])
    torch.testing.assert_close(one[:, :, inner][:, :, 4:], other[:, :, inner][:, :, :-4], rtol=1e-4, atol=1e-5)


def test_any_size_is_segmented():
    network = ready(BoundaryUNet(width=2, out_channels=3))
    assert network(image(7, 9, 5)).shape == (1, 3, 7, 9, 5)
    with pytest.raises(NetworkError, match="boundary U-Net needs images"):
        network(image(8, 8, 8, channels=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "at least 1"),
        ({"section_pools": (3,)}, "numbers of 1 or 2"),
        ({"section_kernels": (3, 3)}, "3 numbers, each 1 or 3"),
    ],
)
def test_settings_of_the_unet_are_checked(options, message):
    with pytest.raises(NetworkError, match=message):
        BoundaryUNet(**options)
