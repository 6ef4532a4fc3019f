"""Chest radiograph twins: they differ by the lesion's profile and by nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medgan.errors import VolumeError
from medgan.phantoms.chest import BRIGHTEST, chest_twins
from medgan.seeding import numpy_generator
from medgan.volume import Quantity


def chest(index: int = 0, **options):
    return chest_twins(generator=numpy_generator(1, "chest", index), **{"shape": (96, 96), **options})


@pytest.mark.parametrize("kind", ["nodule", "consolidation"])
@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("index", range(3))
def test_twins_differ_by_the_profile_and_nowhere_else(kind, noise, index):
    twins = chest(index, kind=kind, noise=noise, marker=index == 1)
    sick, healthy = twins.with_lesion.array, twins.without_lesion.array
    assert np.array_equal(sick[~twins.lesion], healthy[~twins.lesion])
    assert np.array_equal(sick, healthy + twins.profile)
    assert (sick - healthy)[twins.lesion].mean() == pytest.approx(twins.profile[twins.lesion].mean(), abs=1e-6)
    assert np.array_equal(twins.lesion, twins.profile > 0)
    assert twins.profile.max() == pytest.approx(0.22, rel=1e-5)
    assert -1 <= healthy.min() <= sick.max() <= 1


@pytest.mark.parametrize("index", range(6))
def test_the_lesion_lies_in_a_lung_and_has_its_size(index):
    nodule, patch = (chest(index, shape=(192, 192), kind=kind) for kind in ("nodule", "consolidation"))
    assert nodule.lungs[nodule.lesion].mean() > 0.5
    assert patch.lungs[patch.lesion].all()
    area_mm2 = nodule.lesion.sum() * np.prod(nodule.with_lesion.spacing_mm)
    assert np.pi * 3**2 < area_mm2 < np.pi * 15**2
    assert patch.lesion.sum() > nodule.lesion.sum()


def test_lungs_are_two_darker_fields():
    twins = chest(shape=(160, 160))
    pieces, count = ndimage.label(twins.lungs)
    sizes = np.sort(np.bincount(pieces.ravel())[1:])
    assert count >= 2
    assert sizes[-2:].sum() > 0.98 * twins.lungs.sum()
    image = twins.without_lesion.array
    middle = image[60:110, 75:85]
    assert image[twins.lungs].mean() < middle.mean() - 0.2
    assert image[:10, :10].mean() < -0.8


def test_the_heart_is_on_the_right_side_of_the_picture():
    # The patient's left is on the right of a frontal radiograph.
    twins = chest(shape=(160, 160))
    left, right = twins.lungs[80:110, :80].sum(), twins.lungs[80:110, 80:].sum()
    assert right < left


def test_the_marker_is_in_both_twins_and_nothing_else_changes():
    plain, marked = chest(), chest(marker=True)
    assert not plain.marker.any()
    assert marked.marker.any()
    assert marked.marker[: 96 // 3, 96 // 2 :].sum() == marked.marker.sum()
    for name in ("with_lesion", "without_lesion"):
        before, after = getattr(plain, name).array, getattr(marked, name).array
        assert np.array_equal(before[~marked.marker], after[~marked.marker])
        assert (after[marked.marker] == np.float32(0.95)).all()
    rows, columns = np.nonzero(marked.marker)
    assert marked.marker[rows.max()].sum() > marked.marker[rows.min()].sum()  # an L stands on its long foot
    assert marked.marker[:, columns.min()].sum() > marked.marker[:, columns.max()].sum()


def test_background_leaves_room_for_the_lesion():
    assert max(chest(n, noise=0.3).without_lesion.array.max() for n in range(3)) <= np.float32(BRIGHTEST)


def test_same_generator_same_bits_other_generator_other_chest():
    assert chest().with_lesion.array.tobytes() == chest().with_lesion.array.tobytes()
    assert np.abs(chest(1).without_lesion.array - chest().without_lesion.array).mean() > 0.01


def test_the_place_of_the_lesion_does_not_depend_on_resolution():
    for index in range(3):
        centers = []
        for side in (96, 288):
            twins = chest(index, shape=(side, side))
            centers.append(np.average(np.argwhere(twins.lesion), axis=0, weights=twins.profile[twins.lesion]) / side)
        assert np.abs(centers[0] - centers[1]).max() < 0.02


def test_radiographs_are_normalized_with_spacing():
    twins = chest(shape=(100, 80))
    assert twins.with_lesion.quantity is Quantity.NORMALIZED
    assert twins.with_lesion.spacing_mm == (3.5, 3.5)
    assert twins.with_lesion.array.shape == (100, 80)
    assert chest(spacing_mm=(3.0, 4.0)).with_lesion.spacing_mm == (3.0, 4.0)


@pytest.mark.parametrize("contrast", [0.0, -0.1, 0.31])
def test_a_contrast_that_would_clip_is_refused(contrast):
    with pytest.raises(VolumeError, match=r"must lie in \(0, 0.3\]: found"):
        chest(contrast=contrast)


def test_an_image_without_lungs_is_refused():
    with pytest.raises(VolumeError, match="needs lungs in the image: found none in 4 x 4 pixels"):
        chest(shape=(4, 4), spacing_mm=(1.0, 1.0))
