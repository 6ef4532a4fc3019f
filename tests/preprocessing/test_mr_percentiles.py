"""MR has no unit: percentiles of the body give it one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import CT, GRID, MR, ball_mask, case_of
from pydantic import ValidationError

from medgan.errors import GeometryError, PreprocessingError
from medgan.geometry import Grid
from medgan.preprocessing.intensity import MrPercentiles
from medgan.volume import LabelMap, Quantity

BODY = ball_mask()
THREE = MrPercentiles(percentiles=(25, 50, 99))


def limb(seed: int = 0, *, scale: float = 1.0):
    """A case with signal between 50 and 800 in the body and a loud artifact outside."""
    signal = np.random.default_rng(seed).uniform(50, 800, GRID.shape)
    return case_of(scale * np.where(BODY, signal, 5000.0), MR, body=BODY)


class TestUnfitted:
    def test_zero_goes_to_minus_one_and_the_landmark_to_top(self):
        case = limb()
        stage = MrPercentiles(percentiles=(99,), top=0.8)
        landmark = np.percentile(case.image.array[BODY], 99)
        found = stage.map_for(case)
        assert np.allclose(found.knots, [(0, -1), (landmark, 0.8), (landmark * 2 / 1.8, 1)])
        done = stage(case).image
        assert done.quantity is Quantity.NORMALIZED
        assert (done.array[~BODY] == -1).all()
        assert np.allclose(done.array[BODY], found.forward(case.image.array[BODY]))

    def test_the_slope_goes_on_above_the_landmark(self):
        xs, ys = np.array(MrPercentiles().map_for(limb()).knots).T
        slopes = np.diff(ys) / np.diff(xs)
        assert np.allclose(slopes, slopes[0])

    def test_a_landmark_at_the_top_ends_the_map(self):
        assert len(MrPercentiles(top=1.0).map_for(limb()).knots) == 2

    def test_only_the_last_landmark_counts_before_fitting(self):
        assert THREE.map_for(limb()) == MrPercentiles(percentiles=(99,)).map_for(limb())

    def test_without_a_body_label_every_voxel_counts(self):
        case = case_of(limb().image.array, MR)
        assert MrPercentiles(percentiles=(99,)).map_for(case).knots[1][0] == pytest.approx(5000)
        assert MrPercentiles()(case).image.array.min() > -1


@given(scale=st.floats(1e-3, 1e4), fitted=st.booleans())
@settings(max_examples=20, deadline=None, derandomize=True)
def test_the_unit_of_the_scanner_does_not_matter(scale, fitted):
    stage = THREE.fitted([limb(n) for n in range(3)]) if fitted else THREE
    assert np.allclose(stage(limb()).image.array, stage(limb(scale=scale)).image.array, atol=2e-5)


class TestFitted:
    def test_the_standard_is_the_median_of_the_training_landmarks(self):
        cases = [limb(n, scale=10.0**n) for n in range(3)]
        landmarks = np.array([np.percentile(c.image.array[BODY], [25, 50, 99]) for c in cases])
        expected = np.median(landmarks / landmarks[:, 2:], axis=0) * 1.8 - 1
        fitted = THREE.fitted(cases)
        assert fitted.standard == pytest.approx(expected, abs=1e-6)
        assert fitted.standard[-1] == 0.8
        assert (fitted.percentiles, fitted.top) == (THREE.percentiles, THREE.top)
        assert THREE.standard is None, "fitting returns a copy"

    def test_landmarks_of_another_image_go_to_the_standard(self):
        fitted = THREE.fitted([limb(n) for n in range(3)])
        # An image with another distribution: darker muscle.
        signal = np.where(np.random.default_rng(5).random(GRID.shape) < 0.6, 100.0, 700.0)
        signal += np.random.default_rng(6).uniform(0, 50, GRID.shape)
        case = case_of(signal, MR, body=BODY)
        normalized = fitted(case).image.array[BODY]
        assert np.percentile(normalized, [25, 50, 99]) == pytest.approx(fitted.standard, abs=2e-3)

    def test_above_the_last_landmark_the_last_slope_goes_on(self):
        stage = MrPercentiles(percentiles=(25, 50, 99), standard=(-0.5, 0.3, 0.8))
        xs, ys = np.array(stage.map_for(limb()).knots).T
        slopes = np.diff(ys) / np.diff(xs)
        assert len(slopes) == 4
        assert slopes[3] == pytest.approx(slopes[2])
        assert slopes[1] > 1.5 * slopes[2]
        assert ys[-1] == 1

    def test_one_landmark_has_nothing_to_learn(self):
        stage = MrPercentiles(percentiles=(99,), top=0.7)
        assert (stage.learns, THREE.learns) == (False, True)
        assert stage.fitted([]).standard == (0.7,)
        assert stage.fitted([]).map_for(limb()) == stage.map_for(limb())

    def test_a_given_standard_stays(self):
        given_one = MrPercentiles(percentiles=(25, 99), standard=(-0.5, 0.8))
        assert given_one.fitted([limb()]) == given_one
        assert given_one.fitted([]) == given_one

    def test_learning_needs_cases(self):
        with pytest.raises(PreprocessingError, match="learns its standard scale from training cases: found none"):
            THREE.fitted([])

    def test_landmarks_that_coincide_are_one(self):
        # Two values only: the 25th and 50th percentile are the same signal, and one lies at zero.
        signal = np.where(np.random.default_rng(1).random(GRID.shape) < 0.8, 100.0, 700.0)
        stage = MrPercentiles(percentiles=(25, 50, 99), standard=(-0.5, -0.2, 0.8))
        assert list(stage.map_for(case_of(signal, MR, body=BODY)).knots)[:3] == [
            (0, -1),
            (100, -0.5),
            (700, pytest.approx(0.8)),
        ]
        zero = np.where(signal == 100, 0.0, 700.0)
        assert len(stage.map_for(case_of(zero, MR, body=BODY)).knots) == 3


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"percentiles": ()}, "percentiles must increase"),
        ({"percentiles": (50, 50)}, "percentiles must increase"),
        ({"percentiles": (-1, 50)}, r"percentiles must lie in \[0, 100\]"),
        ({"percentiles": (50, 101)}, r"percentiles must lie in \[0, 100\]"),
        ({"percentiles": (float("nan"),)}, r"percentiles must lie in \[0, 100\]"),
        ({"top": 1.5}, "top"),
        ({"top": -1}, "top"),
        ({"percentiles": (1, 50, 99), "standard": (0.8,)}, "one value for each of 3 percentiles: found 1"),
        ({"percentiles": (1, 99), "standard": (0.8, 0.1)}, "standard must not decrease"),
        ({"percentiles": (1, 99), "standard": (-2, 0.1)}, "from -1 to 1"),
        ({"percentiles": (1, 99), "standard": (-1, -1)}, "end above -1"),
        ({"top_": 1}, "top_"),
    ],
)
def test_settings_that_are_refused(settings_, message):
    with pytest.raises(ValidationError, match=message):
        MrPercentiles(**settings_)


class TestRefusals:
    @pytest.mark.parametrize("signal", [0.0, -5.0])
    def test_no_signal(self, signal):
        with pytest.raises(PreprocessingError, match=f"in case phantom_1 percentile 99 is {signal:g}"):
            MrPercentiles()(case_of(np.full(GRID.shape, signal), MR, body=BODY))

    def test_an_empty_body(self):
        with pytest.raises(PreprocessingError, match="needs signal in the body"):
            MrPercentiles()(case_of(np.ones(GRID.shape), MR, body=np.zeros(GRID.shape, bool)))

    def test_ct(self):
        with pytest.raises(PreprocessingError, match=r"mr_percentiles needs an image of mr_signal: .* has hounsfield"):
            MrPercentiles()(case_of(np.ones(GRID.shape), CT))

    @pytest.mark.parametrize("shape", [GRID.shape, (5, 5, 5)])
    def test_a_body_on_another_grid(self, shape):
        body = LabelMap(np.ones(shape, bool), Grid(shape, np.diag([1, 1, 1, 1])))
        with pytest.raises(GeometryError, match="Stage mr_percentiles needs images on one grid"):
            MrPercentiles()(case_of(np.ones(GRID.shape), MR).with_label("body", body))


class TestDarkKnot:
    def test_it_lies_at_a_share_of_the_last_landmark(self):
        landmark = np.percentile(limb().image.array[BODY], 99)
        knots = MrPercentiles(dark=(0.1, -0.4)).map_for(limb()).knots
        assert np.allclose(knots[:3], [(0, -1), (0.1 * landmark, -0.4), (landmark, 0.8)])

    def test_it_does_not_depend_on_how_much_is_dark(self):
        more = case_of(np.where(BODY & (np.arange(GRID.shape[0])[:, None, None] % 2 == 0), 10.0, 700.0), MR, body=BODY)
        less = case_of(np.where(BODY & (np.arange(GRID.shape[0])[:, None, None] == 4), 10.0, 700.0), MR, body=BODY)
        stage = MrPercentiles(dark=(0.1, -0.4))
        assert stage.map_for(more) == stage.map_for(less)

    def test_a_landmark_below_it_gives_way(self):
        knots = MrPercentiles(percentiles=(1, 99), standard=(-0.9, 0.8), dark=(0.5, 0.0)).map_for(limb()).knots
        assert [y for _, y in knots[:3]] == pytest.approx([-1, 0.0, 0.8])

    @pytest.mark.parametrize("dark", [(0, -0.4), (1, -0.4), (0.1, -1), (0.1, 1), (float("nan"), 0)])
    def test_a_place_outside_the_range_is_refused(self, dark):
        with pytest.raises(ValidationError, match="dark needs a share"):
            MrPercentiles(dark=dark)
