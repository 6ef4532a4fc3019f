"""Changes of a training patch: drawn first, then applied purely."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import PatchError
from medgan.patches.augment import Augmentation, AugmentSettings

ARRAY = np.random.default_rng(0).uniform(-1, 1, (3, 4, 5)).astype(np.float32)


def test_flips_are_reversals_of_the_axes_asked_for():
    for flips in ((True, False, False), (False, True, True)):
        change = Augmentation(flips, 1.0)
        axes = tuple(np.flatnonzero(flips))
        assert np.array_equal(change.moved(ARRAY), np.flip(ARRAY, axes))
        assert np.array_equal(change.applied_to(ARRAY), np.flip(ARRAY, axes))


def test_gain_acts_about_air_and_is_clipped():
    change = Augmentation((False,) * 3, 1.5)
    done = change.applied_to(np.float32([[[-1, -0.5, 0, 0.5, 1]]]))
    assert done.tolist() == [[[-1, -0.25, 0.5, 1, 1]]]
    assert done.dtype == np.float32
    assert np.array_equal(change.moved(ARRAY), ARRAY), "masks keep their values"


def test_nothing_is_changed_in_place():
    before = ARRAY.copy()
    for change in (Augmentation((False,) * 3, 1.0), Augmentation((True,) * 3, 0.5)):
        for done in (change.applied_to(ARRAY), change.moved(ARRAY)):
            assert not np.shares_memory(done, ARRAY)
    assert np.array_equal(ARRAY, before)


def test_what_is_drawn_stays_within_the_settings():
    settings = AugmentSettings(flip_axes=(0, 2), gain=0.2)
    drawn = [Augmentation.drawn(settings, np.random.default_rng(n)) for n in range(200)]
    gains = np.array([change.gain for change in drawn])
    assert (gains.min(), gains.max()) == pytest.approx((0.8, 1.2), abs=0.02)
    assert {change.flips for change in drawn} == {(a, False, c) for a in (True, False) for c in (True, False)}
    assert drawn[0] == Augmentation.drawn(settings, np.random.default_rng(0))


def test_the_number_of_draws_does_not_depend_on_the_settings():
    after = []
    for settings in (AugmentSettings(), AugmentSettings(flip_axes=(0, 1, 2), gain=0.5)):
        generator = np.random.default_rng(1)
        Augmentation.drawn(settings, generator)
        after.append(generator.random())
    assert after[0] == after[1]


def test_without_settings_nothing_changes():
    change = Augmentation.drawn(AugmentSettings(), np.random.default_rng(1))
    assert change == Augmentation((False, False, False), 1.0)
    assert np.array_equal(change.applied_to(ARRAY), ARRAY)


@pytest.mark.parametrize("axes", [(3,), (-1,), (0, 7)])
def test_axes_that_do_not_exist(axes):
    with pytest.raises(PatchError, match=r"may be reversed are 0, 1 and 2: found"):
        AugmentSettings(flip_axes=axes)


@pytest.mark.parametrize("gain", [-0.1, 1.0, float("nan")])
def test_gains_that_are_none(gain):
    with pytest.raises(PatchError, match="at least 0 and less than 1: found"):
        AugmentSettings(gain=gain)
