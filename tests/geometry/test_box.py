"""Boxes of voxels and their algebra."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import boxes

from medgan.errors import GeometryError
from medgan.geometry import Box
from medgan.geometry.box import bounding_box

quick = settings(deadline=None, derandomize=True, max_examples=60)
CORE = Box((0, 0, 0), (4, 5, 6))


def voxels(box: Box) -> set[tuple[int, int, int]]:
    return {tuple(int(a + b) for a, b in zip(ijk, box.start_ijk)) for ijk in np.ndindex(*box.shape)}


@quick
@given(boxes(high=4), boxes(high=4))
def test_box_algebra_is_set_algebra(first, second):
    common = voxels(first) & voxels(second)
    assert first.intersects(second) == bool(common) == second.intersects(first)
    assert first.contains(second) == (voxels(second) <= voxels(first))
    if common:
        assert voxels(first.intersection(second)) == common
        assert first.contains(first.intersection(second))
    else:
        with pytest.raises(GeometryError, match="need a common voxel"):
            first.intersection(second)


@quick
@given(boxes(), st.tuples(*[st.integers(-9, 9)] * 3), st.tuples(*[st.integers(0, 5)] * 3))
def test_shift_and_growth_go_there_and_back(box, offset, margin):
    assert box.shifted(offset).shifted([-o for o in offset]) == box
    assert box.shifted(offset).shape == box.shape
    grown = box.expanded(margin)
    assert grown.contains(box)
    assert grown.expanded([-m for m in margin]) == box
    assert grown.shape == tuple(n + 2 * m for n, m in zip(box.shape, margin))


def test_touching_boxes_share_nothing():
    assert not CORE.intersects(Box((4, 0, 0), (5, 5, 6)))
    assert CORE.intersects(Box((3, 4, 5), (9, 9, 9)))


def test_slices_index_an_array():
    array = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    box = Box((1, 2, 3), (3, 5, 4))
    assert array[box.slices].shape == box.shape
    assert array[box.slices][0, 0, 0] == array[1, 2, 3]


def test_slices_refuse_a_negative_start_which_python_would_count_from_the_end():
    with pytest.raises(GeometryError, match=r"starts at \(-1, 0, 0\): clip it first"):
        _ = Box((-1, 0, 0), (3, 3, 3)).slices


def test_numpy_numbers_become_plain_integers():
    box = Box(tuple(np.array([0, 1, 2])), (np.float64(4), np.int32(5), 6))
    assert box == Box((0, 1, 2), (4, 5, 6))
    assert all(type(v) is int for v in (*box.start_ijk, *box.stop_ijk))
    assert CORE.expanded(np.int64(1)) == CORE.expanded(1) == CORE.expanded((1, 1, 1)) == CORE.expanded(np.ones(3, int))


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        ((0, 0, 0), (4, 0, 4), r"at least one voxel on each axis: found \(0, 0, 0\) to \(4, 0, 4\)"),
        ((0, 0, 3), (4, 4, 2), "at least one voxel on each axis"),
        ((0, 0, 0), (4, 4.5, 4), r"three whole numbers for stop_ijk: found \(4, 4.5, 4\)"),
        ((0, 0), (4, 4), r"three whole numbers for start_ijk: found \(0, 0\)"),
        ((0, 0, float("nan")), (4, 4, 4), "three whole numbers for start_ijk"),
        ((0, 0, 0), (4, 4, float("inf")), "three whole numbers for stop_ijk"),
        (("0", 0, 0), (4, 4, 4), "three whole numbers for start_ijk"),
    ],
)
def test_refusals_say_what_was_found(start, stop, message):
    with pytest.raises(GeometryError, match=message):
        Box(start, stop)


def test_too_much_shrinking_is_refused():
    with pytest.raises(GeometryError, match="at least one voxel"):
        CORE.expanded(-2)


def test_boxes_are_values():
    assert hash(Box((0, 0, 0), (4, 5, 6))) == hash(CORE)
    assert pickle.loads(pickle.dumps(CORE)) == CORE
    with pytest.raises(AttributeError):
        CORE.start_ijk = (1, 1, 1)


@quick
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_bounding_box_is_the_smallest_that_holds_all(seed, count):
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask.ravel()[np.random.default_rng(seed).integers(0, mask.size, count)] = True
    box = bounding_box(mask)
    at = np.argwhere(mask)
    assert box == Box(tuple(at.min(axis=0)), tuple(at.max(axis=0) + 1))
    assert mask[box.slices].sum() == mask.sum()


def test_an_empty_mask_has_no_bounding_box():
    assert bounding_box(np.zeros((3, 4, 5), dtype=bool)) is None
    assert bounding_box(np.ones((3, 4, 5), dtype=bool)) == Box.of_shape((3, 4, 5))
