"""Masks in words against SciPy, voxel by voxel: same bits, whatever the shape, the spacing and the radius."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared_phantoms import GRID, ball_mask
from scipy import ndimage

from medgan.formats import read_image
from medgan.preprocessing import morphology
from medgan.preprocessing.morphology import closed, dilated, filled, opened, within_steps
from medgan.preprocessing.packed_mask import LONGEST_REACH, spread, without_holes
from medgan.volume import Quantity

SCANS = (
    "mrct/sts_ibsi/nifti/STS_005/MR_T1_image.nii.gz",
    "mrct/sts_ibsi/nifti/STS_012/MR_T1_image.nii.gz",
    "mrct/sts_ibsi/nifti/STS_024/MR_T1_image.nii.gz",
)


@st.composite
def blobs(draw):
    """A mask of noise, fine or smooth, sparse or full; axes may be a single voxel or longer than a word."""
    shape = draw(st.tuples(*[st.integers(1, 22)] * 2, st.sampled_from((1, 2, 7, 31, 63, 64, 65, 70))))
    noise = np.random.default_rng(draw(st.integers(0, 2**32))).standard_normal(shape)
    noise = ndimage.gaussian_filter(noise, draw(st.sampled_from((0, 0.7, 2.0))))
    return noise >= np.quantile(noise, draw(st.sampled_from((0.0, 0.05, 0.5, 0.9, 0.99, 1.0))))


spacings = st.tuples(*[st.one_of(st.sampled_from((1.0, 2.0, 0.9375, 2.4)), st.floats(0.4, 5.0))] * 3)
radii = st.one_of(st.sampled_from((0.0, 2.0, 6.0, 8.0)), st.floats(0.0, 12.0))


def depth_mm(mask, spacing):
    return ndimage.distance_transform_edt(mask, sampling=spacing)


def closed_by_distance(mask, radius_mm, spacing):
    pad = [int(np.ceil(radius_mm / s)) for s in spacing]
    padded = np.pad(mask, [(p, p) for p in pad], mode="edge")
    grown = depth_mm(~padded, spacing) <= radius_mm if padded.any() else padded
    shrunk = depth_mm(grown, spacing) > radius_mm if not grown.all() else grown
    return shrunk[tuple(slice(p, p + n) for p, n in zip(pad, mask.shape))] | mask


def filled_plane_by_plane(mask):
    mask = mask.copy()
    for axis in range(3):
        for index in range(mask.shape[axis]):
            plane = (slice(None),) * axis + (index,)
            mask[plane] = ndimage.binary_fill_holes(mask[plane])
    return mask


@settings(deadline=None, derandomize=True, max_examples=120)
@given(mask=blobs(), spacing=spacings, radius_mm=radii)
def test_radii_give_the_voxels_that_distances_give(mask, spacing, radius_mm):
    if mask.any():
        assert np.array_equal(dilated(mask, radius_mm, spacing), depth_mm(~mask, spacing) <= radius_mm)
    if not mask.all():
        core = depth_mm(mask, spacing) > radius_mm
        wanted = depth_mm(~core, spacing) <= radius_mm if core.any() else core
        assert np.array_equal(opened(mask, radius_mm, spacing), wanted)
    assert np.array_equal(closed(mask, radius_mm, spacing), closed_by_distance(mask, radius_mm, spacing))


@settings(deadline=None, derandomize=True, max_examples=80)
@given(mask=blobs(), steps=st.integers(0, 5))
def test_holes_and_steps_are_those_of_scipy(mask, steps):
    before = mask.copy()
    assert np.array_equal(filled(mask), filled_plane_by_plane(mask))
    wanted = ndimage.binary_dilation(mask, iterations=steps) if steps else mask
    assert np.array_equal(within_steps(mask, steps), wanted)
    assert np.array_equal(mask, before)


def test_a_mask_without_background_stays():
    everything = np.ones((5, 6, 7), dtype=bool)
    assert opened(everything, 6.0, (1.0, 1.0, 1.0)).all()
    assert closed(everything, 6.0, (1.0, 1.0, 1.0)).all()
    assert filled(everything).all()


def test_where_the_packed_way_does_not_reach_distances_are_computed(monkeypatch):
    mask = np.zeros((6, 7, 90), dtype=bool)
    mask[3, 3, 45] = True
    fine = (1.0, 1.0, 0.1)
    assert morphology._ball(6.0, fine) is not None
    assert morphology._ball(6.2, fine) is None
    # Three steps of 0.1 are longer than 0.3 by rounding, one step of 0.3 is not.
    undecided = (0.1, 0.3, 1.0)
    assert morphology._ball(0.3, undecided) is None
    monkeypatch.setattr(morphology, "spread", lambda *_: pytest.fail("the packed way was taken"))
    assert np.array_equal(dilated(mask, 6.2, fine), depth_mm(~mask, fine) <= 6.2)
    assert np.array_equal(dilated(mask, 0.3, undecided), depth_mm(~mask, undecided) <= 0.3)


def test_the_longest_reach_crosses_words_and_no_rows():
    mask = np.zeros((1, 3, 200), dtype=bool)
    mask[0, 1, 100] = True
    grown = spread(mask, np.array([[LONGEST_REACH]]))
    assert np.flatnonzero(grown[0, 1]).tolist() == list(range(100 - LONGEST_REACH, 101 + LONGEST_REACH))
    assert not grown[0, 0].any()
    assert not grown[0, 2].any()
    ends = np.ones((1, 1, 200), dtype=bool)
    assert spread(np.concatenate([ends, ~ends], axis=1), np.array([[5]])).sum() == 200


def test_a_maze_is_left_to_scipy_and_comes_out_the_same():
    # A spiral whose corridor is one voxel wide turns more often than the sweep goes round.
    size, wall = 301, 1
    plane = np.ones((size, size), dtype=bool)
    low, high, row, column = 0, size - 1, 0, 0
    plane[0, 0] = False
    while high - low > 2 * wall:
        for end in ((low, high), (high, high), (high, low), (low + 2, low)):
            rows, columns = sorted((row, end[0])), sorted((column, end[1]))
            plane[rows[0] : rows[1] + 1, columns[0] : columns[1] + 1] = False
            row, column = end
        low, high = low + 2, high - 2
        plane[row, column : low + 1] = False
        row, column = low, low
    mask = np.repeat(plane[..., None], 2, axis=2)
    assert without_holes(mask, 2) is None
    assert np.array_equal(filled(mask), filled_plane_by_plane(mask))


@pytest.mark.parametrize("name", SCANS)
def test_bodies_of_real_scans_are_the_same_voxels(shared_data, name):
    scan = read_image(shared_data / name, quantity=Quantity.MR_SIGNAL).volume
    raw = scan.array > np.percentile(scan.array, 60)
    spacing = scan.grid.spacing
    found = closed(raw, 8.0, spacing)
    assert np.array_equal(found, closed_by_distance(raw, 8.0, spacing))
    assert np.array_equal(filled(found), filled_plane_by_plane(found))


def test_bodies_of_phantoms_are_the_same_voxels():
    mask = (ball_mask(radius=40) & ~ball_mask(radius=22)) | ball_mask(center=(60, 0, 0), radius=9)
    spacing = GRID.spacing
    assert np.array_equal(closed(mask, 8.0, spacing), closed_by_distance(mask, 8.0, spacing))
    assert np.array_equal(filled(mask), filled_plane_by_plane(mask))
    core = depth_mm(mask, spacing) > 6.0
    assert np.array_equal(opened(mask, 6.0, spacing), depth_mm(~core, spacing) <= 6.0)
