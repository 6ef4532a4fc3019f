"""Lesions planted in radiographs: where the mask says, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import VolumeError
from medgan.phantoms.chest import chest_twins
from medgan.phantoms.chest_lesion import estimated_lungs, plant_lesion
from medgan.seeding import numpy_generator


def chest(index: int = 0, size: int = 96):
    return chest_twins(generator=numpy_generator(9, index), shape=(size, size))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("kind", ["nodule", "consolidation"])
def test_a_planted_lesion_changes_its_mask_alone(index, kind):
    background = chest(index).without_lesion.array
    lungs = estimated_lungs(background)
    planted = plant_lesion(background, generator=numpy_generator(1, index), lungs=lungs, kind=kind, contrast=0.6)
    assert np.array_equal(planted.image[~planted.mask], background[~planted.mask])
    assert np.array_equal(planted.image - background, planted.profile)
    assert planted.mask.any()
    assert planted.image.max() <= 1
    assert 0.3 < planted.profile.max() <= 0.6 + 1e-6


def test_a_lesion_depends_on_the_generator_and_scales_with_the_height():
    background = chest().without_lesion.array
    lungs = estimated_lungs(background)

    def area(seed=0, height=400.0):
        planted = plant_lesion(background, generator=numpy_generator(seed), lungs=lungs, height_mm=height)
        return planted.mask.sum(), planted.image

    assert np.array_equal(area()[1], area()[1])
    assert not np.array_equal(area()[1], area(seed=1)[1])
    assert area(height=200.0)[0] > 2 * area()[0]


@pytest.mark.parametrize("index", range(6))
def test_lungs_are_estimated_where_they_are(index):
    twins = chest(index, size=128)
    found = estimated_lungs(twins.without_lesion.array)
    assert twins.lungs[found].mean() > 0.85
    assert found[:, :64].any()
    assert found[:, 64:].any()


def test_the_bubble_is_told_and_belongs_to_the_anatomy():
    bubbles = [
        chest_twins(generator=numpy_generator(9, i), shape=(64, 64), marker=i % 2 == 0).has_bubble for i in range(30)
    ]
    assert 0.3 < np.mean(bubbles) < 0.9
    again = [
        chest_twins(generator=numpy_generator(9, i), shape=(64, 64), kind="consolidation").has_bubble for i in range(30)
    ]
    assert bubbles == again


def test_impossible_lesions_are_refused():
    background = chest().without_lesion.array
    with pytest.raises(VolumeError, match=r"contrast must lie in \(0, 1\]"):
        plant_lesion(background, generator=numpy_generator(0), lungs=background > 9, contrast=0)
    with pytest.raises(VolumeError, match="needs lungs on its image: found 0 pixels"):
        plant_lesion(background, generator=numpy_generator(0), lungs=background > 9)
