"""Neurites: instances that fill the block, membranes between them, and a contrast map that can be inverted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medgan.phantoms.em_contrast import EmContrast
from medgan.phantoms.neurites import neurite_phantom
from medgan.seeding import numpy_generator
from medgan.volume import Quantity

SHAPE = (56, 52, 48)


def neurites(index: int = 0, **options):
    return neurite_phantom(generator=numpy_generator(1, "neurites", index), **{"shape": SHAPE, **options})


@pytest.fixture(scope="module")
def block():
    return neurites()


def test_images_are_uint8_of_a_specimen_in_nm(block):
    for image in (block.labeled, block.unlabeled):
        assert image.array.dtype == np.uint8
        assert image.quantity is Quantity.EM_SIGNAL
        assert (image.grid.unit, image.grid.frame) == ("nm", "specimen")
    assert block.labeled.grid.spacing == (10, 10, 10)


def test_the_contrast_map_is_exact_and_inverts(block):
    assert block.contrast_map is not None
    assert np.array_equal(block.contrast_map[block.labeled.array], block.unlabeled.array)
    used = np.unique(block.labeled.array)
    assert used.size > 30
    targets = block.contrast_map[used]
    assert np.unique(targets).size == used.size
    back = np.zeros(256, np.uint8)
    back[targets] = used
    assert np.array_equal(back[block.unlabeled.array], block.labeled.array)
    assert (np.diff(targets.astype(int)) > 0).all()  # equal polarity
    with pytest.raises(ValueError, match="read-only"):
        block.contrast_map[0] = 1


def test_an_inverted_contrast_inverts_too():
    block = neurites(unlabeled_contrast=EmContrast(low=0.9, high=0.1))
    used = np.unique(block.labeled.array)
    assert (np.diff(block.contrast_map[used].astype(int)) < 0).all()
    assert np.array_equal(block.contrast_map[block.labeled.array], block.unlabeled.array)


def test_noise_has_no_map_and_changes_only_that_image(block):
    noisy = neurites(unlabeled_contrast=EmContrast(shot_electrons=50))
    assert noisy.contrast_map is None
    assert np.array_equal(noisy.labeled.array, block.labeled.array)
    assert np.array_equal(noisy.instances.array, block.instances.array)
    assert (noisy.unlabeled.array != block.unlabeled.array).mean() > 0.5


def test_every_voxel_belongs_to_one_connected_neurite(block):
    instances = block.instances.array
    assert instances.min() == 1
    numbers = np.unique(instances)
    assert np.array_equal(numbers, np.arange(1, numbers.size + 1))
    assert numbers.size > 8
    for number in numbers:
        assert ndimage.label(instances == number)[1] == 1
        assert (instances == number).sum() >= 60


def test_membranes_separate_neurites(block):
    instances, wall = block.instances.array, block.boundaries.mask()
    for axis in range(3):
        first, second = np.moveaxis(instances, axis, 0)[:-1], np.moveaxis(instances, axis, 0)[1:]
        between = np.moveaxis(wall, axis, 0)
        assert (between[:-1] & between[1:])[first != second].all()
    cores, _ = ndimage.label(~wall)
    for number in np.unique(cores)[1:]:
        assert np.unique(instances[cores == number]).size == 1
    assert 0.05 < wall.mean() < 0.4


def test_membranes_are_darker_than_cytoplasm_and_mitochondria_lie_between(block):
    image, wall, inside = block.labeled.array, block.boundaries.mask(), block.mitochondria.mask()
    cytoplasm = ~ndimage.binary_dilation(wall | inside)
    assert image[wall].mean() < image[inside].mean() < image[cytoplasm].mean()
    assert inside.any()
    assert not (inside & wall).any()


def test_thicker_membranes_and_thinner_neurites_are_honored(block):
    assert neurites(membrane_nm=50.0).boundaries.mask().mean() > 1.3 * block.boundaries.mask().mean()
    assert neurites(caliber_nm=140.0).instances.array.max() > 1.5 * block.instances.array.max()


def test_anisotropic_sections_keep_lengths_in_nm():
    block = neurites(shape=(64, 64, 16), spacing_nm=(8.0, 8.0, 40.0))
    assert block.labeled.grid.spacing == (8, 8, 40)
    # A membrane of 24 nm is less than a section thick: in the plane it is a few pixels wide.
    assert 0.02 < block.boundaries.mask().mean() < 0.5
    assert np.array_equal(block.contrast_map[block.labeled.array], block.unlabeled.array)


def test_same_generator_same_bits_other_generator_other_block(block):
    assert neurites().labeled.array.tobytes() == block.labeled.array.tobytes()
    assert (neurites(1).boundaries.array != block.boundaries.array).mean() > 0.05


def test_a_tiny_block_is_still_a_block():
    tiny = neurites(shape=(6, 5, 4))
    assert tiny.instances.array.min() >= 1
