"""Training of a classifier: cross-entropy, its options, and what its state keeps."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from medgan.errors import TrainingError
from medgan.methods.classification import ClassificationBatch, ClassificationSettings, build, step

SMALL = {"width": 3, "stages": 2, "depth": 1}


def batch(size: int = 8) -> ClassificationBatch:
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(size, 1, 12, 12, generator=generator) * 0.2
    label = torch.arange(size) % 2
    image[label == 1, :, 3:7, 3:7] += 0.8
    return ClassificationBatch(image=image.clamp(-1, 1), label=label, case_ids=("a",))


def trained(settings: ClassificationSettings, steps: int):
    state = build(settings, seed=1)
    losses = [step(state, batch(), settings, torch.Generator()) for _ in range(steps)]
    return state, losses


@pytest.mark.parametrize("network", ["convolutional_classifier", "residual_classifier"])
def test_a_visible_difference_is_learned(network):
    settings = ClassificationSettings(steps=40, network=network, rate=1e-2, average_decay=0.8, **SMALL)
    state, losses = trained(settings, 40)
    assert losses[0].cross_entropy == pytest.approx(math.log(2), abs=0.1)  # it begins undecided
    assert losses[-1].cross_entropy < 0.4
    assert losses[-1].accuracy == 1.0
    network_ = build(settings, seed=1).network
    network_.load_state_dict(state.weights())
    called = network_.eval()(batch().image).argmax(1)
    assert torch.equal(called, batch().label)


def test_the_loss_is_weighted_cross_entropy():
    settings = ClassificationSettings(steps=4, class_weights=[1, 3], label_smoothing=0.1, **SMALL)
    state = build(settings, seed=2)
    state.network.train()
    logits = state.network(batch().image)
    expected = F.cross_entropy(logits, batch().label, weight=torch.tensor([1.0, 3.0]), label_smoothing=0.1)
    found = step(build(settings, seed=2), batch(), settings, torch.Generator())
    assert found.cross_entropy == pytest.approx(float(expected.detach()), rel=1e-5)
    assert found.as_dict()["total"] == found.cross_entropy


def test_the_rate_falls_to_zero():
    settings = ClassificationSettings(steps=4, constant_fraction=0.5, rate=0.1, **SMALL)
    state = build(settings, seed=0)
    rates = []
    for _ in range(4):
        step(state, batch(), settings, torch.Generator())
        rates.append(state.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05])


def test_without_an_average_the_weights_are_the_current_ones():
    settings = ClassificationSettings(steps=2, **SMALL)
    state, _ = trained(settings, 2)
    assert torch.equal(state.weights()["verdict.weight"], state.network.verdict.weight)
    averaged, _ = trained(ClassificationSettings(steps=2, average_decay=0.5, **SMALL), 2)
    assert not torch.equal(averaged.weights()["verdict.weight"], averaged.network.verdict.weight)


def test_a_state_of_other_settings_is_refused():
    state = build(ClassificationSettings(steps=2, **SMALL), seed=0)
    other = build(ClassificationSettings(steps=2, average_decay=0.5, **SMALL), seed=0)
    with pytest.raises(TrainingError, match="differ in average"):
        state.load_state_dict(other.state_dict())


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"steps": 0}, "steps at least 1"),
        ({"network": "vgg"}, "network one of convolutional_classifier"),
        ({"classes": 1}, "classes at least 2"),
        ({"rate": 0.0}, "rate"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"class_weights": (1.0,)}, "class_weights 2 numbers above 0"),
        ({"class_weights": (1.0, 0.0)}, "class_weights"),
        ({"constant_fraction": 2.0}, "constant_fraction"),
    ],
)
def test_impossible_settings_are_refused(option, words):
    with pytest.raises(TrainingError, match=words):
        ClassificationSettings(**{"steps": 2, **option})
