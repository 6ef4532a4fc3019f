"""Shape operations in millimeters, on masks whose answer is plain."""

from __future__ import annotations

import numpy as np
from prepared_phantoms import GRID, ball_mask

from medgan.preprocessing.morphology import closed, dilated, filled, large_parts, opened, parts_with

SPACING = GRID.spacing


def test_a_dilated_ball_is_a_larger_ball():
    assert np.array_equal(dilated(ball_mask(radius=20), 0, SPACING), ball_mask(radius=20))
    grown, true = dilated(ball_mask(radius=20), 9, SPACING), ball_mask(radius=29)
    assert (grown ^ true).sum() < 0.1 * true.sum()
    assert not (grown & ~true).any()
    empty = np.zeros(GRID.shape, bool)
    assert not dilated(empty, 5, SPACING).any()


def test_opening_removes_what_is_thin_and_closing_fills_what_is_narrow():
    ball = ball_mask(radius=24)
    plate = np.zeros_like(ball)
    plate[:, 3] = True
    after = opened(ball | plate, 6, SPACING)
    assert not after[plate & ~ball].any()
    assert after[ball_mask(radius=18)].all()
    slit = ball.copy()
    slit[24] = False
    assert closed(slit, 6, SPACING)[ball_mask(radius=18)].all()
    assert (closed(np.ones_like(ball), 6, SPACING)).all()


def test_parts():
    large, small, tiny = (ball_mask(center=(x, 0, 0), radius=r) for x, r in ((-35, 24), (20, 15), (55, 5)))
    everything = large | small | tiny
    assert np.array_equal(large_parts(everything, 0.1), large | small)
    assert np.array_equal(large_parts(everything, 0.9), large)
    assert np.array_equal(parts_with(everything, tiny), tiny)
    assert not parts_with(everything, np.zeros_like(tiny)).any()
    assert not large_parts(np.zeros_like(tiny), 0.1).any()


def test_holes_are_filled_and_the_mask_given_stays():
    shell = ball_mask(radius=30) & ~ball_mask(radius=15)
    before = shell.copy()
    assert np.array_equal(filled(shell), ball_mask(radius=30))
    assert np.array_equal(shell, before)
