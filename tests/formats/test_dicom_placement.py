"""Positions make a stack or not: tilt, gaps, drift, and who is named; highdicom is asked on clean ones."""

from __future__ import annotations

import numpy as np
import pytest
from highdicom.spatial import get_volume_positions
from hypothesis import given, settings
from hypothesis import strategies as st

from medgan.errors import FormatError
from medgan.formats.dicom_placement import placement, unit_axes

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def placed(along, *, sideways=0.0, orientation=AXIAL, spacing=(0.5, 0.7), shape=(20, 30)):
    """Axial slices at heights ``along``, each further moved in y by ``sideways`` times its height."""
    along = np.asarray(along, float)
    positions = np.column_stack([np.full(len(along), 7.0), -3 + sideways * along, along])
    names = [f"s{n}" for n in range(len(along))]
    return placement(
        positions, orientation=orientation, pixel_spacing=spacing, rows=shape[0], columns=shape[1], names=names
    )


def test_an_even_stack_has_its_grid_in_ras():
    found = placed([10, 12.5, 15])
    assert found.grid.shape == (30, 20, 3)
    np.testing.assert_allclose(found.grid.affine[:3, :3], np.diag([-0.7, -0.5, 2.5]))
    np.testing.assert_allclose(found.grid.origin, [-7, 3, 10])
    assert (found.places, found.missing, found.gap, found.tilt_degrees) == ((0, 1, 2), None, "", 0.0)


@pytest.mark.parametrize("degrees", [-30.0, 2.0, 15.0])
def test_a_tilt_is_a_shear_of_the_stated_angle(degrees):
    found = placed(np.arange(5) * 3.0, sideways=np.tan(np.radians(degrees)))
    assert found.tilt_degrees == pytest.approx(abs(degrees))
    assert found.grid.is_sheared
    for k in range(5):
        lps = (7.0, -3 + np.tan(np.radians(degrees)) * 3 * k, 3 * k)
        np.testing.assert_allclose(found.grid.world([0, 0, k]), np.multiply(lps, (-1, -1, 1)), atol=1e-9)


def test_a_sideways_step_below_a_twentieth_of_a_pixel_is_no_tilt():
    assert placed(np.arange(5) * 3.0, sideways=0.0249 / 12).tilt_degrees == 0.0
    assert placed(np.arange(5) * 3.0, sideways=0.0251 / 12).tilt_degrees > 0.0


def test_slices_almost_beside_each_other_are_refused():
    with pytest.raises(FormatError, match="at 50 degrees from it"):
        placed(np.arange(5) * 3.0, sideways=np.tan(np.radians(50)))


def test_one_missing_slice_is_known_with_its_neighbors():
    found = placed([0, 3, 6, 12, 15])
    assert found.places == (0, 1, 2, 4, 5)
    assert found.missing == 3
    assert found.grid.shape[2] == 6
    assert found.gap == (
        "Slices must be evenly spaced: found 3 mm everywhere except 6 mm between s2 and s3. One slice is probably "
        "missing: restore it, or pass --allow-gap to interpolate it."
    )


@pytest.mark.parametrize(
    ("along", "words"),
    [
        ([0, 3, 6, 15, 18], "9 mm between s2 and s3. Restore"),
        ([0, 3, 9, 12, 18, 21], "6 mm between s1 and s2, 6 mm between s3 and s4."),
        ([0, 3, 6, 9, 12.1, 15], "3.1 mm between s3 and s4"),
        ([0, 3, 6, 9, 11, 13, 15], "3 mm everywhere except 2 mm between s3 and s4|2 mm everywhere except 3 mm"),
    ],
)
def test_uneven_stacks_are_refused_with_the_neighbors_named(along, words):
    with pytest.raises(FormatError) as caught:
        placed(along)
    assert any(word in str(caught.value) for word in words.split("|"))


def test_distances_may_deviate_by_one_percent_and_no_more():
    assert placed([0, 3, 6.028, 9, 12]).places == (0, 1, 2, 3, 4)
    with pytest.raises(FormatError, match="evenly spaced"):
        placed([0, 3, 6.032, 9, 12])


def test_a_drift_that_no_single_distance_shows_is_refused():
    # Each distance is within 0.8 % of the mean, the middle of the stack is not where an even stack has it.
    gaps = np.concatenate([np.full(60, 3.02), np.full(60, 2.98)])
    with pytest.raises(FormatError, match=r"s60 lies 0\.40 voxels from its place in an even stack of 3 mm"):
        placed(np.concatenate([[0], np.cumsum(gaps)]))


def test_slices_off_the_line_are_refused_by_name():
    positions = np.column_stack([np.zeros(5), np.zeros(5), np.arange(5) * 3.0])
    positions[2, 0] = 0.2
    with pytest.raises(FormatError, match=r"s2 is displaced by 0\.29 pixels"):
        placement(
            positions,
            orientation=AXIAL,
            pixel_spacing=(0.5, 0.7),
            rows=9,
            columns=9,
            names=[f"s{n}" for n in range(5)],
        )


def test_one_position_is_no_volume():
    with pytest.raises(FormatError, match="found one position, of s0"):
        placed([5])


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 0.1, 1, 0), (2, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 0, 0)]
)
def test_directions_that_are_no_unit_vectors_at_right_angles_are_refused(orientation):
    with pytest.raises(FormatError, match="unit vectors at right angles"):
        unit_axes(orientation)


def test_rounded_directions_are_made_orthonormal():
    axes = unit_axes((0.7071, 0.7071, 0, -0.7071, 0.7072, 0))
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-15)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.integers(-400, 400), min_size=2, max_size=12, unique=True), st.sampled_from([0.3, 1.0, 2.5]))
def test_highdicom_agrees_on_untilted_positions(heights, spacing):
    heights = np.sort(np.array(heights)) * spacing
    positions = np.column_stack([np.zeros_like(heights), np.zeros_like(heights), heights])
    step, places = get_volume_positions(positions, AXIAL, index_convention="RD")
    try:
        found = placed(heights)
    except FormatError:
        assert places is None
        return
    if found.missing is not None:
        assert places is None
        return
    assert list(found.places) == places
    assert found.grid.spacing[2] == pytest.approx(step)
