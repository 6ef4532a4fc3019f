"""2.5-D: slices with their neighbors as channels, and the generator that is made of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medgan.errors import NetworkError
from medgan.networks.initialization import initialize
from medgan.networks.neighboring_slices import slices_as_channels, slices_as_volume
from medgan.networks.residual_generator import ResidualGenerator


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def sliced(slices: int, **options) -> ResidualGenerator:
    settings = {"spatial_dims": 3, "width": 4, "blocks": 1, "normalization": "none", "skips": True, **options}
    network = ResidualGenerator(slices=slices, **settings)
    initialize(network, torch.Generator().manual_seed(1))
    return network


@settings(deadline=None, derandomize=True, max_examples=15)
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 5), st.sampled_from([1, 3, 5, 7]))
def test_each_slice_comes_with_its_neighbors_of_every_channel(volumes, channels, length, slices):
    image = random(volumes, channels, 3, 2, length)
    planes = slices_as_channels(image, slices)
    assert planes.shape == (volumes * length, channels * slices, 3, 2)
    for volume in range(volumes):
        for k in range(length):
            for channel in range(channels):
                for s in range(slices):
                    there = min(max(k + s - slices // 2, 0), length - 1)
                    found = planes[volume * length + k, channel * slices + s]
                    assert torch.equal(found, image[volume, channel, :, :, there])


def test_slices_come_back_as_the_volumes_that_they_were():
    image = random(2, 3, 4, 5, 6)
    assert torch.equal(slices_as_volume(slices_as_channels(image, 1), 2), image)


@pytest.mark.parametrize("form", ["plain", "fast"])
@pytest.mark.parametrize("extent", [(9, 13, 3), (8, 12, 1), (16, 7, 5)])
def test_a_volume_of_any_size_keeps_it_and_is_outside_where_the_body_is_not(form, extent):
    network, image = sliced(3, body_mask=True, form=form, outside=-0.875), random(2, 1, *extent)
    body = random(2, 1, *extent, seed=5) > -0.4
    result = network(image, body)
    assert result.shape == image.shape
    assert result.dtype == torch.float32
    assert torch.all(result[~body] == -0.875)
    assert torch.all(result[body] != -0.875)


def test_a_slice_depends_on_its_neighbors_and_on_no_slice_beyond_them():
    network, image = sliced(5), random(1, 1, 12, 12, 9)
    before = network(image)
    changed = image.clone()
    changed[..., 4] += 0.5
    moved = (network(changed) - before).abs().amax(dim=(0, 1, 2, 3)) > 0
    assert moved.tolist() == [False, False, True, True, True, True, True, False, False]


def test_with_one_slice_it_is_the_two_dimensional_generator_slice_by_slice():
    network, image = sliced(1), random(2, 1, 12, 10, 3)
    flat = ResidualGenerator(spatial_dims=2, width=4, blocks=1, normalization="none", skips=True)
    flat.load_state_dict(network.state_dict())
    for k in range(3):
        torch.testing.assert_close(network(image)[..., k], flat(image[..., k]))


def test_both_forms_are_one_function_with_one_gradient():
    network, image = sliced(3).double(), random(2, 1, 14, 11, 4).double()
    results = {}
    for form in ("plain", "fast"):
        network.set_form(form)
        network.zero_grad()
        output = network(image)
        (output * random(*output.shape, seed=3).double()).sum().backward()
        results[form] = [output.detach(), *(weight.grad.clone() for weight in network.parameters())]
    for plain, fast in zip(results["plain"], results["fast"]):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-10)


def test_it_has_fewer_weights_than_the_three_dimensional_one():
    deep = ResidualGenerator(spatial_dims=3, width=4, blocks=1, normalization="none")

    def count(network):
        return sum(weight.numel() for weight in network.parameters())

    assert count(sliced(5)) < count(deep) / 2


@pytest.mark.parametrize(("slices", "dims"), [(2, 3), (0, 3), (-1, 3), (3, 2)])
def test_slices_that_have_no_middle_or_no_volume_are_refused(slices, dims):
    with pytest.raises(NetworkError, match=rf"slices odd, and volumes \(spatial_dims 3\): found \({slices}, {dims}\)"):
        ResidualGenerator(spatial_dims=dims, slices=slices)
