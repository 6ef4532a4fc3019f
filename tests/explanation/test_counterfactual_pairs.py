"""Which pairs count, and the two other ways to a counterfactual."""

from __future__ import annotations

import pytest
import torch
from explained_networks import RegionMean, SmallNet, pictures, present_or_absent, scored

from medgan.errors import ExplanationError
from medgan.explanation.alternative import gradient_mutations, nearest_neighbors
from medgan.explanation.counterfactual import (
    MISCLASSIFIED,
    NOT_FLIPPED,
    UNSURE_FAKE,
    UNSURE_REAL,
    counterfactuals,
    judged_pairs,
)


def mean_classifier(gain=10.0):
    """Probability of class 1 is the sigmoid of gain times the mean gray value."""
    return present_or_absent(RegionMean(torch.ones(4, 4), gain=gain))


def flat(*values):
    return torch.tensor(values).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


def test_every_rule_drops_its_pair_and_success_counts_all_correct_queries():
    # Real means: sure, sure, sure, wrong class, unsure; fakes: sure, unsure, not flipped, sure, sure.
    found = judged_pairs(
        mean_classifier(),
        real=flat(-0.5, -0.5, -0.5, 0.5, -0.05),
        fake=flat(0.5, 0.05, -0.1, 0.5, 0.5),
        source=0,
        target=1,
    )
    assert found.reasons == ("", UNSURE_FAKE, NOT_FLIPPED, MISCLASSIFIED, UNSURE_REAL)
    assert found.kept == (0,)
    success = found.success()
    assert success.queries == 5
    assert (success.flips.count, success.flips.total) == (3, 4)
    assert (success.accepted.count, success.accepted.total) == (1, 4)
    assert success.dropped == {UNSURE_FAKE: 1, NOT_FLIPPED: 1, MISCLASSIFIED: 1, UNSURE_REAL: 1}
    assert success.direction == "absent to present"
    assert found.pairs().real.shape == (1, 1, 4, 4)


def test_a_lower_threshold_keeps_more():
    real, fake = flat(-0.5, -0.5), flat(0.5, 0.05)
    assert judged_pairs(mean_classifier(), real=real, fake=fake, source=0, target=1, threshold=0.55).kept == (0, 1)


def test_translation_runs_in_batches_without_gradients():
    seen = []

    def translate(images):
        seen.append((len(images), torch.is_grad_enabled()))
        return -images

    found = counterfactuals(mean_classifier(), translate, flat(*[-0.5] * 5), source=0, target=1, batch=2)
    assert seen == [(2, False), (2, False), (1, False)]
    assert found.kept == (0, 1, 2, 3, 4)
    assert float(found.fake.mean()) == pytest.approx(0.5)


def test_damaged_translations_and_empty_cohorts_are_refused():
    images = flat(-0.5, -0.4)
    with pytest.raises(ExplanationError, match="the shape of its image"):
        counterfactuals(mean_classifier(), lambda x: x[..., :2], images, source=0, target=1)
    with pytest.raises(ExplanationError, match="not finite: the translator is damaged"):
        counterfactuals(mean_classifier(), lambda x: x / 0, images, source=0, target=1)
    none = counterfactuals(mean_classifier(), lambda x: x, images, source=0, target=1)
    with pytest.raises(ExplanationError, match="of 2 queries 2 because the translation does not get"):
        none.pairs()


def test_the_nearest_neighbor_is_the_nearest_in_feature_space():
    classifier, queries = scored(SmallNet()), pictures(3)
    gallery = torch.cat([pictures(5, seed=9), queries[1:2] + 0.001])
    found = nearest_neighbors(classifier, queries, gallery, batch=2)
    features = [classifier.module.features(x).detach().flatten(2).mean(2) for x in (queries, gallery)]
    distances = torch.cdist(*features)
    assert found.index.tolist() == distances.argmin(1).tolist()
    assert int(found.index[1]) == 5
    torch.testing.assert_close(found.distance_feature, distances.amin(1), atol=1e-5, rtol=1e-4)
    assert float(found.distance_l2[1]) == pytest.approx(0.016, rel=1e-2)
    with pytest.raises(ExplanationError, match="the gallery is empty"):
        nearest_neighbors(classifier, queries, gallery[:0])


def test_the_mutation_of_a_linear_classifier_is_its_projection():
    region = torch.zeros(8, 8)
    region[2:4, 2:4] = 1
    classifier = present_or_absent(RegionMean(region, gain=8, bias=0))
    queries = torch.full((2, 1, 8, 8), -0.3)
    queries[1] = 0.2  # has the wanted class already
    found = gradient_mutations(classifier, queries, target=1)
    assert found.flipped.tolist() == [True, True]
    # The shortest way to mean 0 in the region: 0.3 in each of its four pixels.
    assert float(found.distance_l2[0]) == pytest.approx(0.6, rel=1e-2)
    assert float(found.distance_l2[1]) == 0
    assert torch.equal(found.images[0, 0][region == 0], queries[0, 0][region == 0])


def test_mutations_flip_a_network_within_the_gray_range_and_beat_a_blend():
    classifier, queries = scored(SmallNet()), pictures(6)
    before = classifier.probabilities(queries).argmax(1)
    wanted = 1 - int(before[0])
    found = gradient_mutations(classifier, queries, target=wanted, batch=4)
    after = classifier.probabilities(found.images).argmax(1)
    assert (after == wanted).tolist() == found.flipped.tolist()
    assert found.flipped[0]
    assert float(found.images.abs().max()) <= 1
    others = queries[before == wanted]
    if len(others):
        assert float(found.distance_l2[0]) < float((others - queries[0]).flatten(1).norm(dim=1).min())


def test_a_mutation_that_cannot_be_found_leaves_the_query():
    classifier = present_or_absent(RegionMean(torch.ones(4, 4), gain=1, bias=-50))
    queries = flat(0.1)
    found = gradient_mutations(classifier, queries, target=1)
    assert not found.flipped[0]
    assert torch.equal(found.images, queries)
    assert float(found.distance_l2[0]) == 0
