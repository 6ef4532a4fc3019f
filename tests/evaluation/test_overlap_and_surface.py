"""Balls and shells, whose overlap and distance are known in closed form."""

import math

import numpy as np
import pytest

from medgan.errors import EvaluationError
from medgan.evaluation.overlap import dice, jaccard
from medgan.evaluation.surface import surface_distances
from medgan.geometry import Box, bounding_box


def ball(shape, center_mm, radius_mm, spacing_mm=(1, 1, 1)):
    axes = [(np.arange(n) * s - c) ** 2 for n, s, c in zip(shape, spacing_mm, center_mm)]
    return axes[0][:, None, None] + axes[1][None, :, None] + axes[2] <= radius_mm**2


def lens_dice(radius, distance):
    """Return the Dice of two equal balls: volume of the lens over the volume of one ball."""
    lens = math.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12
    return lens / (4 / 3 * math.pi * radius**3)


@pytest.mark.parametrize("distance", [0, 8, 20, 39])
def test_two_balls(distance):
    spacing = (1.0, 1.0, 0.5)
    shape = (90, 50, 100)
    a, b = (ball(shape, (24.3 + d, 24.1, 24.7), 20, spacing) for d in (0, distance))
    expected = lens_dice(20, distance)
    assert dice(result=a, reference=b) == pytest.approx(expected, abs=0.003)
    assert jaccard(result=a, reference=b) == pytest.approx(expected / (2 - expected), abs=0.003)


def test_empty_regions():
    full, empty = np.ones((2, 2, 2), dtype=bool), np.zeros((2, 2, 2), dtype=bool)
    for overlap in (dice, jaccard):
        assert overlap(result=empty, reference=empty) is None
        assert overlap(result=full, reference=empty) == overlap(result=empty, reference=full) == 0
        assert overlap(result=full, reference=full) == 1


def test_overlap_in_a_mask():
    a, b, mask = np.array([True, True, False]), np.array([True, False, True]), np.array([True, False, False])
    assert dice(result=a, reference=b) == 0.5
    assert dice(result=a, reference=b, mask=mask) == 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 1.5)])
def test_shells_are_apart_by_the_difference_of_radii(spacing):
    shape = [int(64 / s) for s in spacing]
    inner, outer = (ball(shape, (31, 32, 31.5), r, spacing) for r in (18, 25))
    found = surface_distances(result=inner, reference=outer, spacing_mm=spacing)
    # A voxel's center lies up to a diagonal inside the ball; on average about as much in both.
    tolerance = math.hypot(*spacing)
    assert found.hausdorff_mm == pytest.approx(7, abs=tolerance)
    assert found.hd95_mm == pytest.approx(7, abs=tolerance)
    assert found.assd_mm == pytest.approx(7, abs=0.25 * max(spacing))
    assert found.reason == ""


def test_distances_are_millimetres_along_each_axis():
    a, b = (np.zeros((8, 8, 8), dtype=bool) for _ in range(2))
    a[2, 2, 2] = b[4, 2, 2] = True
    assert surface_distances(result=a, reference=b, spacing_mm=(3, 1, 1)).hausdorff_mm == 6
    assert surface_distances(result=a, reference=b, spacing_mm=(1, 3, 1)).hausdorff_mm == 2


def test_percentile_is_the_larger_of_the_two_directions():
    a, b = (np.zeros((40, 3, 3), dtype=bool) for _ in range(2))
    a[0, 1, 1] = True
    b[:40, 1, 1] = True
    found = surface_distances(result=a, reference=b, spacing_mm=(1, 1, 1))
    assert found.hd95_mm == pytest.approx(np.percentile(np.arange(40), 95))
    assert found.hausdorff_mm == 39
    assert found.assd_mm == pytest.approx(np.arange(40).sum() / 41)


def test_equal_regions_are_at_no_distance():
    region = ball((20, 20, 20), (9, 9, 9), 6)
    found = surface_distances(result=region, reference=region, spacing_mm=(1, 2, 3))
    assert (found.hausdorff_mm, found.hd95_mm, found.assd_mm) == (0, 0, 0)


def test_a_region_at_the_border_has_a_surface_there():
    full, hole = np.ones((5, 5, 5), dtype=bool), np.ones((5, 5, 5), dtype=bool)
    hole[0] = False
    assert surface_distances(result=full, reference=hole, spacing_mm=(2, 2, 2)).hausdorff_mm == 2


@pytest.mark.parametrize(
    ("result", "reference", "reason"),
    [
        (False, True, "the region is absent in the result"),
        (True, False, "the region is absent in the reference"),
        (False, False, "the region is absent in the result and in the reference"),
    ],
)
def test_distance_to_an_empty_region_is_undefined(result, reference, reason):
    found = surface_distances(
        result=np.full((3, 3, 3), result), reference=np.full((3, 3, 3), reference), spacing_mm=(1, 1, 1)
    )
    assert found.hausdorff_mm is found.hd95_mm is found.assd_mm is None
    assert found.reason == reason


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, -1, 1)])
def test_spacing_is_refused(spacing):
    region = np.ones((3, 3, 3), dtype=bool)
    with pytest.raises(EvaluationError, match="needs three positive spacings in mm"):
        surface_distances(result=region, reference=region, spacing_mm=spacing)


def test_bounding_box():
    mask = np.zeros((7, 8, 9), dtype=bool)
    assert bounding_box(mask) is None
    mask[2, 3, 4] = mask[5, 3, 8] = True
    assert bounding_box(mask) == Box((2, 3, 4), (6, 4, 9))
