"""Calibration of a classifier's calls, and the temperature that mends it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from medgan.errors import EvaluationError
from medgan.evaluation.class_calibration import call_reliability, fitted_logit_temperature


def drawn(count: int, temperature: float, rng):
    """Logits that are too sure by a known factor."""
    logits = rng.normal(scale=1.5, size=(count, 2))
    labels = (rng.uniform(size=count) < softmax(logits, axis=1)[:, 1]).astype(int)
    return logits * temperature, labels


def test_calibrated_probabilities_have_a_small_error(rng):
    logits, labels = drawn(20000, 1.0, rng)
    found = call_reliability(softmax(logits, axis=1), labels)
    assert found.error < 0.02
    assert sum(found.counts) == 20000
    assert all(a is None or abs(a - c) < 0.06 for a, c in zip(found.accuracy, found.confidence))
    assert found.counts[0] == 0
    assert found.accuracy[0] is None


@pytest.mark.parametrize("factor", [0.5, 2.0, 4.0])
def test_the_temperature_is_found_again_and_mends_the_error(rng, factor):
    logits, labels = drawn(20000, factor, rng)
    found = fitted_logit_temperature(logits, labels)
    assert found == pytest.approx(factor, rel=0.08)
    before = call_reliability(softmax(logits, axis=1), labels).error
    after = call_reliability(softmax(logits / found, axis=1), labels).error
    assert after < 0.02 < before


def test_an_error_by_hand():
    probabilities = [[0.05, 0.95], [0.05, 0.95], [0.85, 0.15], [0.85, 0.15]]
    assert call_reliability(probabilities, [1, 0, 0, 0]).error == pytest.approx((2 * 0.45 + 2 * 0.15) / 4)


@pytest.mark.parametrize("probabilities", [[[0.5, 0.6]], [[np.nan, 1.0]], [[1.2, -0.2]]])
def test_no_probabilities_are_refused(probabilities):
    with pytest.raises(EvaluationError, match="sum to 1"):
        call_reliability(probabilities, [1])


def test_shapes_must_fit():
    with pytest.raises(EvaluationError, match="with N labels"):
        call_reliability([[0.5, 0.5]], [0, 1])
    with pytest.raises(EvaluationError, match="finite logits"):
        fitted_logit_temperature([[np.inf, 0]], [0])
