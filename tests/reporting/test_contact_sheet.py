"""Thumbnails show the patient's right at the left and the head at the top, whatever the order of the axes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import ORIENTATIONS

from medgan.errors import GeometryError, ReportError
from medgan.geometry import Grid, axis_map_to
from medgan.reporting.contact_sheet import SIDE_PX, Tile, contact_sheet, thumbnail
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((20, 20, 20), spacing=(2, 2, 2))


def marked(at: tuple[slice, slice, slice], grid: Grid = GRID) -> Volume:
    array = np.zeros(grid.shape, np.float32)
    array[at] = 100
    return Volume(array, grid, Quantity.MR_SIGNAL)


def halves(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pixels[:, :SIDE_PX], pixels[:, SIDE_PX:]


def bright_corner(plane: np.ndarray) -> tuple[str, str]:
    rows, columns = np.nonzero(plane > 128)
    return ("top" if rows.mean() < SIDE_PX / 2 else "bottom", "left" if columns.mean() < SIDE_PX / 2 else "right")


@given(codes=st.sampled_from(ORIENTATIONS))
@settings(max_examples=24, deadline=None, derandomize=True)
def test_right_anterior_and_superior_are_where_a_radiologist_expects_them(codes):
    # Right, anterior, superior in world coordinates, cut by both planes.
    volume = marked((slice(12, 18), slice(8, 18), slice(8, 18)))
    axial, coronal = halves(thumbnail(volume.reordered(axis_map_to(GRID, codes)), window=(0, 100)))
    assert bright_corner(axial) == ("top", "left")
    assert bright_corner(coronal) == ("top", "left")


def test_a_specimen_is_shown_as_its_stack_lies():
    grid = Grid.axis_aligned((20, 20, 20), spacing=(4, 4, 4), unit="nm", frame="specimen")
    section, side = halves(thumbnail(marked((slice(0, 6), slice(0, 12), slice(0, 12)), grid), window=(0, 100)))
    assert bright_corner(section) == ("top", "left")
    assert bright_corner(side) == ("top", "left")


def test_pixels_are_square_and_both_planes_have_one_scale():
    grid = Grid.axis_aligned((40, 20, 5), spacing=(1, 1, 4))
    axial, coronal = halves(thumbnail(Volume(np.ones(grid.shape), grid, Quantity.MR_SIGNAL), window=(0, 1)))
    sizes = [tuple(np.ptp(np.nonzero(plane), axis=1) + 1) for plane in (axial, coronal)]
    assert sizes == [(55, 110), (55, 110)]
    assert axial.max() == coronal.max() == 255


def test_the_slices_go_through_the_mask():
    volume = marked((slice(0, 20), slice(0, 20), slice(16, 18)))
    assert halves(thumbnail(volume, window=(0, 100)))[0].max() == 0
    mask = LabelMap(np.broadcast_to(np.arange(20) >= 16, GRID.shape).copy(), GRID)
    assert halves(thumbnail(volume, window=(0, 100), mask=mask))[0].max() == 255
    empty = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    assert thumbnail(volume, window=(0, 100), mask=empty).shape == (SIDE_PX, 2 * SIDE_PX)


def test_a_sheet_grows_row_by_row_and_colors_what_was_refused():
    pixels = thumbnail(marked((slice(5, 15),) * 3), window=(0, 100))
    tiles = [Tile(f"limb_{n}", "accepted", pixels) for n in range(6)]
    sheets = [Image.open(io.BytesIO(contact_sheet(tiles[:n]))) for n in (1, 5, 6)]
    assert sheets[1].width == sheets[2].width > 4 * sheets[0].width
    assert sheets[2].height > 1.8 * sheets[1].height
    plain, red = (
        np.asarray(Image.open(io.BytesIO(contact_sheet([Tile("a", "b", None, tone)]))).convert("RGB")).astype(int)
        for tone in ("plain", "red")
    )
    assert ((red[..., 0] - red[..., 2]) > 100).any()
    assert not ((plain[..., 0] - plain[..., 2]) > 100).any()
    assert contact_sheet(tiles) == contact_sheet(tiles)


def test_refusals():
    with pytest.raises(ReportError, match="needs at least one image"):
        contact_sheet([])
    with pytest.raises(ReportError, match="tone is one of plain, amber, red: found 'blue'"):
        Tile("a", "b", None, "blue")
    with pytest.raises(ReportError, match="must rise: found 3 to 3"):
        thumbnail(marked((slice(1),) * 3), window=(3, 3))
    other = LabelMap(np.ones((20, 20, 20), np.uint8), Grid.axis_aligned((20, 20, 20), spacing=(3, 3, 3)))
    with pytest.raises(GeometryError, match="A thumbnail needs images on one grid"):
        thumbnail(marked((slice(1),) * 3), window=(0, 1), mask=other)
