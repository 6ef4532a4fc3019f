"""A box in the world or in voxels: what is kept stays where it was, and what is not there is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Ramp, voxel_centers
from pydantic import ValidationError
from strategies import grids

from medgan.cohort import Case
from medgan.errors import GeometryError, PreprocessingError
from medgan.geometry import Box, Grid
from medgan.preprocessing.crop_box import CropBox
from medgan.volume import LabelMap

RAMP = Ramp()
GRID = Grid.axis_aligned((10, 9, 8), spacing=(2, 2, 5), origin=(3, -4, 5))


def case_on(grid: Grid) -> Case:
    labels = LabelMap(np.arange(np.prod(grid.shape), dtype=np.uint16).reshape(grid.shape), grid)
    return Case("c", "s", {"mr": RAMP.on(grid)}, {"parts": labels})


@given(grid=grids(low=4, specimen=False), data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_world_box_keeps_exactly_the_voxels_around_it(grid, data):
    center = grid.world(data.draw(st.tuples(*[st.integers(0, n - 1) for n in grid.shape])))
    half = np.array(data.draw(st.tuples(*[st.floats(1, 40)] * 3)))
    stage = CropBox(start=tuple(center - half), stop=tuple(center + half))
    done = stage(case_on(grid))
    kept = done.image
    assert np.allclose(kept.array, RAMP.at(voxel_centers(kept.grid)), atol=1e-2)
    done.label("parts").grid.require_same_as(kept.grid, this="parts", that="mr")
    # Every voxel center in the world box is kept, and each face of what is kept touches the box.
    inside = (np.abs(voxel_centers(grid) - center) <= half - 1e-6).all(axis=-1)
    start = np.rint(grid.index(kept.grid.world((0, 0, 0)))).astype(int)
    box = Box(tuple(start), tuple(start + kept.shape))
    outside = inside.copy()
    outside[box.slices] = False
    assert not outside.any()
    assert grid.box.contains(box)


def test_a_straight_grid_keeps_no_voxel_more():
    done = CropBox(start=(7, -2, 10), stop=(13, 3, 30))(case_on(GRID))
    assert done.image.shape == (4, 3, 5)
    assert done.image.grid.origin == (7, -2, 10)
    assert done.notices == ()
    assert done.image.provenance.steps[-1].name == "crop"


def test_a_box_in_voxels():
    done = CropBox(start=(2, 0, 1), stop=(5, 9, 3), unit="voxel")(case_on(GRID))
    assert np.array_equal(done.image.array, RAMP.on(GRID).array[2:5, 0:9, 1:3])
    assert np.array_equal(done.label("parts").array, case_on(GRID).label("parts").array[2:5, 0:9, 1:3])


def test_beyond_the_image_is_cut_with_a_notice_or_filled():
    stage = {"start": (-3, -2, 5), "stop": (4, 4, 8), "unit": "voxel"}
    cut = CropBox(**stage)(case_on(GRID))
    assert cut.image.shape == (4, 4, 3)
    assert cut.notices == ("The box to crop to ends beyond the image and was cut there: mr, parts.",)
    filled = CropBox(**stage, beyond="pad")(case_on(GRID))
    assert filled.image.shape == (7, 6, 3)
    assert (filled.image.array[:3] == 0).all()
    assert np.array_equal(filled.image.array[3:, 2:], cut.image.array)
    assert filled.notices == ()


def test_each_image_is_cropped_on_its_own_grid():
    fine = Grid.axis_aligned((40, 36, 40), spacing=(0.5, 0.5, 1), origin=(3, -4, 5))
    case = case_on(GRID).with_image("ct", RAMP.on(fine))
    done = CropBox(start=(5, -2, 10), stop=(9, 2, 20))(case)
    assert (done.images["mr"].shape, done.images["ct"].shape) == ((3, 3, 3), (9, 9, 11))
    with pytest.raises(GeometryError, match="Stage crop_box in voxels needs images on one grid"):
        CropBox(start=(0, 0, 0), stop=(2, 2, 2), unit="voxel")(case)


def test_a_specimen_is_cropped_in_nanometers():
    grid = Grid.axis_aligned((8, 8, 4), spacing=(4, 4, 40), unit="nm", frame="specimen")
    assert CropBox(start=(4, 4, 0), stop=(12, 16, 80), unit="nm")(case_on(grid)).image.shape == (3, 4, 3)
    with pytest.raises(PreprocessingError, match=r"in mm needs images in mm: 'mr' of case c is in nm"):
        CropBox(start=(4, 4, 0), stop=(12, 16, 80))(case_on(grid))


@pytest.mark.parametrize(
    "box",
    [
        {"start": (300, 0, 0), "stop": (310, 5, 20)},
        # Between two voxel centers there is no voxel.
        {"start": (3.5, -4, 5), "stop": (4.5, 0, 20)},
        {"start": (20, 0, 0), "stop": (22, 2, 2), "unit": "voxel", "beyond": "pad"},
    ],
)
def test_a_box_without_voxels_is_refused_with_the_image_in_words(box):
    with pytest.raises(PreprocessingError, match=r"'mr' of case c has none there. It holds 10 x 9 x 8 voxels"):
        CropBox(**box)(case_on(GRID))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start": (0, 0, 0), "stop": (1, 0, 1)}, "start before it stops"),
        ({"start": (0, 0, 0), "stop": (1, float("inf"), 1)}, "start before it stops"),
        ({"start": (0, 0, 0), "stop": (1, 2.5, 1), "unit": "voxel"}, "whole numbers"),
        ({"start": (0, 0, 0), "stop": (1, 2, 1), "unit": "cm"}, "voxel"),
    ],
)
def test_what_is_no_box_is_refused_when_it_is_written(wrong, words):
    with pytest.raises(ValidationError, match=words):
        CropBox(**wrong)
