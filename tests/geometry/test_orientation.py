"""Axis orders, all 48 of them, with nibabel as oracle."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from hypothesis import assume, given, settings
from oracles import voxel_centers
from strategies import AXIS_MAPS, ORIENTATIONS, axis_maps, grids, orientations

from medgan.errors import GeometryError
from medgan.geometry import AxisMap, Grid, axis_codes, axis_map_to

quick = settings(deadline=None, derandomize=True, max_examples=60)
PATIENT = Grid.axis_aligned((2, 3, 4), spacing=(1, 2, 3), origin=(5, -6, 7))


def test_there_are_48_orders():
    assert len(set(AXIS_MAPS)) == len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_order_is_reached_and_undone_bit_for_bit(codes):
    array = np.arange(24).reshape(2, 3, 4)
    there = axis_map_to(PATIENT, codes)
    grid = there.applied_to_grid(PATIENT)
    assert axis_codes(grid) == codes
    assert "".join(nibabel.aff2axcodes(grid.affine)) == codes
    back = axis_map_to(grid, "RAS")
    assert np.array_equal(back.applied_to(there.applied_to(array)), array)
    assert back.applied_to_grid(grid).same_as(PATIENT, tolerance_voxel=1e-12)


@quick
@given(grids(), axis_maps)
def test_reordering_leaves_every_voxel_where_it_was(grid, axis_map):
    reordered = axis_map.applied_to_grid(grid)
    moved = np.stack([axis_map.applied_to(voxel_centers(grid)[..., a]) for a in range(3)], axis=-1)
    assert np.allclose(voxel_centers(reordered), moved, atol=1e-9)


@quick
@given(grids(specimen=False))
def test_codes_agree_with_nibabel_unless_an_axis_lies_between_two(grid):
    cosines = np.sort(np.abs(grid.direction), axis=0)
    assume((cosines[2] > 0.8).all())  # within 37 degrees of a world axis there is only one answer
    assert axis_codes(grid) == "".join(nibabel.aff2axcodes(grid.affine))


@quick
@given(grids(specimen=False), orientations)
def test_oblique_grids_are_brought_to_any_order(grid, codes):
    ordered = axis_map_to(grid, codes).applied_to_grid(grid)
    assert sorted(axis_codes(grid).translate(str.maketrans("LPI", "RAS"))) == sorted("RAS")
    assume(np.sort(np.abs(grid.direction), axis=0)[2].min() > 0.75)
    assert axis_codes(ordered) == codes
    assert axis_map_to(ordered, codes) == AxisMap((0, 1, 2), (False, False, False))


def test_two_axes_nearest_to_one_direction_still_get_two_letters():
    # Both in-plane axes lie nearest to x; the best assignment gives one of them y.
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = (0.9, 0.43, 0), (0.8, -0.6, 0)
    assert axis_codes(Grid((2, 2, 2), affine)) == "RPS"


def test_applying_a_map_gives_a_view():
    array = np.zeros((2, 3, 4))
    assert AxisMap((2, 0, 1), (True, False, True)).applied_to(array).base is array


def test_a_specimen_has_no_anatomical_directions():
    specimen = Grid.axis_aligned((2, 2, 2), spacing=(4, 4, 40), unit="nm", frame="specimen")
    for ask in (lambda: axis_codes(specimen), lambda: axis_map_to(specimen, "RAS")):
        with pytest.raises(GeometryError, match="this one is of a specimen"):
            ask()


@pytest.mark.parametrize("codes", ["RA", "RRS", "RLS", "RAX", "ras", "RASA", ""])
def test_wrong_codes_are_refused(codes):
    with pytest.raises(GeometryError, match=f"such as 'RAS': found '{codes}'"):
        axis_map_to(PATIENT, codes)


def test_a_map_needs_each_axis_once():
    with pytest.raises(GeometryError, match=r"each of three axes once: found \(0, 1, 1\)"):
        AxisMap((0, 1, 1), (False, False, False))
    with pytest.raises(GeometryError, match="each of three axes once"):
        AxisMap((0, 1, 2), (False, False))
