"""The pair of generators, and the residual result that counterfactuals use."""

from __future__ import annotations

import pytest
import torch

from medgan.errors import NetworkError
from medgan.networks.counterfactual_pair import CounterfactualPair
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator

SETTINGS = {"spatial_dims": 2, "width": 3, "blocks": 1, "normalization": "none", "residual": True}


def generator(**options) -> ResidualGenerator:
    network = ResidualGenerator(**{**SETTINGS, **options})
    initialize(network, torch.Generator().manual_seed(0))
    return network


def images() -> torch.Tensor:
    return torch.rand(2, 1, 18, 13, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_a_residual_result_is_the_image_plus_twice_the_tanh():
    image = images()
    plain, residual = generator(residual=False), generator()
    residual.load_state_dict(plain.state_dict())
    expected = (image + 2 * plain(image)).clamp(-1, 1)
    torch.testing.assert_close(residual(image), expected)
    assert (residual(image) - plain(image)).abs().max() > 0.1


def test_a_training_starts_near_the_identity_only_where_the_result_is_residual():
    image = images()
    assert (generator()(image) - image).abs().mean() < 0.2
    assert (generator(residual=False)(image) - image).abs().mean() > 0.3


def test_a_residual_generator_can_reach_every_value():
    network = generator()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.fill_(20.0)
    assert torch.equal(network(images()), torch.ones(2, 1, 18, 13))


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (2, 1, 30, 17)])
def test_both_forms_are_one_function(shape):
    image = torch.rand(shape) * 2 - 1
    plain, fast = generator(form="plain"), generator(form="fast")
    torch.testing.assert_close(plain(image), fast(image), rtol=1e-4, atol=1e-5)


def test_outside_the_body_the_result_stays_fixed():
    image, body = images(), torch.ones(2, 1, 18, 13)
    body[..., :5] = 0
    result = generator(body_mask=True)(image, body)
    assert torch.equal(result[..., :5], torch.full_like(result[..., :5], -1.0))


def test_the_pair_translates_toward_either_class():
    pair, image = CounterfactualPair(**SETTINGS), images()
    assert pair.toward(1) is pair.source_to_target
    assert pair.toward(0) is pair.target_to_source
    torch.testing.assert_close(pair(image), pair.target_to_source(pair.source_to_target(image)))
    with pytest.raises(NetworkError, match="class 0 or class 1: found 2"):
        pair.toward(2)
