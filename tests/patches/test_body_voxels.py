"""The index of a body answers what a list of all its voxels would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.patches.body_voxels import BodyVoxels

shapes = st.tuples(*[st.integers(1, 14)] * 3)


def mask_of(shape, seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < share
    mask.flat[rng.integers(mask.size)] = True
    return mask


@given(shape=shapes, seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_numbers_box_and_nearest_voxels_are_those_of_the_list(shape, seed, share):
    mask = mask_of(shape, seed, share)
    listed, voxels = np.argwhere(mask), BodyVoxels.of_mask(mask)
    assert voxels.count == len(listed)
    assert np.array_equal(voxels.low, listed.min(axis=0))
    assert np.array_equal(voxels.extent, np.maximum(np.ptp(listed, axis=0), 1))
    for number in {0, len(listed) // 2, len(listed) - 1}:
        assert np.array_equal(voxels.picked(number), listed[number])
    rng = np.random.default_rng(seed)
    for point in rng.normal(0.5, 0.6, (6, 3)) * shape:
        nearest = listed[np.argmin(((listed - point) ** 2).sum(axis=1))]
        assert np.array_equal(voxels.nearest(point), nearest)


def test_a_point_far_away_still_finds_the_nearest():
    mask = np.zeros((40, 5, 5), bool)
    mask[39, 4, 4] = mask[38, 0, 0] = True
    voxels = BodyVoxels.of_mask(mask)
    assert voxels.nearest(np.array([-500.0, 0, 0])).tolist() == [38, 0, 0]
    assert voxels.nearest(np.array([0.0, 900, 900])).tolist() == [39, 4, 4]


@pytest.mark.parametrize(("above", "expected"), [(0.5, 2), (2.0, 0)])
def test_rare_voxels_lie_in_the_body_above_the_value(above, expected):
    mask = np.zeros((3, 4, 5), bool)
    mask[1] = True
    prior = np.zeros((3, 4, 5), np.float32)
    prior[1, 2, 3] = prior[1, 0, 0] = prior[0, 0, 0] = 1.0
    voxels = BodyVoxels.of_mask(mask, prior, above)
    assert voxels.rare.size == expected
    assert all(mask[tuple(voxels.at(int(flat)))] for flat in voxels.rare)


def test_without_a_prior_nothing_is_rare():
    assert BodyVoxels.of_mask(np.ones((2, 2, 2), bool)).rare.size == 0
