"""The grid: world and index, agreement as a length, shear, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import voxel_centers
from strategies import affines, boxes, grids

from medgan.errors import GeometryError
from medgan.geometry import Box, Grid

quick = settings(deadline=None, derandomize=True, max_examples=60)
PLAIN = Grid.axis_aligned((10, 12, 8), spacing=(2, 2, 3), origin=(-10, 5, 0))


def moved(grid: Grid, offset) -> Grid:
    affine = grid.affine.copy()
    affine[:3, 3] += offset
    return Grid(grid.shape, affine, grid.unit, grid.frame)


@quick
@given(grids(), st.lists(st.tuples(*[st.floats(-20, 20)] * 3), min_size=1, max_size=5))
def test_index_of_world_is_the_index(grid, points):
    assert np.allclose(grid.index(grid.world(points)), points, atol=1e-8)


@quick
@given(grids(), boxes())
def test_cropping_leaves_every_voxel_where_it_was(grid, box):
    cropped = grid.cropped(box)
    inside = np.moveaxis(np.indices(box.shape), 0, -1)
    assert np.allclose(cropped.world(inside), grid.world(inside + box.start_ijk), atol=1e-9)
    assert (cropped.unit, cropped.frame) == (grid.unit, grid.frame)
    assert cropped.cropped(grid.box.shifted([-s for s in box.start_ijk])).same_as(grid, tolerance_voxel=1e-9)


@quick
@given(grids(sheared=False), st.tuples(*[st.floats(0.4, 7)] * 3))
def test_respacing_keeps_center_direction_and_extent(grid, spacing):
    new = grid.respaced(spacing)
    assert np.allclose(new.spacing, spacing)
    assert np.allclose(new.direction, grid.direction)
    middle, new_middle = ((np.asarray(g.shape) - 1) / 2 for g in (grid, new))
    assert np.allclose(grid.world(middle), new.world(new_middle))
    extent, new_extent = (np.asarray(g.shape) * g.spacing for g in (grid, new))
    assert (new_extent >= extent - 1e-4).all()
    assert (new_extent < extent + np.asarray(spacing) + 1e-9).all()


def test_respacing_by_a_whole_factor_counts_exactly():
    assert PLAIN.respaced((1, 1, 1)).shape == (20, 24, 24)
    assert PLAIN.respaced(PLAIN.spacing).same_as(PLAIN, tolerance_voxel=1e-12)
    assert Grid.axis_aligned((10, 10, 10), spacing=(0.3, 0.3, 0.3)).respaced((0.1, 0.1, 0.1)).shape == (30, 30, 30)


@quick
@given(grids(), st.tuples(*[st.floats(-3, 3)] * 3))
def test_displacement_is_symmetric_and_a_length(grid, offset):
    other = moved(grid, offset)
    forward, backward = grid.displacement_from(other), other.displacement_from(grid)
    assert forward == backward
    assert forward == pytest.approx(np.linalg.norm(offset) / min(grid.spacing), abs=1e-9)


def test_a_rotation_is_felt_at_the_corners_not_at_the_origin():
    angle = 0.002
    turned = PLAIN.affine.copy()
    turned[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]] @ turned[:3, :3]
    other = Grid(PLAIN.shape, turned)
    extent = np.hypot(9 * 2, 11 * 2)
    assert PLAIN.displacement_from(other) == pytest.approx(2 * np.sin(angle / 2) * extent / 2, rel=1e-6)
    assert PLAIN.same_as(other)
    big = Grid.axis_aligned((200, 200, 8), spacing=(2, 2, 3))
    big_turned = big.affine.copy()
    big_turned[:3, :3] = turned[:3, :3] @ np.linalg.inv(PLAIN.affine[:3, :3]) @ big.affine[:3, :3]
    assert not big.same_as(Grid(big.shape, big_turned))


def test_agreement_is_not_transitive_so_there_is_no_equality_and_no_useful_hash():
    first, second, third = (moved(PLAIN, (0.08 * n, 0, 0)) for n in range(3))  # 0.04 voxel each
    assert first.same_as(second)
    assert second.same_as(third)
    assert not first.same_as(third)
    assert Grid(PLAIN.shape, PLAIN.affine) != PLAIN


def test_grids_of_another_shape_unit_or_frame_do_not_agree():
    assert not PLAIN.same_as(PLAIN.cropped(Box((0, 0, 0), (10, 12, 7))))
    assert not PLAIN.same_as(Grid(PLAIN.shape, PLAIN.affine, unit="nm"))
    assert not PLAIN.same_as(Grid(PLAIN.shape, PLAIN.affine, frame="specimen"))
    with pytest.raises(GeometryError, match="one shape, unit and frame: found 10 x 12 x 8 voxels"):
        PLAIN.displacement_from(PLAIN.cropped(Box((0, 0, 0), (10, 12, 7))))


def test_paired_comparison_says_by_how_much_and_what_to_do():
    PLAIN.require_same_as(moved(PLAIN, (0.05, 0, 0)), this="ct", that="mr")
    with pytest.raises(GeometryError) as caught:
        moved(PLAIN, (0, 0, 4.8)).require_same_as(PLAIN, this="ct", that="mr")
    message = str(caught.value)
    assert "'ct' is displaced from 'mr' by up to 2.40 voxels (limit 0.05)" in message
    assert "(0.0, 0.0, 4.8) mm" in message
    assert "do not copy one affine onto the other" in message
    with pytest.raises(GeometryError, match=r"'ct' has 10 x 12 x 7 voxels .*'mr' has 10 x 12 x 8 voxels"):
        PLAIN.cropped(Box((0, 0, 0), (10, 12, 7))).require_same_as(PLAIN, this="ct", that="mr")


@quick
@given(grids(low=2, sheared=False))
def test_a_rotated_or_flipped_grid_is_not_sheared(grid):
    assert not grid.is_sheared


@pytest.mark.parametrize(
    ("tilt_mm", "sheared"), [(0.0, False), (0.001, False), (0.002, True), (0.05, True), (1.0, True)]
)
def test_shear_is_judged_by_the_displacement_it_makes(tilt_mm, sheared):
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = tilt_mm  # each slice is moved by this much, as by a tilted gantry
    assert Grid((64, 64, 20), affine).is_sheared is sheared


def test_one_slice_cannot_be_sheared_along_the_missing_axis():
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    affine[1, 2] = 0.5
    # The missing axis still leans over the plane: the extent along it is zero, that of the plane is not.
    assert Grid((1, 1, 1), affine).is_sheared is False


@quick
@given(grids())
def test_spacing_direction_origin_and_volume_describe_the_affine(grid):
    rebuilt = np.eye(4)
    rebuilt[:3, :3] = grid.direction * grid.spacing
    rebuilt[:3, 3] = grid.origin
    assert np.allclose(rebuilt, grid.affine)
    assert np.allclose(np.linalg.norm(grid.direction, axis=0), 1)
    a, b, c = grid.affine[:3, :3].T
    assert grid.voxel_volume == pytest.approx(abs(np.dot(np.cross(a, b), c)))


@quick
@given(grids())
def test_corners_are_the_extreme_voxel_centers(grid):
    centers = voxel_centers(grid).reshape(-1, 3)
    for axis in range(3):
        assert grid.corners_xyz()[:, axis].min() == pytest.approx(centers[:, axis].min())
        assert grid.corners_xyz()[:, axis].max() == pytest.approx(centers[:, axis].max())


@quick
@given(affines(), affines())
def test_index_map_between_grids_is_world_then_index(first, second):
    source, target = Grid((5, 5, 5), first), Grid((4, 4, 4), second)
    to_source = source.index_affine_from(target)
    ijk = np.array([1.0, 2.0, 3.0])
    assert np.allclose(to_source[:3, :3] @ ijk + to_source[:3, 3], source.index(target.world(ijk)), atol=1e-6)


def test_index_map_refuses_another_frame():
    with pytest.raises(GeometryError, match="found mm, patient and nm, specimen"):
        PLAIN.index_affine_from(Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1), unit="nm", frame="specimen"))


def _with(row: int, column: int, value: float) -> np.ndarray:
    affine = np.eye(4)
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4, 4), np.eye(4), r"each of three axes: found shape \(4, 4\)"),
        ((4, 0, 4), np.eye(4), r"each of three axes: found shape \(4, 0, 4\)"),
        ((4, 4.5, 4), np.eye(4), r"at least one whole voxel .* found shape \(4, 4.5, 4\)"),
        ((4, 4, 4), np.eye(3), r"4 x 4 affine: found shape \(3, 3\)"),
        ((4, 4, 4), _with(0, 3, np.nan), "finite affine: found NaN or infinity"),
        ((4, 4, 4), _with(0, 0, np.inf), "finite affine"),
        ((4, 4, 4), _with(3, 0, 0.5), r"must be 0 0 0 1: found \[0.5, 0.0, 0.0, 1.0\]"),
        ((4, 4, 4), _with(1, 1, 0.0), "invertible affine: the columns have lengths"),
        ((4, 4, 4), [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "do not span space"),
    ],
)
def test_refusals_say_what_was_found(shape, affine, message):
    with pytest.raises(GeometryError, match=message):
        Grid(shape, affine)


def test_tiny_and_huge_units_are_not_mistaken_for_singular():
    for scale in (1e-6, 1e6):
        assert Grid((4, 4, 4), np.diag([scale, scale, scale, 1])).voxel_volume == pytest.approx(scale**3)


def test_unit_frame_and_spacing_are_checked():
    with pytest.raises(GeometryError, match="found 'cm', 'patient'"):
        Grid((4, 4, 4), np.eye(4), unit="cm")
    with pytest.raises(GeometryError, match="found 'mm', 'scanner'"):
        Grid((4, 4, 4), np.eye(4), frame="scanner")
    for spacing in ((1, 1), (1, 1, 0), (1, 1, -1), (1, 1, np.nan)):
        with pytest.raises(GeometryError, match="three positive lengths"):
            PLAIN.respaced(spacing)


def test_affine_and_direction_cannot_be_changed_not_even_after_pickling():
    source = np.diag([2.0, 2.0, 2.0, 1.0])
    grid = Grid((4, 4, 4), source)
    source[0, 0] = 99
    assert grid.affine[0, 0] == 2  # a copy
    _ = grid.direction, grid.spacing  # cached before pickling
    for one in (grid, pickle.loads(pickle.dumps(grid)), copy.deepcopy(grid)):
        assert one.same_as(grid)
        for array in (one.affine, one.direction):
            with pytest.raises(ValueError, match="read-only"):
                array[0, 0] = 5
    with pytest.raises(AttributeError):
        grid.shape = (1, 1, 1)


def test_numpy_shape_becomes_plain_integers():
    grid = Grid(np.array([2, 3, 4]), np.eye(4))
    assert grid.shape == (2, 3, 4)
    assert all(type(n) is int for n in grid.shape)


def test_description_names_shape_spacing_unit_and_origin():
    assert PLAIN.describe() == "10 x 12 x 8 voxels of 2 x 2 x 3 mm from (-10.0, 5.0, 0.0)"


def test_a_box_around_another_grid_holds_every_voxel_of_it():
    generator = np.random.default_rng(5)
    for _ in range(20):
        grids = []
        for _ in range(2):
            affine = np.eye(4)
            affine[:3, :3] = np.diag(generator.uniform(0.5, 4, 3)) @ (
                np.eye(3) + 0.2 * generator.standard_normal((3, 3))
            )
            affine[:3, 3] = generator.uniform(-20, 20, 3)
            grids.append(Grid(tuple(generator.integers(1, 9, 3).tolist()), affine))
        one, other = grids
        box = one.box_around(other)
        points = generator.uniform(-0.5, np.asarray(other.shape) - 0.5, (200, 3))
        inside = one.index(other.world(points))
        assert (inside >= np.asarray(box.start_ijk)).all()
        assert (inside <= np.asarray(box.stop_ijk) - 1).all()
        # Half a voxel more than the outermost centers, and no more than two voxels beyond that.
        ends = one.index(other.world(np.stack([np.array([i, j, k]) for i in (-0.5, other.shape[0] - 0.5)
                                               for j in (-0.5, other.shape[1] - 0.5)
                                               for k in (-0.5, other.shape[2] - 0.5)])))  # fmt: skip
        assert (ends.min(axis=0) - np.asarray(box.start_ijk) < 1).all()
        assert (np.asarray(box.stop_ijk) - ends.max(axis=0) < 2 + 1e-9).all()
