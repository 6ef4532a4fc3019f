"""The two classifiers: what attribution methods need of them holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medgan.errors import NetworkError
from medgan.networks.classifier import CLASSIFIERS, FEATURES, initialize_classifier
from medgan.networks.table import NETWORKS

NAMES = sorted(CLASSIFIERS)


def built(name: str, **options) -> nn.Module:
    network = CLASSIFIERS[name](**{"width": 3, "stages": 3, "depth": 2, **options})
    initialize_classifier(network, torch.Generator().manual_seed(0))
    return network.eval()


def relu_nodes(result: torch.Tensor) -> int:
    """Count the ReLUs in the graph behind a result."""
    seen, count, open_nodes = set(), 0, [result.grad_fn]
    while open_nodes:
        node = open_nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        count += type(node).__name__.startswith("ReluBackward")
        open_nodes += [parent for parent, _ in node.next_functions]
    return count


@pytest.mark.parametrize("name", NAMES)
def test_every_relu_is_a_module_used_once_and_nothing_is_in_place(name):
    network = built(name)
    relus = [m for m in network.modules() if isinstance(m, nn.ReLU)]
    calls = []
    for relu in relus:
        assert not relu.inplace
        relu.register_forward_hook(lambda module, given, result: calls.append(module))
    result = network(torch.randn(2, 1, 28, 28).requires_grad_()).sum()
    assert relu_nodes(result) == len(relus) == len(calls) == len(set(calls)) > 3
    assert not any(isinstance(m, nn.MaxPool2d | nn.GroupNorm) for m in network.modules())


def test_the_count_of_relus_sees_a_functional_one():
    assert relu_nodes(torch.relu(torch.randn(3, requires_grad=True)).sum()) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "stages", "least"), [(28, 3, 7), (64, 4, 8), (96, 4, 12), (29, 3, 8)])
def test_the_last_feature_map_is_large_enough(name, size, stages, least):
    network = built(name, stages=stages)
    features = network.get_submodule(FEATURES)(torch.zeros(1, 1, size, size))
    assert features.shape[2:] == (least, least)
    assert network(torch.zeros(2, 1, size, size)).shape == (2, 2)


@pytest.mark.parametrize("name", NAMES)
def test_three_dimensions_work_too(name):
    network = built(name, spatial_dims=3, in_channels=2, classes=4)
    assert network(torch.randn(2, 2, 12, 9, 8)).shape == (2, 4)


@pytest.mark.parametrize("name", NAMES)
def test_results_do_not_depend_on_the_batch(name):
    network, images = built(name), torch.randn(5, 1, 28, 28)
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_brightness_is_not_erased(name):
    network, image = built(name), torch.randn(1, 1, 28, 28)
    assert (network(image + 0.5) - network(image)).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_weights_depend_on_the_generator_alone(name):
    torch.manual_seed(1)
    first = built(name).state_dict()
    torch.manual_seed(2)
    second = built(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = CLASSIFIERS[name](width=3, stages=3, depth=2)
    initialize_classifier(other, torch.Generator().manual_seed(1))
    assert any(not torch.equal(first[key], other.state_dict()[key]) for key in first)


def test_the_architectures_differ_and_stand_in_the_table():
    first, second = (built(name) for name in NAMES)
    assert {k: v.shape for k, v in first.state_dict().items()} != {k: v.shape for k, v in second.state_dict().items()}
    assert all(NETWORKS[name] is CLASSIFIERS[name] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", [{"spatial_dims": 1}, {"width": 0}, {"stages": 0}, {"classes": 0}])
def test_impossible_choices_are_refused(name, option):
    with pytest.raises(NetworkError, match=next(iter(option))):
        CLASSIFIERS[name](**option)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 2, 28, 28), (1, 28, 28), (0, 1, 28, 28)])
def test_other_shapes_are_refused(name, shape):
    with pytest.raises(NetworkError, match=r"\(N, 1, n, n\)"):
        built(name)(torch.zeros(shape))
