"""Gaussian smoothing gives SciPy's bits, whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from medgan.volume import smoothing
from medgan.volume.smoothing import gaussian_smoothed


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_bits_are_those_of_scipy(rng, monkeypatch, axis, threads):
    monkeypatch.setattr(smoothing, "usable_threads", lambda: threads)
    monkeypatch.setattr(smoothing, "_VALUES_OF_A_THREAD", 100)
    monkeypatch.setattr(smoothing, "_TILE_VALUES", 500)
    monkeypatch.setattr(smoothing, "_FEWEST_COLUMNS", 5)
    for sigma in (0.1, 0.5, 0.866, 1.7, 3.0):
        array = rng.normal(0, 500, tuple(rng.integers(1, 25, 3))).astype(np.float32)
        wanted = gaussian_filter1d(array, sigma, axis=axis, mode="nearest", truncate=3.0)
        np.testing.assert_array_equal(gaussian_smoothed(array, sigma, axis=axis), wanted)


def test_constant_stays_and_a_spike_spreads():
    array = np.full((5, 6, 7), 3.0, np.float32)
    np.testing.assert_allclose(gaussian_smoothed(array, 1.2, axis=1), 3.0, rtol=1e-6)
    array[2, 3, 3] = 100.0
    spread = gaussian_smoothed(array, 1.2, axis=1)
    assert spread[2, 3, 3] < 100.0
    assert spread[2, 2, 3] > 3.0
    assert spread[2, 3, 2] == pytest.approx(3.0)
