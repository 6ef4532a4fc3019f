"""What a microscope does to brightness: gray values, blur, shot noise, drift."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import VolumeError
from medgan.geometry import Grid
from medgan.phantoms.em_contrast import EmContrast, re_imaged
from medgan.volume import Quantity, Volume


def test_gray_values_follow_range_and_gamma():
    contrast = EmContrast(low=0.25, high=0.65, gamma=2.0)
    assert contrast.gray_of(np.array([0.0, 0.5, 1.0])) == pytest.approx([0.25, 0.35, 0.65])
    inverted = EmContrast(low=0.65, high=0.25)
    assert inverted.gray_of(np.array([0.0, 1.0])) == pytest.approx([0.65, 0.25])


def test_a_pure_contrast_is_a_function_of_brightness(rng):
    field = rng.uniform(0, 1, (6, 7, 8)).astype(np.float32)
    contrast = EmContrast()
    assert contrast.is_pure
    assert np.array_equal(contrast.imaged(field, rng), np.rint(contrast.gray_of(field) * 255).astype(np.uint8))


def test_shot_noise_has_the_variance_of_counting(rng):
    image = EmContrast(low=0.0, high=1.0, shot_electrons=100).imaged(np.full((40, 40, 40), 0.5), rng)
    assert image.mean() == pytest.approx(127.5, abs=0.5)
    assert image.std() == pytest.approx(255 * np.sqrt(0.5 * 100) / 100, rel=0.02)


def test_drift_moves_whole_sections(rng):
    image = EmContrast(low=0.2, high=0.8, drift=0.05).imaged(np.full((5, 6, 300), 0.5), rng)
    assert (image == image[:1, :1]).all()
    assert image[0, 0].std() == pytest.approx(255 * 0.05, rel=0.15)


def test_blur_smooths_and_keeps_the_mean(rng):
    field = rng.uniform(0, 1, (30, 30, 30))
    sharp, blurred = (EmContrast(blur_px=b).imaged(field, rng) for b in (0.0, 1.5))
    assert blurred.std() < 0.3 * sharp.std()
    assert blurred.mean() == pytest.approx(sharp.mean(), abs=1)


def test_re_imaging_takes_gray_as_brightness_and_notes_it(rng):
    grid = Grid.axis_aligned((4, 4, 4), spacing=(8, 8, 8), unit="nm", frame="specimen")
    image = Volume(rng.integers(0, 256, grid.shape).astype(np.uint8), grid, Quantity.EM_SIGNAL)
    same = re_imaged(image, EmContrast(low=0.0, high=1.0), rng)
    assert np.array_equal(same.array, image.array)
    assert np.array_equal(re_imaged(image, EmContrast(low=1.0, high=0.0), rng).array, 255 - image.array)
    assert same.grid is grid
    assert [s.name for s in same.provenance.steps] == ["re-image"]
    with pytest.raises(VolumeError, match="Only uint8 volumes can be re-imaged: found float32"):
        re_imaged(Volume(np.zeros(grid.shape), grid, Quantity.EM_SIGNAL), EmContrast(), rng)


@pytest.mark.parametrize("options", [{"low": 0.5, "high": 0.5}, {"low": -0.1}, {"high": 1.1}, {"gamma": 0.0}])
def test_impossible_gray_values_are_refused(options):
    with pytest.raises(VolumeError, match=r"two different gray values in \[0, 1\] and a positive gamma"):
        EmContrast(**options)


@pytest.mark.parametrize("options", [{"blur_px": -1.0}, {"shot_electrons": -1.0}, {"drift": -0.1}])
def test_negative_amounts_are_refused(options):
    with pytest.raises(VolumeError, match="cannot be negative"):
        EmContrast(**options)
