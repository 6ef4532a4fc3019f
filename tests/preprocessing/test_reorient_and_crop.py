"""Stages that only move or drop voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Ramp, voxel_centers
from pydantic import ValidationError
from strategies import grids, orientations

from medgan.cohort import Case
from medgan.errors import CohortError, GeometryError, PreprocessingError
from medgan.geometry import Box, Grid, axis_codes, bounding_box
from medgan.preprocessing.crop import Crop
from medgan.preprocessing.reorient import Reorient
from medgan.volume import LabelMap

RAMP = Ramp()
GRID = Grid.axis_aligned((10, 9, 8), spacing=(2, 2, 5), origin=(3, -4, 5))


class TestReorient:
    # Not oblique: where two axis orders are equally close, the codes are a matter of rounding.
    @given(grid=grids(specimen=False, oblique=False), codes=orientations, other=orientations)
    @settings(max_examples=40, deadline=None, derandomize=True)
    def test_voxels_stay_where_they_are(self, grid, codes, other):
        image = RAMP.on(grid)
        labels = LabelMap(np.arange(np.prod(grid.shape), dtype=np.uint16).reshape(grid.shape), grid)
        case = Case("c", "s", {"mr": image}, {"body": labels})
        done = Reorient(codes=codes)(case)
        assert axis_codes(done.image.grid) == codes
        assert np.allclose(done.image.array, RAMP.at(voxel_centers(done.image.grid)), atol=1e-2)
        assert done.label("body").grid.same_as(done.image.grid)
        back = Reorient(codes=axis_codes(grid))(Reorient(codes=other)(done))
        assert np.array_equal(back.image.array, image.array)
        assert np.array_equal(back.label("body").array, labels.array)
        assert back.image.grid.same_as(grid)

    @pytest.mark.parametrize("codes", ["RA", "RASS", "RAR", "XYZ", "ras", "", "RLA"])
    def test_what_is_no_orientation_is_refused_when_it_is_written(self, codes):
        with pytest.raises(ValidationError, match="An orientation names one of R/L, one of A/P and one of S/I"):
            Reorient(codes=codes)

    def test_a_specimen_has_no_anatomical_directions(self):
        grid = Grid.axis_aligned((3, 3, 3), spacing=(4, 4, 40), unit="nm", frame="specimen")
        with pytest.raises(GeometryError, match="patient's frame"):
            Reorient()(Case("c", "s", {"em": RAMP.on(grid)}))


@given(
    corners=st.lists(st.tuples(*[st.integers(0, n - 1) for n in GRID.shape]), min_size=1, max_size=4),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_bounding_box_is_tight(corners):
    mask = np.zeros(GRID.shape, bool)
    mask[tuple(np.array(corners).T)] = True
    box = bounding_box(mask)
    assert box == Box(tuple(np.min(corners, axis=0)), tuple(np.max(corners, axis=0) + 1))


def test_an_empty_mask_has_no_bounding_box():
    assert bounding_box(np.zeros((2, 3, 4), bool)) is None


class TestCrop:
    def case(self, label: str = "body") -> Case:
        mask = np.zeros(GRID.shape, bool)
        mask[4:6, 3:5, 3:4] = True
        return Case("c", "s", {"mr": RAMP.on(GRID)}, {label: LabelMap(mask, GRID)})

    @pytest.mark.parametrize(
        ("margin_mm", "expected"),
        [
            (0, Box((4, 3, 3), (6, 5, 4))),
            (2, Box((3, 2, 2), (7, 6, 5))),
            (4.1, Box((1, 0, 2), (9, 8, 5))),
            (999, GRID.box),
        ],
    )
    def test_the_box_plus_a_margin_within_the_image(self, margin_mm, expected):
        case = self.case()
        done = Crop(margin_mm=margin_mm)(case)
        assert np.array_equal(done.image.array, case.image.array[expected.slices])
        assert np.array_equal(done.label("body").array, case.label("body").array[expected.slices])
        assert done.image.grid.same_as(GRID.cropped(expected))
        assert done.label("body").grid.same_as(done.image.grid)
        assert done.image.provenance.steps[-1].parameters["start_ijk"] == list(expected.start_ijk)

    def test_another_label_may_be_named(self):
        assert Crop(label="tumor", margin_mm=0)(self.case(label="tumor")).image.shape == (2, 2, 1)

    def test_a_label_that_is_absent(self):
        with pytest.raises(CohortError, match="Case c must have the label map 'body': found tumor"):
            Crop()(self.case(label="tumor"))

    def test_a_label_that_is_empty(self):
        empty = LabelMap(np.zeros(GRID.shape, bool), GRID)
        with pytest.raises(
            PreprocessingError, match="crop needs a label map 'body' with voxels in it: case c has none"
        ):
            Crop()(self.case().with_label("body", empty))

    def test_an_image_on_another_grid(self):
        moved = Grid(GRID.shape, GRID.affine + np.eye(4)[[0, 1, 2, 3]] * [[0.5], [0], [0], [0]])
        with pytest.raises(GeometryError, match="Stage crop needs images on one grid: 'ct'"):
            Crop()(self.case().with_image("ct", RAMP.on(moved)))
        with pytest.raises(GeometryError, match="Stage crop needs images on one grid: 'tumor'"):
            Crop()(self.case().with_label("tumor", LabelMap(np.zeros(GRID.shape, bool), moved)))

    def test_a_negative_margin(self):
        with pytest.raises(ValidationError, match="margin_mm"):
            Crop(margin_mm=-1)
