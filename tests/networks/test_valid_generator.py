"""The VALID generator: its size, that it crops to the voxel, and that no voxel sees farther than its halo."""

from __future__ import annotations

import pytest
import torch

from medgan.errors import NetworkError
from medgan.networks.initialization import initialize
from medgan.networks.valid_residual_generator import ValidResidualGenerator, center


def made(**options) -> ValidResidualGenerator:
    network = ValidResidualGenerator(**{"depth": 2, "width": 3, **options})
    initialize(network, torch.Generator().manual_seed(1))
    return network.double()


def image(*size: int) -> torch.Tensor:
    return torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize(("depth", "parameters"), [(4, 194_689), (8, 416_129)])
def test_it_has_as_many_weights_as_the_published_ones(depth, parameters):
    assert sum(p.numel() for p in ValidResidualGenerator(depth=depth).parameters()) == parameters


@pytest.mark.parametrize(("kernels", "shrink"), [(None, (4, 4, 4)), ((1, 1), (4, 4, 0)), ((3, 1), (4, 4, 2))])
def test_it_shrinks_by_what_it_says(kernels, shrink):
    network = made(section_kernels=kernels)
    assert network.shrink == shrink
    size = network(image(13, 12, 11)).shape[2:]
    assert size == tuple(n - 2 * s for n, s in zip((13, 12, 11), shrink))


@pytest.mark.parametrize("kernels", [None, (3, 1)])
def test_a_voxel_depends_on_its_neighborhood_and_on_all_of_it(kernels):
    network = made(section_kernels=kernels)
    x = image(17, 17, 17).requires_grad_(True)
    result = network(x)
    middle = tuple(n // 2 for n in result.shape[2:])
    result[0, 0, *middle].backward()
    seen = (x.grad[0, 0] != 0).nonzero()
    reach = [(int(seen[:, axis].min()) - 8, int(seen[:, axis].max()) - 8) for axis in range(3)]
    assert reach == [(-s, s) for s in network.shrink]


def test_blocks_with_their_halo_are_the_whole_to_the_voxel():
    network, x = made(), image(18, 12, 12)
    whole = network(x)
    torch.testing.assert_close(network(x[:, :, 5:16]), whole[:, :, 5:8])


@pytest.mark.parametrize("head", ["tanh", "residual"])
def test_the_head(head):
    network = made(head=head)
    x = image(11, 11, 11)
    result = network(x)
    if head == "tanh":
        assert float(result.detach().abs().max()) < 1
    else:
        # The correction starts small, so that the result is the middle of the image nearly.
        assert float((result - center(x, like=result)).detach().abs().max()) < 0.3
        torch.nn.init.zeros_(network.last.weight)
        torch.nn.init.zeros_(network.last.bias)
        assert torch.equal(network(x), center(x, like=result))


def test_reflection_keeps_the_size_and_the_inside():
    network, x = made(), image(12, 13, 14)
    valid = network(x)
    network.padding = "reflect"
    result = network(x)
    assert result.shape == x.shape
    torch.testing.assert_close(center(result, like=valid), valid)
    body = torch.zeros_like(x)
    body[:, :, :6] = 1
    masked = network(x, body)
    assert bool((masked[:, :, 6:] == -1).all())
    torch.testing.assert_close(masked[:, :, :6], result[:, :, :6])


def test_noise_changes_the_result_and_none_is_zero():
    network = made(noise_channels=2)
    x = image(11, 11, 11)
    zeros = torch.zeros(1, 2, 11, 11, 11, dtype=torch.float64)
    network.float()
    x, zeros = x.float(), zeros.float()
    assert torch.equal(network(x), network(x, noise=zeros))
    assert not torch.equal(network(x), network(x, noise=zeros + 1))
    with pytest.raises(NetworkError, match="noise of this generator needs shape"):
        network(x, noise=zeros[:, :1])


def test_both_forms_are_one_function():
    network, x = made(), image(12, 12, 12)
    plain = network(x)
    network.set_form("fast")
    torch.testing.assert_close(network(x), plain)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth and width at least 1"),
        ({"section_kernels": (3,)}, "2 numbers, each 1 or 3"),
        ({"section_kernels": (3, 5)}, "2 numbers, each 1 or 3"),
        ({"head": "linear"}, "'tanh' or 'residual'"),
        ({"padding": "same"}, "'valid' or 'reflect'"),
        ({"noise_channels": -1}, "noise_channels at least 0"),
    ],
)
def test_settings_that_do_not_exist_are_refused(options, message):
    with pytest.raises(NetworkError, match=message):
        made(**options)


def test_an_image_below_the_field_of_view_is_refused():
    with pytest.raises(NetworkError, match=r"at least \(9, 9, 9\) voxels"):
        made()(image(9, 9, 8))
    with pytest.raises(NetworkError, match=r"shape \(N, 1, I, J, K\)"):
        made()(torch.zeros(1, 2, 12, 12, 12))
    with pytest.raises(NetworkError, match="Reflection needs more than"):
        made(padding="reflect")(image(4, 12, 12))


def test_a_middle_lies_in_the_middle():
    with pytest.raises(NetworkError, match="equal number of voxels"):
        center(torch.zeros(1, 1, 5), like=torch.zeros(1, 1, 2))
