"""Reliability, temperature and uncertainty with answers known in advance."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.calibration import error_by_uncertainty, fitted_temperature, reliability, scaled


def drawn(temperature: float, n: int = 20000, seed: int = 1):
    """Class probabilities that are right, and what they become when their logits are divided by 1 / temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(3, n)) * 1.5
    right = np.exp(logits) / np.exp(logits).sum(0)
    labels = (right.cumsum(0) < rng.random(n)).sum(0)
    return scaled(right, 1 / temperature), labels


def test_perfect_probabilities_have_hardly_any_error():
    probability, labels = drawn(1.0)
    found = reliability(probability[1], labels == 1)
    assert found.ece < 0.02
    assert sum(found.counts) == 20000
    assert len(found.edges) == len(found.counts) + 1


def test_a_constant_has_its_distance_as_error_and_empty_bins_are_none():
    found = reliability(np.full(100, 0.9), np.arange(100) < 40)
    assert found.ece == pytest.approx(0.5)
    assert found.brier == pytest.approx(0.4 * 0.01 + 0.6 * 0.81)
    assert found.confidence.count(None) == 14


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found_again(temperature):
    probability, labels = drawn(temperature)
    found = fitted_temperature([probability[:, :9000], probability[:, 9000:]], [labels[:9000], labels[9000:]])
    assert found == pytest.approx(temperature, rel=0.05)
    before, after = reliability(probability[0], labels == 0), reliability(scaled(probability, found)[0], labels == 0)
    assert after.ece < before.ece + 0.005


def test_error_grows_with_entropy_and_not_with_noise():
    probability, labels = drawn(1.0)
    entropy = -(probability * np.log(probability)).sum(0)
    wrong = probability.argmax(0) != labels
    found = error_by_uncertainty(entropy, wrong)
    assert found.grows
    assert found.rank_correlation > 0.3
    assert list(found.uncertainty) == sorted(found.uncertainty)
    assert not error_by_uncertainty(-entropy, wrong).grows
    assert error_by_uncertainty(entropy, np.zeros_like(wrong)).rank_correlation == 0.0


def test_the_rank_correlation_is_spearmans_with_ties():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(4)
    entropy = rng.integers(0, 12, 400).astype(float)
    wrong = rng.random(400) < entropy / 30
    wanted = spearmanr(entropy, wrong).statistic
    assert error_by_uncertainty(entropy, wrong).rank_correlation == pytest.approx(wanted, abs=1e-12)


def test_refusals():
    with pytest.raises(EvaluationError, match="one truth a probability"):
        reliability(np.zeros(3), np.zeros(4, bool))
    with pytest.raises(EvaluationError, match="in \\[0, 1\\]"):
        reliability(np.array([1.5]), np.array([True]))
    with pytest.raises(EvaluationError, match="found none"):
        fitted_temperature([], [])
    with pytest.raises(EvaluationError, match="5 voxels"):
        error_by_uncertainty(np.zeros(3), np.zeros(3, bool))
