"""Intensity maps: increasing, invertible in their window, clipped outside; and the stages that apply them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import CT, GRID, MR, ball_mask, case_of, ct_of
from pydantic import ValidationError

from medgan.cohort import Case
from medgan.errors import GeometryError, PreprocessingError
from medgan.geometry import Grid
from medgan.preprocessing.intensity import HuWindow, IntensityMap, PiecewiseHu
from medgan.volume import LabelMap, Quantity, Volume


@st.composite
def intensity_maps(draw):
    """Maps of two to five knots, in HU or MR units, over all or a part of [-1, 1]."""
    n = draw(st.integers(2, 5))
    xs = np.cumsum([draw(st.floats(-2000, 2000)), *(draw(st.floats(0.5, 3000)) for _ in range(n - 1))])
    ys = np.cumsum([0.0, *(draw(st.floats(0.02, 1)) for _ in range(n - 1))])
    low, high = sorted(draw(st.tuples(st.floats(-1, -0.1), st.floats(0.1, 1))))
    ys = low + ys / ys[-1] * (high - low)
    ys[-1] = high
    return IntensityMap(knots=tuple(zip(xs.tolist(), ys.tolist())))


@given(window=intensity_maps(), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_inverse_undoes_forward_in_the_window(window, seed):
    xs = np.array(window.knots)[:, 0]
    values = np.random.default_rng(seed).uniform(xs[0], xs[-1], (3, 4, 5)).astype(np.float32)
    values = np.clip(values, xs[0], xs[-1])
    steepest = max((x1 - x0) / (y1 - y0) for (x0, y0), (x1, y1) in pairwise(window.knots))
    # float32 rounds once to normalized values, magnified by the slope on the way back, and once to the unit.
    limit = steepest * 2.0**-23 + np.abs(xs).max() * 2.0**-22
    back = window.inverse(window.forward(values))
    assert back.dtype == np.float32
    assert np.abs(back - values).max() <= limit


@given(window=intensity_maps(), values=st.lists(st.floats(-9000, 20000), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_forward_never_decreases_and_clips_at_the_end_knots(window, values):
    xs, ys = np.array(window.knots).T
    ordered = np.sort(values)
    forward = window.forward(ordered)
    assert forward.dtype == np.float32
    assert (np.diff(forward) >= 0).all()
    assert np.array_equal(forward[ordered <= xs[0]], np.full((ordered <= xs[0]).sum(), ys[0], np.float32))
    assert np.array_equal(forward[ordered >= xs[-1]], np.full((ordered >= xs[-1]).sum(), ys[-1], np.float32))
    assert (np.diff(window.forward(xs)) > 0).all()
    assert np.array_equal(window.inverse(np.array([-9.0, 9.0])), np.float32([xs[0], xs[-1]]))


@pytest.mark.parametrize(
    ("knots", "message"),
    [
        ((), "two or more knots"),
        (((0, 0),), "two or more knots"),
        (((0, 0), (0, 1)), "strictly increasing values: found"),
        (((1, 0), (0, 1)), "strictly increasing values: found"),
        (((0, 1), (1, 0)), "strictly increasing normalized values: found"),
        (((0, 0), (1, 0)), "strictly increasing normalized values: found"),
        (((0, 0), (float("nan"), 1)), "strictly increasing values: found"),
        (((0, 0), (float("inf"), 1)), "strictly increasing values: found"),
        (((0, -1.5), (1, 1)), r"normalized values within \[-1, 1\]: found -1.5 to 1"),
        (((0, -1), (1, 1.1)), r"normalized values within \[-1, 1\]: found -1.0 to 1.1"),
        (((0, -1, 3), (1, 1)), "knots"),
    ],
)
@pytest.mark.parametrize("kind", [IntensityMap, PiecewiseHu])
def test_knots_that_are_no_map_are_refused(kind, knots, message):
    with pytest.raises(ValidationError, match=message):
        kind(knots=knots)


@pytest.mark.parametrize(("low", "high"), [(100, 0), (0, 0), (float("nan"), 1)])
def test_a_window_that_is_none_is_refused_when_it_is_written(low, high):
    with pytest.raises(ValidationError, match="strictly increasing values"):
        HuWindow(low_hu=low, high_hu=high)


def test_a_window_is_linear():
    window = HuWindow(low_hu=-1000, high_hu=1000).intensity_map
    assert window.forward(np.array([-3000, -1000, 0, 250, 1000, 3000])).tolist() == [-1, -1, 0, 0.25, 1, 1]


@pytest.mark.parametrize("stage", [HuWindow(), PiecewiseHu()])
class TestHuStages:
    def test_inside_the_body_hu_are_mapped_and_outside_is_air(self, stage, rng):
        body = ball_mask()
        hu = ct_of(body, rng)
        done = stage(case_of(hu, CT, body=body)).image
        assert done.quantity is Quantity.NORMALIZED
        assert (done.array[~body] == -1).all()
        assert np.allclose(done.array[body], stage.intensity_map.forward(hu[body].astype(np.float32)))
        step = done.provenance.steps[-1]
        assert (step.name, step.parameters["knots"][0]) == (stage.stage, [-1024.0, -1.0])

    def test_without_a_body_label_everything_is_mapped(self, stage, rng):
        hu = np.full(GRID.shape, 40.0)
        done = stage(case_of(hu, CT)).image
        assert np.unique(done.array) == stage.intensity_map.forward(np.array(40.0))
        assert done.array.max() > -0.9

    def test_mr_is_refused(self, stage):
        with pytest.raises(PreprocessingError, match=f"{stage.stage} needs .* hounsfield: case phantom_1 has mr_signa"):
            stage(case_of(np.ones(GRID.shape), MR))

    def test_a_body_on_another_grid_is_refused(self, stage):
        case = case_of(np.ones(GRID.shape), CT)
        moved = Grid(GRID.shape, np.diag([3, 3, 4.5, 1]))
        with pytest.raises(GeometryError, match=f"Stage {stage.stage} needs images on one grid: 'body' is displaced"):
            stage(case.with_label("body", LabelMap(np.ones(GRID.shape, bool), moved)))


@pytest.mark.parametrize("knots", [2, 3, 4])
def test_bits_are_those_of_interp_in_any_order_of_memory(rng, knots):
    for number in range(30):
        xs, ys = np.sort(rng.normal(0, 1000, knots)), np.sort(rng.uniform(-1, 1, knots))
        if number == 0:
            xs[[0, -1]], ys[[0, -1]] = (-1024.0, 1500.0), (-1.0, 1.0)
            xs, ys = np.sort(xs), np.sort(ys)
        window = IntensityMap(knots=tuple(zip(xs.tolist(), ys.tolist())))
        values = rng.normal(0, 900, (7, 9, 11)).astype(np.float32)
        values.flat[: knots + 2] = [*xs, -1e30, 1e30]
        wanted = np.interp(values, xs, ys).astype(np.float32)
        for laid_out in (
            values,
            np.asfortranarray(values),
            values[::-1, :, ::-1][::-1, :, ::-1],
            values.transpose(1, 0, 2),
        ):
            expected = wanted.transpose(1, 0, 2) if laid_out.shape != values.shape else wanted
            np.testing.assert_array_equal(window.forward(laid_out), expected)
    counts = rng.integers(0, 255, (4, 5, 6)).astype(np.uint8)
    np.testing.assert_array_equal(
        IntensityMap(knots=((-1000.0, -1.0), (200.0, 1.0))).forward(counts),
        np.interp(counts, [-1000.0, 200.0], [-1.0, 1.0]).astype(np.float32),
    )


def test_normalized_image_has_its_last_axis_fastest(rng):
    body = ball_mask()
    hu = np.asfortranarray(np.where(body, 40.0, -1000.0) + rng.normal(0, 12.0, body.shape), dtype=np.float32)
    volume = Volume(hu, GRID, CT)
    for stage in (HuWindow(), PiecewiseHu()):
        case = Case("one", "one", {"ct": volume}).with_label("body", LabelMap(body, GRID, {1: "body"}))
        normalized = stage(case).image.array
        assert normalized.flags.c_contiguous
        np.testing.assert_array_equal(normalized, np.where(body, stage.intensity_map.forward(hu), np.float32(-1)))


def test_end_of_the_last_line_is_the_last_knot_even_where_a_rounding_shows():
    # The last normalized value lies between two float32: one rounding in float64 decides which of them it becomes.
    xs, ys = [-191.0, 533.0], [-1.0, 0.7095693647861481]
    line = (ys[1] - ys[0]) / (xs[1] - xs[0]) * (xs[1] - xs[0]) + ys[0]
    assert np.float32(line) != np.float32(ys[1])
    values = np.array([-300.0, -191.0, 0.0, 532.5, 533.0, 600.0], np.float32)
    result = IntensityMap(knots=tuple(zip(xs, ys))).forward(values)
    np.testing.assert_array_equal(result, np.interp(values, xs, ys).astype(np.float32))
    assert result[-1] == np.float32(ys[1])


def test_empty_and_single_values_are_mapped():
    window = IntensityMap(knots=((-1000.0, -1.0), (1000.0, 1.0)))
    assert window.forward(np.zeros((0, 3))).shape == (0, 3)
    assert window.forward(np.float32(500.0)) == np.float32(0.5)
    assert window.forward([500.0, -2000.0]).tolist() == [0.5, -1.0]
