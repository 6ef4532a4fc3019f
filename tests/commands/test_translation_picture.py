"""The window of a picture: that of the body, found without a look at what lies far from it."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.commands.pictures import _near, _window
from medgan.geometry import Grid
from medgan.reporting import percentile_window
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample_labels

GRID = Grid.axis_aligned((40, 36, 30), spacing=(1.0, 1.2, 2.0))


def signal():
    return Volume(np.random.default_rng(3).gamma(2.0, 80.0, GRID.shape).astype(np.float32), GRID, Quantity.MR_SIGNAL)


def body_at(origin_xyz, *, turned=0.0):
    """Return a body of 10 x 8 x 6 voxels of 2.3 mm that holds all of its grid, turned about the third axis."""
    affine = np.eye(4)
    cos, sin = np.cos(turned), np.sin(turned)
    affine[:3, :3] = 2.3 * np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    affine[:3, 3] = origin_xyz
    return LabelMap(np.ones((10, 8, 6), np.uint8), Grid((10, 8, 6), affine))


@pytest.mark.parametrize("turned", [0.0, 0.4])
@pytest.mark.parametrize("inside_ijk", [(12, 10, 9), (-3, -2, -1), (35, 30, 26)])
def test_no_voxel_of_the_body_is_left_out(inside_ijk, turned):
    image = signal()
    body = body_at(GRID.world(inside_ijk), turned=turned)
    near = _near(image, body)
    wanted = resample_labels(body, GRID)
    assert np.array_equal(
        np.sort(near.array[resample_labels(body, near.grid).mask()]), np.sort(image.array[wanted.mask()])
    )
    assert near.array.size < image.array.size
    assert _window(image, body) == (0.0, percentile_window(image, mask=wanted)[1])


def test_a_body_elsewhere_leaves_the_image_whole():
    image = signal()
    assert _near(image, body_at((900.0, 0.0, 0.0))) is image
