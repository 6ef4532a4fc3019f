"""One spacing over the same extent, with right angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Ramp, is_within, voxel_centers
from pydantic import ValidationError
from strategies import grids

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.geometry import Grid
from medgan.preprocessing.respace import Respace
from medgan.volume import LabelMap, Quantity, Volume

RAMP = Ramp()
spacings = st.tuples(*[st.floats(0.5, 5)] * 3)


def respaced(grid: Grid, spacing, **options) -> Volume:
    stage = Respace(spacing_mm=spacing, **options)
    return stage(Case("c", "s", {"mr": RAMP.on(grid)})).image


@given(grid=grids(low=2, high=7, sheared=False, specimen=False), spacing=spacings)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_extent_center_and_axes_are_kept(grid, spacing):
    new = respaced(grid, spacing, antialias=False).grid
    assert new.spacing == pytest.approx(spacing)
    assert np.allclose(new.direction, grid.direction)
    old_mm, new_mm = np.multiply(grid.shape, grid.spacing), np.multiply(new.shape, new.spacing)
    assert (new_mm >= old_mm - 1e-3).all()
    assert (new_mm < old_mm + np.array(spacing) + 1e-3).all()
    centers = [g.world((np.array(g.shape) - 1) / 2) for g in (grid, new)]
    assert np.allclose(*centers, atol=1e-6)


@given(grid=grids(low=2, high=7, specimen=False), spacing=spacings)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_ramp_is_exact_inside_on_any_grid(grid, spacing):
    done = respaced(grid, spacing, antialias=False)
    points = voxel_centers(done.grid)
    inside = is_within(grid, points, margin_voxel=1e-3)
    assert np.allclose(done.array[inside], RAMP.at(points[inside]), atol=5e-3)


def test_a_ramp_survives_smoothing_away_from_the_ends():
    grid = Grid.axis_aligned((24, 24, 24), spacing=(1, 1, 1))
    done = respaced(grid, (2.0, 2.5, 1.0), antialias=True)
    points = voxel_centers(done.grid)
    inside = is_within(grid, points, margin_voxel=4)
    assert inside.any()
    assert np.allclose(done.array[inside], RAMP.at(points[inside]), atol=1e-3)
    assert not np.array_equal(done.array, respaced(grid, (2.0, 2.5, 1.0), antialias=False).array)


@given(grid=grids(low=2, high=7, specimen=False).filter(lambda g: g.is_sheared), spacing=spacings)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_sheared_grid_becomes_orthogonal_and_holds_every_corner(grid, spacing):
    new = respaced(grid, spacing, antialias=False).grid
    assert np.allclose(new.direction.T @ new.direction, np.eye(3), atol=1e-9)
    assert not new.is_sheared
    # The first axis, and the plane of the first two, stay.
    assert np.allclose(new.direction[:, 0], grid.direction[:, 0])
    assert abs(np.linalg.det(np.c_[grid.direction[:, :2], new.direction[:, 1]])) < 1e-9
    assert np.sign(np.linalg.det(new.direction)) == np.sign(np.linalg.det(grid.direction))
    corners = new.index(grid.corners_xyz())
    assert (corners >= -0.5 - 1e-5).all()
    assert (corners <= np.array(new.shape) - 0.5 + 1e-5).all()


def test_tilted_gantry():
    # Rows of a CT with a gantry tilted by 20 degrees: the slice axis leans over the columns.
    affine = np.diag([1.0, 1, 3, 1])
    affine[1, 2] = 3 * np.tan(np.radians(20))
    grid = Grid((10, 10, 8), affine)
    done = Respace(spacing_mm=(1, 1, 3))(Case("c", "s", {"ct": RAMP.on(grid, Quantity.HOUNSFIELD)})).image
    assert np.allclose(done.grid.direction, np.eye(3))
    assert done.shape[0] == 10
    assert done.shape[1] > 10
    # What the slices do not reach is air.
    assert (done.array[:, 0, -1] == -1024).all()


def test_the_interpolation_is_the_one_asked_for(rng):
    grid = Grid.axis_aligned((8, 8, 8), spacing=(2, 2, 2))
    volume = Volume(rng.choice([10, 500], grid.shape).astype(np.float32), grid, Quantity.MR_SIGNAL)
    found = {}
    for name in ("nearest", "linear", "cubic"):
        stage = Respace(spacing_mm=(1.5, 1.5, 1.5), interpolation=name)
        found[name] = stage(Case("c", "s", {"mr": volume})).image
        assert found[name].provenance.steps[-1].parameters["interpolation"] == name
    assert set(np.unique(found["nearest"].array)) == {10, 500}
    assert ((found["linear"].array > 11) & (found["linear"].array < 499)).mean() > 0.3
    assert found["linear"].array.max() <= 500 < found["cubic"].array.max(), "a spline overshoots"


def test_where_nothing_changes_voxels_are_copied(rng):
    grid = Grid.axis_aligned((5, 6, 7), spacing=(2, 2, 3), origin=(1, 2, 3))
    volume = Volume(rng.integers(0, 900, grid.shape).astype(np.uint16), grid, Quantity.MR_SIGNAL)
    done = Respace(spacing_mm=(2, 2, 3))(Case("c", "s", {"mr": volume})).image
    assert done.array.dtype == np.uint16
    assert np.array_equal(done.array, volume.array)
    assert done.grid.same_as(grid)


def test_labels_follow_their_image_by_nearest_neighbor(rng):
    grid = Grid.axis_aligned((9, 8, 7), spacing=(2, 2, 3))
    labels = LabelMap(rng.integers(0, 2, grid.shape).astype(np.uint8) * 7, grid, {7: "body"})
    case = Case("c", "s", {"mr": RAMP.on(grid)}, {"body": labels})
    done = Respace(spacing_mm=(1, 1.5, 2))(case)
    assert done.label("body").grid.same_as(done.image.grid)
    assert set(np.unique(done.label("body").array)) == {0, 7}
    assert done.label("body").mask().mean() == pytest.approx(labels.mask().mean(), abs=0.05)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (1, 1, float("inf")), (1, 1), 2])
def test_a_spacing_is_three_positive_lengths(spacing):
    with pytest.raises(ValidationError, match="spacing"):
        Respace(spacing_mm=spacing)


def test_an_image_in_nanometres_is_refused():
    grid = Grid.axis_aligned((4, 4, 4), spacing=(4, 4, 40), unit="nm", frame="specimen")
    with pytest.raises(PreprocessingError, match="respace needs images in mm: 'mr' of case c is in nm"):
        respaced(grid, (1, 1, 1))
    image = RAMP.on(Grid.axis_aligned((4, 4, 4), spacing=(1, 1, 1)))
    labels = LabelMap(np.zeros(grid.shape, bool), grid)
    with pytest.raises(PreprocessingError, match="'body' of case c is in nm"):
        Respace(spacing_mm=(1, 1, 1))(Case("c", "s", {"mr": image}, {"body": labels}))


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "cubic"])
def test_last_axis_is_the_fastest_whatever_the_file_had(interpolation):
    grid = Grid.axis_aligned((9, 8, 7), spacing=(1, 1, 2))
    ramp = RAMP.on(grid)
    as_read = Volume(np.asfortranarray(ramp.array), grid, ramp.quantity, ramp.provenance)
    stage = Respace(spacing_mm=(0.8, 0.8, 1.5), interpolation=interpolation)
    done, same = (stage(Case("c", "s", {"mr": volume})).image for volume in (as_read, ramp))
    assert done.array.flags.c_contiguous
    assert not done.array.flags.writeable
    np.testing.assert_array_equal(done.array, same.array)
    assert done.provenance.digest == same.provenance.digest
