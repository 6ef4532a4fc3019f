"""A placement shows a model a box of a radiograph, and puts maps back where they were computed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import VolumeError
from medgan.volume.radiograph_placement import RadiographPlacement


def image(shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@given(factor=st.integers(1, 9), rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_preparing_what_was_pasted_returns_it_exactly(factor, rows, columns, seed):
    shape = (rows * factor, columns * factor)
    placement = RadiographPlacement(shape, (0, 0), shape, (rows, columns))
    values = image((rows, columns), seed)
    pasted = placement.pasted(values)
    assert np.array_equal(placement.prepared(pasted), values)
    assert np.array_equal(pasted, values.repeat(factor, 0).repeat(factor, 1))


def test_an_identity_copies_bits():
    placement = RadiographPlacement.of((28, 28), (28, 28))
    assert placement.is_identity
    assert np.array_equal(placement.prepared(image((28, 28))), image((28, 28)))
    assert np.array_equal(placement.pasted(image((28, 28))), image((28, 28)))
    assert not RadiographPlacement.of((28, 29), (28, 28)).is_identity


@given(
    shape=st.tuples(st.integers(3, 60), st.integers(3, 60)),
    size=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    crop=st.sampled_from(["center", "pad", "stretch"]),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_every_original_pixel_gets_the_input_pixel_that_holds_its_center(shape, size, crop):
    placement = RadiographPlacement.of(shape, size, crop=crop)
    ids = np.arange(size[0] * size[1], dtype=np.float32).reshape(size)
    pasted = placement.pasted(ids, outside=-1)
    for row in range(0, shape[0], 5):
        for column in range(0, shape[1], 5):
            expected = -1.0
            place = []
            for axis, index in ((0, row), (1, column)):
                at = (index + 0.5 - placement.start[axis]) / placement.scale[axis]
                place.append(at)
            if all(0 <= at < n for at, n in zip(place, size)):
                if min(abs(at - round(at)) for at in place) < 1e-9:
                    continue  # on the border of two input pixels: the exact rule is tested above
                expected = float(ids[int(place[0]), int(place[1])])
            assert pasted[row, column] == expected


def test_reducing_averages_over_intervals_and_keeps_the_mean():
    array = image((60, 45))
    placement = RadiographPlacement.of((60, 45), (8, 6), crop="stretch")
    small = placement.prepared(array)
    assert small.mean() == pytest.approx(array.mean(), abs=1e-6)
    assert small[0, 0] == pytest.approx(_mean_over(array, 0, 7.5, 0, 7.5), abs=1e-6)
    assert small[3, 2] == pytest.approx(_mean_over(array, 22.5, 30, 15, 22.5), abs=1e-6)


def _mean_over(array, top, bottom, left, right):
    def shares(low, high, n):
        return np.clip(np.minimum(high, np.arange(n) + 1) - np.maximum(low, np.arange(n)), 0, 1)

    w = shares(top, bottom, array.shape[0])[:, None] * shares(left, right, array.shape[1])[None]
    return float((w * array).sum() / w.sum())


def test_enlarging_interpolates_a_ramp_exactly_inside():
    ramp = np.arange(6, dtype=np.float32)[None].repeat(6, 0)
    large = RadiographPlacement.of((6, 6), (18, 18)).prepared(ramp)
    inside = (np.arange(18) + 0.5) / 3 - 0.5
    np.testing.assert_allclose(large[9, 2:-2], inside[2:-2], atol=1e-6)


@pytest.mark.parametrize(
    ("crop", "start", "stop"),
    [("center", (0, 10), (40, 50)), ("pad", (-10, 0), (50, 60)), ("stretch", (0, 0), (40, 60))],
)
def test_other_proportions_are_cut_padded_or_distorted(crop, start, stop):
    placement = RadiographPlacement.of((40, 60), (20, 20), crop=crop)
    assert (placement.start, placement.stop) == (start, stop)
    small = placement.prepared(np.full((40, 60), 0.5, dtype=np.float32))
    assert (small[0] == (-1 if crop == "pad" else 0.5)).all()


def test_what_lies_beyond_the_box_is_outside():
    placement = RadiographPlacement.around((30, 30), (15, 15), (10, 10), (5, 5))
    pasted = placement.pasted(np.ones((5, 5)), outside=-3)
    assert pasted[10:20, 10:20].min() == 1
    assert pasted.sum() == 100 - 3 * 800


def test_a_placement_survives_its_record():
    placement = RadiographPlacement.around((30, 40), (4, 5), (20, 20), (7, 7))
    assert RadiographPlacement.from_dict(json.loads(json.dumps(placement.as_dict()))) == placement


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: RadiographPlacement((0, 4), (0, 0), (1, 1), (2, 2)), "positive lengths"),
        (lambda: RadiographPlacement((4, 4), (0, 4), (4, 8), (2, 2)), "a box on the radiograph"),
        (lambda: RadiographPlacement((4, 4), (2, 0), (2, 4), (2, 2)), "a box on the radiograph"),
        (lambda: RadiographPlacement.of((4, 4), (2, 2), crop="fill"), "'center', 'pad' or 'stretch'"),
        (lambda: RadiographPlacement.of((4, 4), (2, 2)).prepared(image((4, 5))), "an image of"),
        (lambda: RadiographPlacement.of((4, 4), (2, 2)).pasted(image((4, 4))), "has .2, 2. pixels"),
    ],
)
def test_impossible_placements_are_refused(call, words):
    with pytest.raises(VolumeError, match=words):
        call()
