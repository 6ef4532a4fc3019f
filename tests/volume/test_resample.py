"""Resampling: exact for ramps, bit for bit where lattices coincide, and equal to SimpleITK with real geometry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Ramp, ball, ball_volume, is_within, voxel_centers
from strategies import affines, axis_maps, boxes, grids, label_maps, rotation, volumes

from medgan.errors import GeometryError, VolumeError
from medgan.geometry import Box, Grid
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample, resample_labels

quick = settings(deadline=None, derandomize=True, max_examples=40)
MR = Quantity.MR_SIGNAL
SMALL = Grid.axis_aligned((12, 10, 8), spacing=(1.0, 1.5, 2.0), origin=(-5, -6, -7))


def turned(grid: Grid, quaternion, offset=(0, 0, 0)) -> Grid:
    """Return a grid rotated about its own center and shifted."""
    turn = rotation(quaternion)
    center = grid.world((np.asarray(grid.shape) - 1) / 2)
    affine = grid.affine.copy()
    affine[:3, :3] = turn @ grid.affine[:3, :3]
    affine[:3, 3] = turn @ (grid.affine[:3, 3] - center) + center + offset
    return Grid(grid.shape, affine, grid.unit, grid.frame)


@quick
@given(grids(low=3, specimen=False), affines(), st.tuples(*[st.floats(-1, 1)] * 3))
def test_a_ramp_is_exact_on_any_oblique_or_sheared_target(source, target_affine, slope):
    # The target is centered on the source, so that part of it lies inside.
    affine = target_affine.copy()
    affine[:3, 3] += source.world((np.asarray(source.shape) - 1) / 2) - affine[:3, :3] @ [3, 3, 3] - affine[:3, 3]
    target = Grid((7, 7, 7), affine)
    ramp = Ramp(slope, 10.0)
    result = resample(ramp.on(source), target)
    inside = is_within(source, voxel_centers(target), margin_voxel=1e-3)
    assert inside[3, 3, 3]
    scale = np.abs(ramp.on(source).array).max()
    assert np.allclose(result.array[inside], ramp.at(voxel_centers(target))[inside], atol=2e-5 * scale)
    assert result.grid is target
    assert result.quantity is MR


@quick
@given(grids(low=3, specimen=False))
def test_far_outside_is_the_quantity_outside_value(source):
    far = source.cropped(Box((20, 20, 20), (23, 23, 23)))
    oblique = turned(far, (1, 0.1, 0, 0))
    image = Ramp().on(source, Quantity.HOUNSFIELD)
    assert (resample(image, far).array == -1024).all()
    assert (resample(image, oblique).array == -1024).all()


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_the_image_ends_half_a_voxel_beyond_its_outermost_centers(interpolation):
    image = Volume(np.ones((5, 6, 4)), Grid.axis_aligned((5, 6, 4), spacing=(1, 1, 1)), Quantity.HOUNSFIELD)
    line = Grid.axis_aligned((13, 1, 1), spacing=(0.5, 1, 1), origin=(-0.95, 2, 2))
    expected = [-1024] + [1] * 10 + [-1024] * 2
    assert resample(image, line, interpolation=interpolation).array.ravel() == pytest.approx(expected, abs=1e-4)


@quick
@given(volumes(), axis_maps, boxes())
def test_flip_permute_crop_and_pad_go_there_and_back_bit_for_bit(image, axis_map, box):
    target = axis_map.applied_to_grid(image.grid.cropped(box))
    there = resample(image, target)
    expected = image.read(box).reordered(axis_map)
    assert there.array.dtype == image.array.dtype
    assert np.array_equal(there.array, expected.array)

    wide = image.grid.cropped(image.grid.box.expanded((2, 1, 3)))
    padded = resample(image, axis_map.applied_to_grid(wide))
    back = resample(padded, image.grid)
    assert back.array.dtype == image.array.dtype
    assert np.array_equal(back.array, image.array)
    assert back.provenance.digest != image.provenance.digest


@quick
@given(volumes(), axis_maps)
def test_padding_holds_the_outside_value(image, axis_map):
    wide = axis_map.applied_to_grid(image.grid.cropped(image.grid.box.expanded(1)))
    array = resample(image, wide).array
    assert (array[0] == image.quantity.outside).all()
    assert (array[:, :, -1] == image.quantity.outside).all()


@quick
@given(label_maps(), axis_maps, boxes())
def test_labels_are_copied_bit_for_bit_too(labels, axis_map, box):
    result = resample_labels(labels, axis_map.applied_to_grid(labels.grid.cropped(box)))
    assert result.array.dtype == labels.array.dtype
    assert np.array_equal(result.array, labels.read(box).reordered(axis_map).array)


@pytest.mark.parametrize(("shift", "copied"), [(0.0, True), (5e-5, True), (3e-4, False), (0.5, False)])
def test_lattices_coincide_within_a_ten_thousandth_of_a_voxel(shift, copied, rng):
    image = Volume(rng.integers(0, 255, SMALL.shape).astype(np.uint8), SMALL, MR)
    affine = SMALL.affine.copy()
    affine[0, 3] += shift
    assert (resample(image, Grid(SMALL.shape, affine)).array.dtype == np.uint8) is copied


def test_a_slow_drift_over_many_voxels_is_no_copy(rng):
    # Half a voxel at the far end, although neighboring columns differ by 0.5 %.
    image = Volume(rng.integers(0, 255, (100, 2, 2)).astype(np.uint8), Grid((100, 2, 2), np.eye(4)), MR)
    stretched = np.diag([1.005, 1, 1, 1])
    assert resample(image, Grid((100, 2, 2), stretched)).array.dtype == np.float32


@quick
@given(label_maps(grid=grids(low=2, high=6, specimen=False)), affines())
def test_labels_are_never_mixed(labels, affine):
    target = Grid((5, 5, 5), affine)
    result = resample_labels(labels, target)
    assert set(np.unique(result.array)) <= {0, *np.unique(labels.array)}
    assert result.array.dtype == labels.array.dtype


def test_nearest_takes_the_nearest(rng):
    labels = LabelMap(rng.integers(0, 60000, SMALL.shape).astype(np.uint16), SMALL)
    target = turned(SMALL, (1, 0.05, -0.1, 0.2))
    ijk = SMALL.index(voxel_centers(target))
    clear = (np.abs(ijk - np.floor(ijk) - 0.5) > 1e-3).all(axis=-1)
    nearest = np.rint(ijk).astype(int)
    inside = ((nearest >= 0) & (nearest < SMALL.shape)).all(axis=-1)
    expected = np.where(inside, labels.array[tuple(np.moveaxis(np.where(inside[..., None], nearest, 0), -1, 0))], 0)
    assert np.array_equal(resample_labels(labels, target).array[clear], expected[clear])


def test_a_ball_keeps_its_volume_on_an_oblique_grid():
    grid = Grid.axis_aligned((40, 40, 40), spacing=(1, 1, 1), origin=(-19.5, -19.5, -19.5))
    target = turned(grid.respaced((0.9, 0.8, 0.7)), (1, 0.3, -0.2, 0.1))
    moved = resample_labels(ball(grid, center=(0, 0, 0), radius=12), target)
    assert moved.mask().sum() * target.voxel_volume == pytest.approx(ball_volume(12), rel=0.01)
    assert moved.names == {1: "ball"}


def test_wide_labels_can_only_be_copied():
    labels = LabelMap(np.full(SMALL.shape, 2**40, np.uint64), SMALL)
    assert resample_labels(labels, SMALL.cropped(Box((0, 0, 0), (3, 3, 3)))).array[0, 0, 0] == 2**40
    with pytest.raises(GeometryError, match="cast them to uint32 first"):
        resample_labels(labels, SMALL.respaced((1, 1, 1)))


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_equal_to_simpleitk_with_real_geometry_in_lps(interpolation, rng):
    import SimpleITK as sitk

    source = turned(SMALL, (1, 0.2, -0.1, 0.3), offset=(2, 3, 4))
    target = turned(SMALL.respaced((1.1, 1.2, 1.3)), (1, -0.1, 0.25, 0.1))
    image = Volume(rng.normal(0, 100, source.shape), source, Quantity.HOUNSFIELD)

    def with_geometry(array: np.ndarray, grid: Grid) -> sitk.Image:
        # SimpleITK's world is LPS: x and y change sign.
        one = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
        lps = np.diag([-1.0, -1.0, 1.0])
        one.SetSpacing(grid.spacing)
        one.SetOrigin((lps @ grid.origin).tolist())
        one.SetDirection((lps @ grid.direction).ravel().tolist())
        return one

    methods = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline}
    reference = with_geometry(np.zeros(target.shape, np.float32), target)
    oracle = sitk.Resample(
        with_geometry(image.array, source), reference, sitk.Transform(), methods[interpolation], -1024.0
    )
    expected = sitk.GetArrayFromImage(oracle).transpose(2, 1, 0)
    result = resample(image, target, interpolation=interpolation).array
    assert (expected != -1024).mean() > 0.4
    assert np.abs(result - expected).max() < 0.01


def test_cubic_follows_a_parabola_better_than_linear():
    grid = Grid.axis_aligned((40, 3, 3), spacing=(1, 1, 1))
    image = Volume(np.square(voxel_centers(grid)[..., 0]), grid, MR)
    halfway = grid.cropped(Box((10, 1, 1), (30, 2, 2)))
    affine = halfway.affine.copy()
    affine[0, 3] += 0.5
    target = Grid(halfway.shape, affine)
    exact = np.square(voxel_centers(target)[..., 0])
    assert np.abs(resample(image, target).array - exact).max() == pytest.approx(0.25, abs=1e-3)
    assert np.abs(resample(image, target, interpolation="cubic").array - exact).max() < 0.01


def test_antialiasing_removes_what_the_coarse_grid_cannot_show_and_keeps_what_it_can(rng):
    grid = Grid.axis_aligned((48, 48, 48), spacing=(1, 1, 1))
    coarse = grid.respaced((3.1, 3.1, 3.1))
    inner = (slice(4, -4),) * 3
    noise = Volume(rng.normal(0, 1, grid.shape), grid, MR)
    plain, smooth = (resample(noise, coarse, antialias=a).array[inner] for a in (False, True))
    assert smooth.std() < 0.4 * plain.std()
    ramp = Ramp().on(grid)
    exact = Ramp().at(voxel_centers(coarse))[inner]
    assert np.abs(resample(ramp, coarse, antialias=True).array[inner] - exact).max() < 0.02


def test_antialiasing_does_nothing_toward_a_finer_grid(rng):
    image = Volume(rng.normal(0, 1, SMALL.shape), SMALL, MR)
    fine = turned(SMALL.respaced((0.7, 0.7, 0.7)), (1, 0, 0, 0.0))
    assert np.array_equal(resample(image, fine).array, resample(image, fine, antialias=True).array)


def test_antialiasing_acts_along_the_axis_that_gets_coarser_whatever_its_number(rng):
    # An axis of the source that becomes another axis of the target is smoothed for the target's step along it.
    grid = Grid.axis_aligned((30, 30, 30), spacing=(1, 1, 1))
    striped = np.broadcast_to(np.where(np.arange(30) % 2, 1.0, -1.0)[:, None, None], grid.shape)
    image = Volume(np.array(striped), grid, MR)
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 0], affine[2, 1], affine[3, 3] = 4.0, 1.0, 1.0, 1.0  # the third axis steps along x
    affine[:3, 3] = (4.2, 0.2, 0.2)
    result = resample(image, Grid((20, 20, 5), affine), antialias=True).array
    assert np.abs(result).max() < 0.05
    assert np.abs(resample(image, Grid((20, 20, 5), affine)).array).max() > 0.3


def test_one_slice_is_an_image_too():
    grid = Grid.axis_aligned((6, 6, 1), spacing=(1, 1, 5))
    image = Ramp((1, 1, 0), 0).on(grid)
    target = Grid.axis_aligned((4, 4, 1), spacing=(1, 1, 5), origin=(0.5, 0.5, 1.0))
    assert np.allclose(resample(image, target, antialias=True).array, Ramp((1, 1, 0), 0).at(voxel_centers(target)))


def test_stored_integers_become_float32_when_they_are_interpolated():
    image = Volume(np.arange(960).reshape(SMALL.shape).astype(np.uint16), SMALL, MR)
    target = turned(SMALL, (1, 0, 0, 0.1))
    assert resample(image, target).array.dtype == np.float32


def test_refusals():
    image = Ramp().on(SMALL)
    specimen = Grid.axis_aligned((2, 2, 2), spacing=(1, 1, 1), unit="nm", frame="specimen")
    with pytest.raises(GeometryError, match="one unit and one frame"):
        resample(image, specimen)
    with pytest.raises(GeometryError, match="one unit and one frame"):
        resample_labels(ball(SMALL, center=(0, 0, 0), radius=2), specimen)
    with pytest.raises(VolumeError, match="one of nearest, linear, cubic: found 'spline'"):
        resample(image, SMALL, interpolation="spline")


def test_the_step_is_recorded_with_the_target():
    steps = resample(Ramp().on(SMALL), SMALL.respaced((2, 2, 2)), antialias=True).provenance.steps
    assert [s.name for s in steps] == ["resample"]
    assert steps[0].parameters["shape"] == list(SMALL.respaced((2, 2, 2)).shape)
    assert steps[0].parameters["antialias"] is True
