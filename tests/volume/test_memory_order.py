"""Copies between memory orders hold the same values for every shape, type and step."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.volume.memory_order import copy_turned, row_major, runs_backwards

SHAPES = [(1, 1, 1), (3, 4, 5), (64, 16, 7), (65, 33, 20), (5, 1, 40), (1, 90, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_row_major_holds_the_same_values(shape, dtype, rng):
    array = rng.integers(0, 200, shape).astype(dtype)
    for given in (
        array,
        np.asfortranarray(array),
        np.asfortranarray(array[::-1, :, ::-1])[::-1, :, ::-1],
        np.asfortranarray(np.pad(array, 2))[2:-2, 2:-2, 2:-2],
        np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1),
    ):
        result = row_major(given)
        assert result.flags.c_contiguous
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, array)


def test_row_major_copies_only_where_it_must():
    array = np.zeros((3, 4, 5))
    assert row_major(array) is array
    assert not np.shares_memory(row_major(np.asfortranarray(array)), array)


def test_copy_may_change_the_type(rng):
    source = rng.integers(-300, 300, (70, 40, 9)).astype(np.float32)
    target = np.empty((9, 40, 70), np.int16).transpose(2, 1, 0)
    copy_turned(target, source)
    np.testing.assert_array_equal(target, source)


def test_order_of_axes_is_told():
    array = np.zeros((3, 4, 5))
    assert not runs_backwards(array)
    assert runs_backwards(array.T)
    assert runs_backwards(array.T[::-1])
    assert not runs_backwards(array[:, :, ::-1])
