"""The learning rate as a function of the step, and the moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medgan.errors import TrainingError
from medgan.training.exponential_average import ExponentialAverage
from medgan.training.schedule import rate_multiplier


def test_constant_then_linear_to_zero():
    values = [rate_multiplier(step, steps=10, constant_fraction=0.6) for step in range(12)]
    assert values == pytest.approx([1] * 7 + [0.75, 0.5, 0.25, 0, 0])


@pytest.mark.parametrize(("fraction", "middle"), [(0.0, 0.5), (1.0, 1.0)])
def test_extremes(fraction, middle):
    assert rate_multiplier(5, steps=10, constant_fraction=fraction) == middle
    assert rate_multiplier(0, steps=10, constant_fraction=fraction) == 1.0
    assert rate_multiplier(10, steps=10, constant_fraction=fraction) == 0.0


@pytest.mark.parametrize(("steps", "fraction"), [(0, 0.5), (10, -0.1), (10, 1.1)])
def test_refused_schedules(steps, fraction):
    with pytest.raises(TrainingError, match=r"in \[0, 1\]: found"):
        rate_multiplier(0, steps=steps, constant_fraction=fraction)


def with_weight(value: float) -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def test_average_of_a_constant_is_the_constant():
    average = ExponentialAverage(with_weight(2.0), decay=0.9)
    for _ in range(5):
        average.update(with_weight(2.0))
    assert float(average.weights()["weight"]) == pytest.approx(2.0)


def test_average_follows_its_equation_with_warm_up():
    average = ExponentialAverage(with_weight(0.0), decay=0.15)
    average.update(with_weight(1.0))  # decay 1/10
    assert float(average.weights()["weight"]) == pytest.approx(0.9)
    average.update(with_weight(2.0))  # decay 0.15, below 2/11
    assert float(average.weights()["weight"]) == pytest.approx(0.15 * 0.9 + 0.85 * 2.0)


def test_average_does_not_move_the_network_nor_share_memory():
    network = with_weight(1.0)
    average = ExponentialAverage(network, decay=0.9)
    average.weights()["weight"].fill_(7.0)
    average.update(with_weight(3.0))
    assert float(network.weight.detach()) == 1.0
    assert float(average.weights()["weight"]) != 7.0


def test_a_saved_average_continues():
    first, second = (ExponentialAverage(with_weight(1.0), decay=0.9) for _ in range(2))
    for value in (2.0, 5.0, 1.0):
        first.update(with_weight(value))
    second.load_state_dict(first.state_dict())
    first.update(with_weight(4.0))
    second.update(with_weight(4.0))
    assert torch.equal(first.weights()["weight"], second.weights()["weight"])
    with pytest.raises(TrainingError, match="another network"):
        ExponentialAverage(nn.Linear(1, 1), decay=0.9).load_state_dict(first.state_dict())


def test_refused_decay():
    with pytest.raises(TrainingError, match=r"\[0, 1\): found 1.0"):
        ExponentialAverage(with_weight(1.0), decay=1.0)
