from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from medgan.errors import EvaluationError
from medgan.evaluation.tissues import AIR, BONE
from medgan.evaluation.unpaired_score import (
    HuDistribution,
    UnpairedScore,
    best_of,
    cycle_error,
    in_eight_bits,
    mean_ranks,
    tissue_disagreement,
    unpaired_score,
)


def test_the_distance_of_distributions_is_scipys(rng):
    one, two = rng.normal(0, 100, 4000).round(), rng.normal(60, 150, 3000).round()
    found = HuDistribution.of([one]).distance_from(HuDistribution.of([two]))
    assert found == pytest.approx(wasserstein_distance(one, two), abs=1e-6)
    assert HuDistribution.of([one]).distance_from(HuDistribution.of([one])) == 0


def test_every_body_has_the_same_weight_whatever_its_size():
    small, large = np.full(10, -900.0), np.full(1000, 40.0)
    found = HuDistribution.of([small, large])
    assert found.share(AIR) == pytest.approx(0.5)
    assert found.share(BONE) == 0


def test_values_beyond_the_range_count_at_its_ends():
    found = HuDistribution.of([np.array([-3000.0, 9000.0])])
    assert (found.share(AIR), found.share(BONE)) == (0.5, 0.5)


@pytest.mark.parametrize("images", [[], [np.empty(0)], [np.ones(3), np.empty(0)]])
def test_a_distribution_of_nothing_is_refused(images):
    with pytest.raises(EvaluationError, match="needs images with voxels"):
        HuDistribution.of(images)


def test_what_hides_below_eight_bits_is_lost_on_the_way_back():
    image = np.linspace(-1, 1, 1001, dtype=np.float32)
    hidden = image + np.float32(1e-3) * np.sin(np.arange(1001), dtype=np.float32)
    assert len(np.unique(in_eight_bits(hidden))) <= 256
    assert np.abs(in_eight_bits(image) - image).max() <= 1 / 255 + 1e-6


def test_the_cycle_error_counts_the_body_only():
    original, returned = np.zeros((2, 3)), np.array([[1.0, 2.0, 9.0], [0.0, 0.0, 9.0]])
    body = np.array([[True, True, False], [True, True, False]])
    assert cycle_error(original=original, returned=returned, body=body) == 0.75


def test_disagreement_is_one_minus_dice_over_the_tissues_that_the_prior_expects():
    expected = np.repeat([-90.0, 40.0], 50)
    assert tissue_disagreement(translated_hu=expected, expected_hu=expected) == 0
    assert tissue_disagreement(translated_hu=expected[::-1], expected_hu=expected) == 1
    half = np.where(np.arange(100) < 25, 40.0, expected)
    # Fat: 2 * 25 / (25 + 50); soft tissue: 2 * 50 / (75 + 50).
    assert tissue_disagreement(translated_hu=half, expected_hu=expected) == pytest.approx(1 - (2 / 3 + 0.8) / 2)


def test_a_tissue_that_the_prior_hardly_expects_is_not_compared():
    expected = np.full(1000, 40.0)
    expected[:4] = 900
    assert tissue_disagreement(translated_hu=np.full(1000, 40.0), expected_hu=expected) < 0.01
    expected[:5] = 900
    assert tissue_disagreement(translated_hu=np.full(1000, 40.0), expected_hu=expected) > 0.4
    assert tissue_disagreement(translated_hu=np.full(10, 40.0), expected_hu=np.full(10, 180.0)) is None


def test_a_score_holds_the_gaps_from_the_training_ct():
    training = HuDistribution.of([np.repeat([-900.0, 40.0, 700.0], [10, 80, 10])])
    found = unpaired_score(cycle=0.1, translated_hu=[np.full(50, 40.0)], training=training, disagreement=None)
    assert (found.air_gap, found.bone_gap) == (pytest.approx(0.1), pytest.approx(0.1))
    assert found.distribution_hu == pytest.approx(0.1 * 940 + 0.1 * 660)
    assert list(found.parts()) == ["cycle", "distribution", "air and bone"]


def score(*parts: float) -> UnpairedScore:
    return UnpairedScore(cycle=parts[0], distribution_hu=parts[1], air_gap=0, bone_gap=parts[2], disagreement=parts[3])


def test_mean_ranks_share_ties_and_need_no_weights():
    found = mean_ranks([score(0.1, 500, 0.1, 0.2), score(0.2, 100, 0.1, 0.1), score(0.3, 900, 0.3, 0.3)])
    assert found == [(2 * 1 + 2 + 1.5 + 2 * 2) / 6, (2 * 2 + 1 + 1.5 + 2 * 1) / 6, 3.0]
    assert best_of(found) == 1
    equal = dict.fromkeys(("cycle", "distribution", "air and bone", "segmentation"), 1)
    checkpoints = [score(0.1, 500, 0.1, 0.2), score(0.2, 100, 0.1, 0.1)]
    assert mean_ranks(checkpoints, equal) == [(1 + 2 + 1.5 + 2) / 4, (2 + 1 + 1.5 + 1) / 4]


def test_checkpoints_with_other_parts_cannot_be_ranked():
    with pytest.raises(EvaluationError, match="same parts"):
        mean_ranks([])
    without = UnpairedScore(cycle=1, distribution_hu=1, air_gap=0, bone_gap=0)
    with pytest.raises(EvaluationError, match="parts that differ"):
        mean_ranks([score(1, 1, 1, 1), without])
