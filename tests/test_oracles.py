"""The oracles are formulas: check them against counting."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import Ramp, ball, ball_dice, ball_volume, is_within, lens_volume, voxel_centers

from medgan.geometry import Grid

GRID = Grid.axis_aligned((60, 60, 60), spacing=(0.5, 0.5, 0.5), origin=(-14.75, -14.75, -14.75))


def test_ball_has_the_volume_of_the_formula():
    counted = ball(GRID, center=(0, 0, 0), radius=8).mask().sum() * GRID.voxel_volume
    assert counted == pytest.approx(ball_volume(8), rel=0.01)


@pytest.mark.parametrize(("r", "s", "d"), [(8, 8, 5), (8, 5, 6), (8, 3, 2), (5, 4, 9.5)])
def test_two_balls_share_the_lens(r, s, d):
    first, second = ball(GRID, center=(0, 0, -3), radius=r).mask(), ball(GRID, center=(0, 0, d - 3), radius=s).mask()
    shared = (first & second).sum() * GRID.voxel_volume
    assert shared == pytest.approx(lens_volume(r, s, d), rel=0.02, abs=0.01)
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) == pytest.approx(ball_dice(r, s, d), abs=0.005)


def test_lens_is_continuous_where_its_cases_meet():
    assert lens_volume(8, 5, 13 - 1e-9) == pytest.approx(0, abs=1e-9)
    assert lens_volume(8, 5, 3 + 1e-9) == pytest.approx(ball_volume(5), rel=1e-9)


def test_ramp_is_its_formula():
    grid = Grid.axis_aligned((3, 4, 5), spacing=(1, 2, 3), origin=(10, 0, 0))
    assert Ramp((1, 0, 0), 5).on(grid).array[2, 0, 0] == 10 + 2 + 5
    assert voxel_centers(grid)[1, 2, 3].tolist() == [11, 4, 9]
    assert is_within(grid, np.array([[10, 0, 0], [12.1, 0, 0]])).tolist() == [True, False]
