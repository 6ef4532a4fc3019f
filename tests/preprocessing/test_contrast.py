"""CLAHE of EM sections: each section for itself, in the type it had."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from skimage.exposure import equalize_adapthist

from medgan.cohort import Case
from medgan.errors import PreprocessingError
from medgan.phantoms.em_contrast import EmContrast
from medgan.phantoms.neurites import NeuritePhantom, neurite_phantom
from medgan.preprocessing.contrast import Contrast
from medgan.volume import Quantity, Volume

PALE = EmContrast(low=0.35, high=0.6, drift=0.06)


@pytest.fixture(scope="module")
def pale() -> NeuritePhantom:
    return neurite_phantom(generator=np.random.default_rng(1), shape=(64, 56, 12), labeled_contrast=PALE)


def case_of_em(volume: Volume) -> Case:
    return Case("stack_1", "stack_1", {"em": volume})


def test_membranes_stand_out_and_sections_agree(pale):
    before, after = pale.labeled.array, Contrast()(case_of_em(pale.labeled)).image.array
    membrane = pale.boundaries.mask()

    def contrast(array):
        return array[~membrane].mean() - array[membrane].mean()

    def drift(array):
        return array.mean(axis=(0, 1)).std()

    assert contrast(after) > 2 * contrast(before)
    assert drift(after) / contrast(after) < 0.3 * drift(before) / contrast(before)


def test_it_is_what_scikit_image_makes_of_each_section(pale):
    done = Contrast(tile_voxels=16, clip_limit=0.03, bins=128)(case_of_em(pale.labeled)).image.array
    for k in (0, 7):
        share = equalize_adapthist(pale.labeled.array[:, :, k], kernel_size=16, clip_limit=0.03, nbins=128)
        assert np.array_equal(done[:, :, k], np.rint(255 * share))


def test_a_section_does_not_see_its_neighbors(pale):
    alone = replace(pale.labeled, array=np.where(np.arange(12) == 5, pale.labeled.array, 0).astype(np.uint8))
    done, whole = (Contrast()(case_of_em(v)).image.array for v in (alone, pale.labeled))
    assert np.array_equal(done[:, :, 5], whole[:, :, 5])
    assert (done[:, :, 4] == 0).all(), "a missing section stays missing"


@pytest.mark.parametrize(("dtype", "highest"), [(np.uint8, 255), (np.uint16, 65535)])
def test_the_type_is_kept_and_its_range_used(pale, dtype, highest):
    scaled = replace(pale.labeled, array=pale.labeled.array.astype(dtype) * dtype(highest // 255))
    done = Contrast()(case_of_em(scaled)).image
    assert done.array.dtype == dtype
    assert (done.array.min(), done.array.max()) == (0, highest)
    assert done.quantity is Quantity.EM_SIGNAL
    assert done.grid is scaled.grid


def test_a_section_smaller_than_a_tile(pale):
    small = pale.labeled.array[:5, :9, :2].copy()
    grid = pale.labeled.read(type(pale.labeled.grid.box)((0, 0, 0), small.shape)).grid
    assert Contrast()(case_of_em(Volume(small, grid, Quantity.EM_SIGNAL))).image.shape == (5, 9, 2)


def test_refusals(pale):
    as_float = replace(pale.labeled, array=pale.labeled.array.astype(np.float32))
    with pytest.raises(PreprocessingError, match=r"EM sections of 8 or 16 bit: case stack_1 has em_signal as float32"):
        Contrast()(case_of_em(as_float))
    with pytest.raises(PreprocessingError, match="has mr_signal as uint8"):
        Contrast()(case_of_em(replace(pale.labeled, quantity=Quantity.MR_SIGNAL)))
    for wrong in ({"tile_voxels": 1}, {"clip_limit": 0}, {"clip_limit": 2}, {"bins": 1}):
        with pytest.raises(ValidationError):
            Contrast(**wrong)
