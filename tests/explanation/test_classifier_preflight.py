"""Every rule of the preflight: a network that breaks it, and one that passes."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from explained_networks import (
    BatchMean,
    ClampedRelu,
    Constant,
    Detached,
    FunctionalRelu,
    NanGradient,
    PooledNet,
    Probabilities,
    ReusedRelu,
    Rounded,
    SmallNet,
    pictures,
    scored,
)
from torch import nn

from medgan.errors import ExplanationError
from medgan.explanation.discriminative import METHODS
from medgan.explanation.preflight import RULES, preflight
from medgan.explanation.scored_classifier import ScoredClassifier

IMAGES = pictures(6)
REWRITING = {"d_dl", "d_ggc", "deconvolution", "deeplift", "guided_backprop", "guided_grad_cam"}


def failed(module, *, rule, layer="second_relu", space="logit", images=IMAGES, methods=tuple(METHODS)):
    found = preflight(scored(module, layer=layer, space=space), images, methods=methods)
    reasons = [one for one in found.failures if one.rule == rule]
    assert reasons, [f"{one.rule}: {one.reason}" for one in found.findings if one.status != "passed"]
    return found, reasons


def test_a_sound_classifier_passes_every_rule_with_every_method():
    found = preflight(scored(SmallNet()), IMAGES, methods=tuple(METHODS))
    assert found.passed, found.failures
    assert not found.refused
    assert {one.rule for one in found.findings} == set(RULES)
    assert all(one.status == "passed" for one in found.findings)


def test_a_sound_classifier_of_volumes_passes():
    found = preflight(scored(SmallNet(spatial=3)), pictures(4, 8, spatial=3), methods=tuple(METHODS))
    assert found.passed, found.failures


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (FunctionalRelu(), "1 of 2 calls of ReLU are functional"),
        (ReusedRelu(), "'first_relu' is used 2 times"),
        (ClampedRelu(), "clamp may work as a rectifier"),
    ],
)
def test_rectifiers_out_of_reach_refuse_the_methods_that_need_them_and_no_other(module, sentence):
    found, reasons = failed(module, rule="rectifiers")
    assert all(sentence in one.reason for one in reasons)
    assert set(found.refused) == REWRITING
    assert not found.fatal


def test_a_scripted_classifier_is_refused_where_hooks_are_needed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.trace(SmallNet().eval(), IMAGES[:1])
    found, reasons = failed(module, rule="rectifiers")
    assert all("scripted modules cannot be hooked" in one.reason for one in reasons)
    assert "ran 0 times" in found.refused["grad_cam"]
    assert set(found.refused) == REWRITING | {m for m in METHODS if METHODS[m].layer}


def test_a_network_without_relu_has_no_guided_backprop():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        module[4].weight.mul_(10)
    found, _ = failed(module, rule="rectifiers", layer="1", methods=("guided_backprop", "deeplift"))
    assert "has no ReLU" in found.refused["guided_backprop"]
    assert "deeplift" not in found.refused


def test_saturated_probabilities_are_refused():
    found, (one,) = failed(Probabilities(), rule="saturated scores", space="softmax")
    assert found.fatal
    assert "within 1e-06 of 0 or 1" in one.reason
    assert set(found.refused) == set(METHODS)


@pytest.mark.parametrize(
    ("module", "rule", "sentence"),
    [
        (Constant(), "constant output", "untrained or ignores its input"),
        (BatchMean(), "batch dependence", "depends on its neighbors"),
        (nn.Conv2d(1, 2, 3), "output form", "found shape"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), "output form", r"cannot read images of shape \(1, 16, 16\)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), "output form", "3 outputs for 2 class names"),
    ],
)
def test_faults_that_stop_everything(module, rule, sentence):
    found, (one,) = failed(module, rule=rule, layer="")
    assert found.fatal
    assert re.search(sentence, one.reason)


def test_scores_that_are_not_finite_are_refused():
    module = SmallNet()
    with torch.no_grad():
        module.head.bias.fill_(float("nan"))
    _, (one,) = failed(module, rule="output form")
    assert "not finite for real images" in one.reason


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ((IMAGES + 1) * 127.5, "values lie outside"),
        (IMAGES / 255, "scaled twice or not"),
        ((IMAGES + 1) / 2, "only 50% is used"),
    ],
)
def test_a_wrong_value_range_is_refused(images, sentence):
    _, (one,) = failed(SmallNet(), rule="value range", images=images)
    assert sentence in one.reason


def test_another_declared_range_is_right_for_its_images():
    images = (IMAGES + 1) / 2
    found = preflight(scored(SmallNet()), images, value_range=(0, 1), methods=("d_ig",))
    assert found.passed, found.failures


def test_train_mode_is_refused_without_running_the_classifier():
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    classifier = scored(module, layer="0")
    module[1].train()
    before = module[1].running_mean.clone()
    found = preflight(classifier, IMAGES)
    assert found.failures[0].rule == "train mode"
    assert found.failures[0].reason.startswith("1 is in train mode (1 modules are)")
    assert found.fatal
    assert {one.status for one in found.findings[1:]} == {"not checked"}
    assert torch.equal(module[1].running_mean, before)


@pytest.mark.parametrize("layer", ["head", ""])
def test_a_target_layer_without_spatial_extent_refuses_what_needs_it(layer):
    found, (one,) = failed(SmallNet(), rule="target layer", layer=layer)
    assert "no spatial extent" in one.reason or "name the last layer with a spatial extent" in one.reason
    assert set(found.refused) == {m for m in METHODS if METHODS[m].layer}
    assert not found.fatal


def test_maps_that_are_zero_or_nan_refuse_their_method():
    found, reasons = failed(Rounded(), rule="map", methods=("saliency", "d_ig", "occlusion", "residual"))
    assert {one.refuses for one in reasons} == {("saliency",), ("d_ig",)}
    assert "zero everywhere" in reasons[0].reason
    found = preflight(scored(NanGradient()), IMAGES, methods=("saliency", "occlusion"))
    assert "saliency" in found.refused
    assert "not finite" in found.refused["saliency"]
    assert "occlusion" not in found.refused


def test_an_incomplete_deeplift_is_refused_by_its_delta():
    found, reasons = failed(PooledNet(), rule="map", methods=("d_dl", "d_ig"))
    assert set(found.refused) == {"d_dl"}
    assert "found a delta of" in reasons[0].reason


def test_a_model_without_gradients_says_what_it_cannot_do():
    found, (one,) = failed(Detached(), rule="gradient")
    assert "occlusion, residual, random" in one.reason
    assert set(found.refused) == {m for m in METHODS if METHODS[m].gradient}
    assert not found.fatal
    assert any(f.rule == "map" and "occlusion" in f.reason and f.status == "passed" for f in found.findings)


def test_the_preflight_itself_asks_for_images_and_known_methods():
    with pytest.raises(ExplanationError, match="at least four real images of different classes: found 3"):
        preflight(scored(SmallNet()), IMAGES[:3])
    with pytest.raises(ExplanationError, match="lime: not an attribution method"):
        preflight(scored(SmallNet()), IMAGES, methods=("lime",))


def test_the_preflight_changes_nothing():
    classifier = scored(SmallNet(inplace=True))
    before = {k: v.clone() for k, v in classifier.module.state_dict().items()}
    preflight(classifier, IMAGES, methods=tuple(METHODS))
    assert all(torch.equal(v, before[k]) for k, v in classifier.module.state_dict().items())
    assert classifier.module.first_relu.inplace
    assert all(p.grad is None for p in classifier.module.parameters())
    assert isinstance(classifier, ScoredClassifier)
