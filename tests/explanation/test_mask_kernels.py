"""Closing, blur and nested masks against OpenCV, SciPy and thresholds one by one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medgan.errors import ExplanationError
from medgan.explanation.masks import (
    MaskShape,
    closed,
    ellipse_offsets,
    gaussian_kernel,
    largest,
    nested_masks,
    softened,
    thresholds,
)


def noise(shape, seed=0, sigma=2.0):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    return (smooth / np.abs(smooth).max()).astype(np.float32)


def opencv_closed(mask, diameter):
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)


@pytest.mark.parametrize("diameter", [1, 2, 3, 4, 5, 8, 9, 10, 11, 17, 18, 25])
def test_the_ellipse_is_opencvs(diameter):
    kernel = np.zeros((diameter, diameter), dtype=np.uint8)
    for row, column in ellipse_offsets(diameter):
        kernel[row + diameter // 2, column + diameter // 2] = 1
    expected = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    np.testing.assert_array_equal(kernel, expected)


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    diameter=st.sampled_from([2, 3, 5, 10, 11, 18]),
    shape=st.tuples(st.integers(20, 50), st.integers(20, 50)),
    seed=st.integers(0, 1000),
    cut=st.floats(-0.9, 0.9),
)
def test_one_gray_closing_gives_opencvs_closing_at_every_threshold(diameter, shape, seed, cut):
    values = noise(shape, seed)
    own = closed(values[None], diameter)[0]
    np.testing.assert_array_equal(own > cut, opencv_closed(values > cut, diameter))


@pytest.mark.parametrize("seed", range(5))
def test_only_a_symmetric_closing_contains_its_mask(seed):
    mask = (noise((1, 40, 40), seed, sigma=(0, 1, 1)) > 0.4).astype(np.float32)
    assert (closed(mask, 5) >= mask).all()
    assert not (closed(mask, 4) >= mask).all()


def test_the_published_even_ellipse_loses_a_single_pixel_and_an_odd_one_keeps_it():
    point = np.zeros((1, 30, 30), dtype=np.float32)
    point[0, 15, 15] = 1
    assert not closed(point, 10).any()
    assert (closed(point, 11) == point).all()
    assert (closed(point, 0) == point).all()


@pytest.mark.parametrize("width", [1, 3, 5, 7, 9, 11, 13, 19])
def test_the_blur_is_opencvs(width):
    mask = (noise((40, 33)) > 0.1).astype(np.float32)
    if width != 9 or int(cv2.__version__.split(".")[0]) >= 5:  # older versions have no fixed kernel of 9
        np.testing.assert_allclose(gaussian_kernel(width), cv2.getGaussianKernel(width, 0).ravel(), atol=1e-7)
        found = softened(torch.from_numpy(mask)[None, None], width)[0, 0].numpy()
        np.testing.assert_allclose(found, cv2.GaussianBlur(mask, (width, width), 0), atol=2e-6)


def test_volumes_are_closed_and_blurred_like_planes():
    values = noise((14, 15, 16))
    offsets = np.array(ellipse_offsets(5, 3))
    ball = np.zeros((5, 5, 5), dtype=bool)
    ball[tuple((offsets + 2).T)] = True
    assert ball[2].sum() == len(ellipse_offsets(5, 2))
    mask = values > 0.2
    grown = ndimage.binary_dilation(mask, ball)
    expected = ndimage.binary_erosion(grown, ball, border_value=1)
    np.testing.assert_array_equal(closed(values[None], 5)[0] > 0.2, expected)
    soft = mask.astype(np.float64)
    for axis in range(3):
        soft = ndimage.correlate1d(soft, gaussian_kernel(5), axis=axis, mode="mirror")
    np.testing.assert_allclose(softened(torch.from_numpy(mask)[None, None], 5)[0, 0].numpy(), soft, atol=1e-6)


def test_kernel_sizes_follow_the_image():
    assert MaskShape.scaled((128, 200)) == MaskShape(closing_px=10, blur_px=11)
    assert MaskShape.scaled((224, 224)) == MaskShape(closing_px=18, blur_px=19)
    assert MaskShape.scaled((28, 28)) == MaskShape(closing_px=2, blur_px=3)
    assert MaskShape.scaled((64, 64), closing=False) == MaskShape(closing_px=0, blur_px=5)
    assert MaskShape.scaled((128, 128), symmetric=True).closing_px == 11
    assert MaskShape.scaled((28, 28), symmetric=True).closing_px == 3


def test_thresholds_are_the_published_ones():
    assert thresholds("dapi")[[0, 100, 200]] == pytest.approx([-1, 0, 1])
    assert thresholds("quac")[-1] == pytest.approx(0.99)
    assert len(thresholds("quac")) == 200
    with pytest.raises(ExplanationError, match="dapi or quac"):
        thresholds("both")


@pytest.mark.parametrize("preset", ["dapi", "quac"])
def test_sizes_are_those_of_every_mask_and_equal_sizes_are_one_mask(preset):
    values = noise((24, 24)) if preset == "dapi" else np.abs(noise((24, 24)))
    nested = nested_masks(values, preset=preset, closing_px=3)
    masks = [opencv_closed(values.astype(np.float64) > cut, 3) for cut in thresholds(preset)]
    assert nested.sizes.tolist() == [int(m.sum()) for m in masks]
    first, place = nested.distinct()
    assert len(first) == len({m.tobytes() for m in masks})
    for mask, number in zip(masks, place):
        np.testing.assert_array_equal(mask, masks[first[number]])


def test_the_largest_pixels_are_as_many_as_asked_for_even_when_equal():
    assert largest(np.ones((3, 3)), 4).sum() == 4
    assert largest(np.array([[1.0, 3.0], [2.0, 3.0]]), 2).tolist() == [[False, True], [False, True]]


def test_an_even_blur_is_refused():
    with pytest.raises(ExplanationError, match="odd width in pixels: found 4"):
        gaussian_kernel(4)
