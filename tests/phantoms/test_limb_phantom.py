"""The limb: exact truth, twins with and without tumor, plausible anatomy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.paired_imaging import REALISTIC, Acquisition
from medgan.phantoms.tissue_table import TISSUE_TABLE, Tissue
from medgan.seeding import numpy_generator

SHAPE, SPACING = (72, 72, 14), (3.1, 3.1, 7.0)


def limb(index: int = 0, **options):
    options = {"shape": SHAPE, "spacing_mm": SPACING, **options}
    return limb_phantom(generator=numpy_generator(1, "limb", index), **options)


@pytest.mark.parametrize("site", ["thigh", "leg"])
def test_the_ideal_translator_makes_no_error(site):
    one = limb(site=site, tumor=True)
    assert np.array_equal(TISSUE_TABLE.translated(one.mr.array), one.ct.array)
    assert np.array_equal(TISSUE_TABLE.ct_of(one.tissue.array), one.ct.array)


@pytest.mark.parametrize(("site", "bones"), [("thigh", 1), ("leg", 2)])
@pytest.mark.parametrize("index", range(3))
def test_each_slice_has_skin_fat_muscles_and_hollow_bones(site, bones, index):
    one = limb(index, site=site, shape=(110, 110, 6), spacing_mm=(2, 2, 20))
    for k in range(6):
        tissue = one.tissue.array[:, :, k]
        cortex = tissue == Tissue.CORTICAL_BONE
        assert ndimage.label(cortex, np.ones((3, 3)))[1] == bones
        assert ndimage.label(tissue == Tissue.MARROW)[1] == bones
        assert (ndimage.binary_fill_holes(cortex) & (tissue == Tissue.MARROW)).sum() == (tissue == Tissue.MARROW).sum()
        outline = (tissue != Tissue.AIR) & ndimage.binary_dilation(tissue == Tissue.AIR)
        assert (tissue[outline] == Tissue.SKIN).mean() > 0.9  # skin may be thinner than a voxel
        assert 0.3 < (tissue == Tissue.MUSCLE).sum() / (tissue != Tissue.AIR).sum() < 0.9


def test_muscles_are_separated_by_fat():
    one = limb(shape=(200, 200, 2), spacing_mm=(1, 1, 10))
    tissue = one.tissue.array[:, :, 0]
    muscle = ndimage.binary_erosion(tissue == Tissue.MUSCLE, iterations=2)
    areas = np.bincount(ndimage.label(muscle)[0].ravel())[1:]
    assert (areas > 200).sum() >= 6


def test_tumor_twins_differ_only_in_the_tumor():
    with_tumor, without = limb(tumor=True, acquisition=REALISTIC), limb(acquisition=REALISTIC)
    mask = with_tumor.mask_of(Tissue.TUMOR)
    assert mask.names == {1: "tumor"}
    assert mask.mask().sum() > 50
    assert not without.mask_of(Tissue.TUMOR).mask().any()
    changed = with_tumor.tissue.array != without.tissue.array
    assert np.array_equal(changed, mask.mask())
    assert {int(t) for t in without.tissue.array[changed]} <= {Tissue.MUSCLE, Tissue.FAT}
    # With partial volume the images may differ one voxel further, and no more.
    differs = with_tumor.mr.array != without.mr.array
    assert not (differs & ~ndimage.binary_dilation(mask.mask(), np.ones((3, 3, 3)))).any()
    assert with_tumor.mr_scale == without.mr_scale


def test_same_generator_same_bits_other_generator_other_limb():
    assert limb().mr.array.tobytes() == limb().mr.array.tobytes()
    assert (limb().tissue.array != limb(1).tissue.array).mean() > 0.03


def test_body_is_the_limb_without_the_couch():
    one = limb(acquisition=Acquisition(couch=True))
    assert np.array_equal(one.body.mask(), one.tissue.array != Tissue.AIR)
    assert ((one.ct.array > -950) & ~one.body.mask()).any()


def test_fat_and_size_vary_between_subjects():
    shares = []
    for index in range(6):
        one = limb(index, shape=(72, 72, 2), spacing_mm=(3.1, 3.1, 10))
        shares.append(one.tissue.mask(Tissue.FAT).sum() / one.body.mask().sum())
    assert max(shares) - min(shares) > 0.1
