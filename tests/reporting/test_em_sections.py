"""Sections in several versions, side by side."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medgan.errors import ReportError
from medgan.reporting.em_sections import ShownSection, instance_colors, section_sheet


def shown(title: str, size: int = 8, boundary: bool = True) -> ShownSection:
    image = np.zeros((size, size), np.uint8)
    image[: size // 2] = 255  # the left half, x is the first axis
    return ShownSection(title, image, image if boundary else None, (image > 0).astype(np.uint64))


def test_a_sheet_is_a_picture_with_a_column_each():
    one, three = (
        np.asarray(Image.open(io.BytesIO(section_sheet([shown(str(n)) for n in range(count)])))) for count in (1, 3)
    )
    assert three.shape[1] > 2 * one.shape[1]


def test_x_is_to_the_right():
    picture = np.asarray(Image.open(io.BytesIO(section_sheet([shown("a")]))).convert("L")).astype(int)
    top = picture[picture.shape[0] // 10 : picture.shape[0] // 3]
    bright = np.flatnonzero((top > 250).mean(axis=0) > 0.5)
    assert bright.size
    assert bright.max() < picture.shape[1] / 2 + 5


def test_neighbors_in_number_differ_in_color_and_nothing_is_black():
    colors = instance_colors(np.arange(40)[:, None])[:, 0]
    assert colors[0].tolist() == [0, 0, 0]
    assert (colors[1:].max(axis=1) > 120).all()
    assert np.abs(np.diff(colors[1:].astype(int), axis=0)).max(axis=1).min() > 40


def test_a_version_without_boundaries_says_so():
    assert section_sheet([shown("a"), shown("b", boundary=False)]) != section_sheet([shown("a"), shown("b")])


def test_refusals():
    with pytest.raises(ReportError, match="at least one, all of one size"):
        section_sheet([])
    with pytest.raises(ReportError, match="all of one size"):
        section_sheet([shown("a"), shown("b", size=9)])
