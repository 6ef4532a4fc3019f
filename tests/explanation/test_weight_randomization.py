"""The randomization check: what is left of a map when weights are random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explained_networks import SmallNet, pictures, scored
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import nn

from medgan.errors import ExplanationError
from medgan.explanation.attribution import saliency
from medgan.explanation.model_randomization import map_similarity, randomization_checks, randomized_classifiers
from medgan.seeding import torch_generator

IMAGES = pictures(3)


def gen():
    return torch_generator(5, "weights")


def test_full_randomization_draws_every_weight_and_leaves_the_trained_classifier_alone():
    classifier = scored(SmallNet())
    before = {k: v.clone() for k, v in classifier.module.state_dict().items()}
    ((name, other),) = randomized_classifiers(classifier, generator=gen())
    assert name == "all"
    for key, value in other.module.state_dict().items():
        assert torch.equal(value, before[key]) == (not key.endswith("weight")), key
        if key.endswith("weight"):
            assert float(value.std()) == pytest.approx(float(before[key].std()), rel=0.6)
    assert all(torch.equal(v, before[k]) for k, v in classifier.module.state_dict().items())
    (again,) = randomized_classifiers(classifier, generator=gen())
    assert all(torch.equal(a, b) for a, b in zip(other.module.parameters(), again[1].module.parameters()))


def test_cascading_goes_from_the_output_to_the_input_and_keeps_what_is_below():
    stages = randomized_classifiers(scored(SmallNet()), generator=gen(), mode="cascading")
    assert [name for name, _ in stages] == ["head", "second", "first"]
    original = SmallNet()
    assert torch.equal(stages[1][1].module.first.weight, original.first.weight)
    assert not torch.equal(stages[1][1].module.second.weight, original.second.weight)
    assert torch.equal(stages[2][1].module.head.weight, stages[0][1].module.head.weight)


def test_a_map_that_depends_on_weights_changes_and_one_that_does_not_stays():
    classifier = scored(SmallNet())
    maps = saliency(classifier, IMAGES, 1).maps
    changed = randomization_checks(classifier, maps, lambda c: saliency(c, IMAGES, 1).maps, generator=gen())
    same = randomization_checks(classifier, maps, lambda _c: maps, generator=gen())
    for one, other in zip(changed, same):
        assert other.rank_correlation == pytest.approx((1.0,))
        assert other.ssim == pytest.approx((1.0,))
        assert one.rank_correlation[0] < 0.9
        assert "rank correlation" in one.sentence
    cascade = randomization_checks(
        classifier, maps, lambda c: saliency(c, IMAGES, 1).maps, generator=gen(), mode="cascading"
    )
    assert len(cascade[0].ssim) == 3
    assert cascade[0].layers == ("head", "second", "first")


def test_a_method_that_refuses_random_weights_leaves_nothing_to_compare():
    def refuse(_classifier):
        raise ExplanationError("no")

    classifier = scored(SmallNet())
    (one, *_) = randomization_checks(classifier, saliency(classifier, IMAGES, 1).maps, refuse, generator=gen())
    assert one.rank_correlation == (None,)
    assert "vanishes" in one.sentence


def test_similarity_is_scipys_and_skimages_of_absolute_values(rng):
    a, b = rng.standard_normal((2, 20, 24)).astype(np.float32)
    correlation, similarity = map_similarity(a, -b)
    assert correlation == pytest.approx(spearmanr(np.abs(a).ravel(), np.abs(b).ravel()).statistic)
    x, y = np.abs(a).astype(float) / np.abs(a).max(), np.abs(b).astype(float) / np.abs(b).max()
    expected = structural_similarity(x, y, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert similarity == pytest.approx(expected, abs=1e-3)
    assert map_similarity(a, a * 0) == (None, None)
    assert map_similarity(a[:2, :2], b[:2, :2])[1] is None
    assert map_similarity(np.stack([a] * 8), np.stack([a] * 8))[1] == pytest.approx(1)


def test_a_classifier_without_weights_and_an_unknown_mode_are_refused():
    with pytest.raises(ExplanationError, match="none that can be drawn anew"):
        randomized_classifiers(scored(nn.Flatten(), layer=""), generator=gen())
    with pytest.raises(ExplanationError, match="full or cascading: found 'some'"):
        randomized_classifiers(scored(SmallNet()), generator=gen(), mode="some")
