"""The memory layout that a device wants of a network's weights."""

from __future__ import annotations

import pytest
import torch

from medgan.networks.form import lay_out_for
from medgan.networks.residual_generator import ResidualGenerator


@pytest.mark.parametrize(
    ("options", "layout"), [({}, torch.channels_last_3d), ({"slices": 3}, torch.channels_last)], ids=["3-D", "2.5-D"]
)
@pytest.mark.parametrize(
    ("device", "precision", "is_last"),
    [
        ("cuda", "bfloat16", True),
        ("cuda:1", "bfloat16", True),
        ("cuda", "float32", False),
        ("cpu", "bfloat16", False),
    ],
)
def test_channels_are_innermost_in_bfloat16_on_cuda_only(options, layout, device, precision, is_last):
    network = ResidualGenerator(spatial_dims=3, width=2, blocks=1, **options)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lay_out_for(network, device, precision)
    weight = network.blocks[0].first.weight
    assert weight.is_contiguous(memory_format=layout) is is_last
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    image = torch.zeros(1, 1, 8, 8, 8)
    assert network(image).shape == image.shape
