"""Errors in closed form."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import EvaluationError
from medgan.evaluation.intensity import (
    mean_absolute_error,
    mean_error,
    peak_signal_to_noise_ratio,
    pearson_correlation,
    root_mean_square_error,
    spearman_correlation,
)


@pytest.fixture
def reference(rng):
    return rng.uniform(-1000, 2000, (9, 8, 7)).astype(np.float32)


@settings(deadline=None, derandomize=True, max_examples=20)
@given(offset=st.integers(-500, 500).filter(bool))
def test_constant_offset(offset):
    reference = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    pair = {"result": reference + offset, "reference": reference}
    assert mean_error(**pair) == offset
    assert mean_absolute_error(**pair) == abs(offset)
    assert root_mean_square_error(**pair) == abs(offset)
    assert peak_signal_to_noise_ratio(**pair, peak=4095) == pytest.approx(20 * math.log10(4095 / abs(offset)))


def test_signs_cancel_in_the_mean_error_only(reference):
    result = reference.copy()
    result[::2] += 10
    result[1:8:2] -= 10
    mask = np.ones(reference.shape, dtype=bool)
    mask[8] = False
    pair = {"result": result, "reference": reference, "mask": mask}
    assert mean_error(**pair) == pytest.approx(0, abs=1e-4)
    assert mean_absolute_error(**pair) == pytest.approx(10, abs=1e-4)


def test_only_the_mask_counts(reference):
    mask = np.zeros(reference.shape, dtype=bool)
    mask[2:4, 3:5, 1:3] = True
    result = np.where(mask, reference + 3, reference + 1000)
    assert mean_absolute_error(result=result, reference=reference, mask=mask) == pytest.approx(3, abs=1e-3)
    assert mean_absolute_error(result=result, reference=reference) > 900


def test_unsigned_images_do_not_wrap():
    low, high = np.full(5, 10, dtype=np.uint8), np.full(5, 250, dtype=np.uint8)
    assert mean_error(result=low, reference=high) == -240


def test_equal_images_have_infinite_psnr(reference):
    assert peak_signal_to_noise_ratio(result=reference, reference=reference, peak=1) == math.inf


def test_agrees_with_scikit_image(reference, rng):
    from skimage.metrics import peak_signal_noise_ratio

    result = reference + rng.normal(0, 30, reference.shape).astype(np.float32)
    expected = peak_signal_noise_ratio(reference.astype(float), result.astype(float), data_range=4024)
    found = peak_signal_to_noise_ratio(result=result, reference=reference, peak=4024)
    assert found == pytest.approx(expected, abs=1e-5)


def test_correlations_agree_with_scipy(rng):
    from scipy.stats import pearsonr, spearmanr

    x = rng.integers(0, 20, 500).astype(np.float32)
    y = (x**2 + rng.normal(0, 40, 500)).astype(np.float32)
    assert pearson_correlation(result=x, reference=y) == pytest.approx(pearsonr(x, y).statistic, abs=1e-6)
    assert spearman_correlation(result=x, reference=y) == pytest.approx(spearmanr(x, y).statistic, abs=1e-6)


def test_correlation_tells_the_sign_and_only_ranks_matter_to_spearman():
    x = np.linspace(0, 5, 50, dtype=np.float32)
    assert pearson_correlation(result=-x, reference=x) == pytest.approx(-1)
    assert spearman_correlation(result=np.exp(x), reference=x) == pytest.approx(1)
    assert pearson_correlation(result=np.exp(x), reference=x) < 0.9


def test_correlation_with_a_constant_is_undefined():
    x = np.linspace(0, 1, 9, dtype=np.float32)
    assert pearson_correlation(result=np.ones_like(x), reference=x) is None
    assert spearman_correlation(result=np.ones_like(x), reference=x) is None


@pytest.mark.parametrize(
    ("result", "mask", "message"),
    [
        (np.zeros((3, 3, 3)), None, r"needs two arrays of one shape: found \(3, 3, 3\) for the result and \(3, 3, 2\)"),
        (np.zeros((3, 3, 2)), np.zeros((3, 3, 2), dtype=bool), "at least one voxel in the mask: found none"),
        (np.zeros((3, 3, 2)), np.zeros((3, 3, 2), dtype=np.uint8), "needs a mask of booleans"),
        (
            np.zeros((3, 3, 2)),
            np.zeros((3, 2, 2), dtype=bool),
            r"of shape \(3, 3, 2\): found bool of shape \(3, 2, 2\)",
        ),
    ],
)
def test_refusals(result, mask, message):
    with pytest.raises(EvaluationError, match=message):
        mean_absolute_error(result=result, reference=np.zeros((3, 3, 2)), mask=mask)


@pytest.mark.parametrize("peak", [0, -1, math.nan])
def test_a_peak_is_positive(reference, peak):
    with pytest.raises(EvaluationError, match="needs a positive peak: found"):
        peak_signal_to_noise_ratio(result=reference + 1, reference=reference, peak=peak)


def test_an_empty_array_has_no_error():
    with pytest.raises(EvaluationError, match="at least one voxel: found an array of shape"):
        mean_error(result=np.zeros(0), reference=np.zeros(0))
