"""Interpolation along the axes gives ITK's bits, and is refused where an axis leans."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.volume import Quantity, Volume, separable
from medgan.volume.resample import _interpolated, resample
from medgan.volume.separable import linear_along_axes

SCALES = (1.0, 2.0, 0.5, -1.0, -2.0, 1.5, 2 / 3, 4 / 3, 0.75)


def drawn(rng, source_shape):
    """A map of the axes: whole, half and odd steps, forwards or backwards, that begins in, at or beyond an edge."""
    matrix = np.eye(4)
    for axis in range(3):
        scale = rng.choice([*SCALES, rng.uniform(0.2, 3) * rng.choice([-1, 1])])
        start = rng.choice([0.0, 0.5, -0.5, 0.25, rng.uniform(-3, source_shape[axis] / 2)])
        matrix[axis, axis], matrix[axis, 3] = scale, start if scale > 0 else source_shape[axis] - 1 - start
    return matrix


@pytest.mark.parametrize("threads", [1, 3])
def test_bits_are_those_of_itk(rng, monkeypatch, threads):
    monkeypatch.setattr(separable, "usable_threads", lambda: threads)
    monkeypatch.setattr(separable, "_VOXELS_OF_A_THREAD", 200)
    outside = inside = 0
    for number in range(150):
        source_shape, shape = (tuple(int(n) for n in rng.integers(1, high, 3)) for high in (18, 22))
        array = np.asfortranarray(rng.normal(0, 1000, source_shape).astype(np.float32))
        array = np.round(array) if number % 4 == 0 else array
        matrix = drawn(rng, source_shape)
        wanted = _interpolated(array, matrix, shape, "linear", -4321.0)
        for given in (array, np.ascontiguousarray(array)):
            np.testing.assert_array_equal(linear_along_axes(given, matrix, shape, -4321.0), wanted)
        outside += int((wanted == -4321.0).sum())
        inside += int((wanted != -4321.0).sum())
    assert min(outside, inside) > 10_000


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_stored_types_need_no_copy_in_float(rng, dtype):
    array = rng.integers(0, 250, (9, 8, 7)).astype(dtype)
    matrix = np.diag([0.7, 1.3, 2.0, 1.0])
    wanted = _interpolated(np.asfortranarray(array, dtype=np.float32), matrix, (12, 6, 3), "linear", 0.0)
    np.testing.assert_array_equal(linear_along_axes(array, matrix, (12, 6, 3), 0.0), wanted)


def test_flipped_view_is_read_as_it_lies(rng):
    array = np.asfortranarray(rng.normal(size=(9, 8, 7)).astype(np.float32))[::-1, ::-1]
    matrix = np.diag([1.5, 0.5, 0.9, 1.0])
    wanted = _interpolated(np.asfortranarray(array), matrix, (6, 15, 7), "linear", 0.0)
    np.testing.assert_array_equal(linear_along_axes(array, matrix, (6, 15, 7), 0.0), wanted)


def test_image_that_lies_beyond_gives_the_outside_value():
    matrix = np.eye(4)
    matrix[1, 3] = 50.0
    result = linear_along_axes(np.ones((4, 4, 4), np.float32), matrix, (3, 3, 3), -7.0)
    assert result.shape == (3, 3, 3)
    assert (result == -7.0).all()


@pytest.mark.parametrize(("row", "column"), [(0, 1), (2, 0), (1, 2)])
def test_map_that_leans_is_left_to_itk(row, column):
    matrix = np.eye(4)
    matrix[row, column] = 1e-12
    assert linear_along_axes(np.ones((4, 4, 4), np.float32), matrix, (3, 3, 3), 0.0) is None


def test_resample_takes_this_way_for_linear_only(rng, monkeypatch):
    from medgan.geometry import Grid

    asked = []
    monkeypatch.setattr(
        "medgan.volume.resample.linear_along_axes",
        lambda *given: asked.append(given) or linear_along_axes(*given),
    )
    grid = Grid.axis_aligned((8, 9, 10), spacing=(1, 1, 1))
    volume = Volume(rng.normal(size=grid.shape).astype(np.float32), grid, Quantity.MR_SIGNAL)
    finer = grid.respaced((0.7, 0.7, 0.7))
    for interpolation, count in (("nearest", 0), ("cubic", 0), ("linear", 1)):
        asked.clear()
        resample(volume, finer, interpolation=interpolation)
        assert len(asked) == count
