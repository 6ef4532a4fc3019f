"""The voxel of a mask that is nearest to a point, against a look at all of them."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import GeometryError
from medgan.geometry import nearest_voxel


@pytest.mark.parametrize("seed", range(12))
def test_no_other_voxel_is_nearer(seed):
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 24, 3))
    mask = generator.random(shape) < generator.choice([0.001, 0.02, 0.6])
    mask[tuple(generator.integers(0, shape))] = True
    axes = np.diag([0.5, 2.0, 6.0]) @ (np.eye(3) + 0.3 * generator.standard_normal((3, 3)))
    point = generator.uniform(0, np.asarray(shape) - 1)
    found = nearest_voxel(mask, point, axes=axes)
    assert mask[tuple(found)]
    distance = np.linalg.norm((np.argwhere(mask) - point) @ axes.T, axis=1)
    assert np.linalg.norm(axes @ (found - point)) == pytest.approx(distance.min(), abs=1e-9)


def test_an_empty_mask():
    with pytest.raises(GeometryError, match="needs a voxel in the mask: found none"):
        nearest_voxel(np.zeros((2, 2, 2), bool), np.zeros(3), axes=np.eye(3))
