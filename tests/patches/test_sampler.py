"""Training patches hold body, repeat from a seed, and are padded where a volume is too small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import prepared_case

from medgan.cohort import Case
from medgan.errors import CohortError, GeometryError, PatchError
from medgan.geometry import Grid
from medgan.patches.augment import AugmentSettings
from medgan.patches.sampler import PatchSampler
from medgan.volume import LabelMap, Quantity, Volume

shapes = st.tuples(*[st.integers(1, 12)] * 3)


@given(shape=shapes, patch=shapes, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_patch_holds_body_and_lies_where_it_says(shape, patch, seed):
    rng = np.random.default_rng(seed)
    body = rng.random(shape) < 0.1
    body.flat[rng.integers(body.size)] = True
    case = prepared_case(shape, rng, body=body)
    drawn = PatchSampler([case], patch).drawn(rng)
    assert drawn.image.shape == drawn.body.shape == patch
    assert drawn.image.dtype == drawn.body.dtype == np.float32
    assert drawn.body.any()
    assert set(np.unique(drawn.body)) <= {0, 1}
    assert all(0 <= p <= 1 for p in drawn.position)
    assert (drawn.image[drawn.body == 0] == -1).all()
    assert drawn.case_id == "c"


@given(shape=shapes, patch=shapes)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_volume_smaller_than_a_patch_is_centered_and_padded(shape, patch):
    rng = np.random.default_rng(3)
    case = prepared_case(shape, rng)
    drawn = PatchSampler([case], patch).drawn(rng)
    inside = []
    for n, p in zip(shape, patch):
        before = (p - n) // 2 if n <= p else 0
        inside.append(slice(before, before + min(n, p)))
    outside = np.ones(patch, bool)
    outside[tuple(inside)] = False
    assert (drawn.image[outside] == -1).all()
    assert (drawn.body[outside] == 0).all()
    assert (drawn.body[~outside] == 1).all()
    if all(n <= p for n, p in zip(shape, patch)):
        assert np.array_equal(drawn.image[tuple(inside)], case.image.array)


def test_one_generator_one_patch(rng):
    cases = [prepared_case((9, 9, 9), rng, case_id=f"c{n}") for n in range(3)]
    sampler = PatchSampler(cases, (4, 4, 4), AugmentSettings(flip_axes=(0, 1, 2), gain=0.3))
    for near in (None, (0.2, 0.5, 0.9)):
        first, again = (sampler.drawn(np.random.default_rng(5), near=near) for _ in range(2))
        assert np.array_equal(first.image, again.image)
        assert (first.position, first.case_id) == (again.position, again.case_id)
        others = [sampler.drawn(np.random.default_rng(seed), near=near) for seed in range(9)]
        assert len({other.image.tobytes() for other in others}) == 9


def test_every_case_and_all_of_the_body_are_visited(rng):
    body = np.zeros((6, 6, 6), bool)
    body[1:5, 2:4, 3] = True
    cases = [prepared_case((6, 6, 6), rng, case_id=f"c{n}", body=body) for n in range(3)]
    sampler = PatchSampler(cases, (1, 1, 1))
    drawn = [sampler.drawn(rng) for _ in range(300)]
    assert {d.case_id for d in drawn} == {"c0", "c1", "c2"}
    # A patch of one voxel is one voxel of the body, and each of the eight comes in three cases.
    assert len({(d.case_id, d.image.item()) for d in drawn}) == 24
    assert {d.position[0] for d in drawn} == {0.0, 1 / 3, 2 / 3, 1.0}
    assert {d.position[2] for d in drawn} == {0.0}, "an axis of one voxel has one position"


@given(near=st.tuples(*[st.floats(0, 1)] * 3))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_focal_sampling_stays_near(near):
    rng = np.random.default_rng(1)
    sampler = PatchSampler([prepared_case((15, 12, 9), rng)], (3, 3, 3), focus=0.05)
    found = np.array([sampler.drawn(rng, near=near).position for _ in range(40)])
    assert np.abs(found.mean(axis=0) - near).max() < 0.12
    assert found.std(axis=0).max() < 0.12
    anywhere = np.array([sampler.drawn(rng).position for _ in range(40)])
    assert anywhere.std(axis=0).min() > 0.2


def test_focal_sampling_falls_back_to_the_nearest_body(rng):
    body = np.zeros((20, 20, 20), bool)
    body[:3, :3, :3] = body[17:, 17:, 17:] = True
    sampler = PatchSampler([prepared_case((20, 20, 20), rng, body=body)], (3, 3, 3), focus=0.01)
    # The middle of the bounding box holds no body.
    for near, expected in (((0.4, 0.4, 0.4), 2 / 19), ((0.6, 0.6, 0.6), 17 / 19)):
        drawn = sampler.drawn(rng, near=near)
        assert drawn.body.any()
        assert drawn.position == pytest.approx([expected] * 3)


def test_sampling_and_augmenting_leave_the_case_alone(rng):
    case = prepared_case((8, 8, 8), rng)
    before = case.image.array.tobytes()
    drawn = PatchSampler([case], (4, 4, 4), AugmentSettings(flip_axes=(0,), gain=0.5)).drawn(rng)
    drawn.image[...] = 7
    drawn.body[...] = 7
    assert case.image.array.tobytes() == before
    assert case.label("body").array.max() == 1


def test_image_and_body_are_reversed_together(rng):
    body = rng.random((6, 6, 6)) < 0.5
    sampler = PatchSampler([prepared_case((6, 6, 6), rng, body=body)], (6, 6, 6), AugmentSettings(flip_axes=(0, 1, 2)))
    for _ in range(10):
        drawn = sampler.drawn(rng)
        assert np.array_equal(drawn.image > -1, drawn.body == 1)


@pytest.mark.parametrize(("shape", "patch"), [((6, 7, 8), (4, 4, 4)), ((3, 4, 5), (6, 6, 6))])
def test_a_prior_is_cut_and_reversed_with_its_image_but_keeps_its_values(shape, patch, rng):
    case = prepared_case(shape, rng)
    prior = np.asarray(case.image.array) * np.float32(0.5) - np.float32(0.5)  # -1, air, stays -1
    sampler = PatchSampler([case], patch, AugmentSettings(flip_axes=(0, 1, 2), gain=0.0), priors=[prior])
    for _ in range(10):
        drawn = sampler.drawn(rng)
        assert np.array_equal(drawn.prior, drawn.image * np.float32(0.5) - np.float32(0.5))
    changed = PatchSampler([case], patch, AugmentSettings(gain=0.5), priors=[prior]).drawn(rng)
    assert not np.array_equal(changed.prior, changed.image * np.float32(0.5) - np.float32(0.5))


def test_without_priors_there_is_none(rng):
    assert PatchSampler([prepared_case((4, 4, 4), rng)], (2, 2, 2)).drawn(rng).prior is None


class TestRefusals:
    def test_a_prior_of_another_shape_or_number(self, rng):
        case = prepared_case((4, 4, 4), rng)
        for priors in ([np.zeros((4, 4, 5), np.float32)], [np.zeros((4, 4, 4), np.float32)] * 2):
            with pytest.raises(PatchError, match="one prior a case, of its image's shape: found"):
                PatchSampler([case], (2, 2, 2), priors=priors)

    def test_no_case(self):
        with pytest.raises(PatchError, match="at least one case: found none"):
            PatchSampler([], (2, 2, 2))

    def test_an_empty_body(self, rng):
        case = prepared_case((4, 4, 4), rng, body=np.zeros((4, 4, 4), bool))
        with pytest.raises(PatchError, match="needs voxels in the body: case c has none"):
            PatchSampler([case], (2, 2, 2))

    def test_no_body_label(self, rng):
        case = prepared_case((4, 4, 4), rng)
        with pytest.raises(CohortError, match="must have the label map 'body'"):
            PatchSampler([Case("c", "c", case.images)], (2, 2, 2))

    @pytest.mark.parametrize("quantity", [Quantity.MR_SIGNAL, Quantity.HOUNSFIELD])
    def test_an_image_that_is_not_normalized(self, quantity, rng):
        case = prepared_case((4, 4, 4), rng)
        raw = Volume(case.image.array, case.image.grid, quantity)
        with pytest.raises(PatchError, match=f"normalized images: case c has {quantity.label}. Add an intensity stage"):
            PatchSampler([case.with_image("mr", raw)], (2, 2, 2))

    def test_a_body_on_another_grid(self, rng):
        case = prepared_case((4, 4, 4), rng)
        body = LabelMap(np.ones((4, 4, 4), bool), Grid.axis_aligned((4, 4, 4), spacing=(1, 1, 1)))
        with pytest.raises(GeometryError, match="A sampler needs images on one grid"):
            PatchSampler([case.with_label("body", body)], (2, 2, 2))

    @pytest.mark.parametrize(("patch", "focus"), [((0, 1, 1), 0.1), ((1, 1), 0.1), ((1, 1, 1), 0.0)])
    def test_lengths_and_spread(self, patch, focus, rng):
        with pytest.raises(PatchError, match="three positive lengths and a positive spread"):
            PatchSampler([prepared_case((4, 4, 4), rng)], patch, focus=focus)
