"""The head: exact truth, one subject a generator, and scans that differ from the ideal only as asked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medgan.geometry import Box, Grid
from medgan.phantoms.head import head_phantom
from medgan.phantoms.paired_imaging import REALISTIC, Acquisition
from medgan.phantoms.tissue_table import TISSUE_TABLE, Tissue
from medgan.seeding import numpy_generator
from medgan.volume import Quantity

SHAPE, SPACING = (46, 50, 42), (4.8, 4.8, 6.0)


def head(index: int = 0, **options):
    options = {"shape": SHAPE, "spacing_mm": SPACING, **options}
    return head_phantom(generator=numpy_generator(1, "head", index), **options)


@pytest.fixture(scope="module")
def ideal():
    return head()


def test_the_ideal_translator_makes_no_error(ideal):
    assert np.array_equal(TISSUE_TABLE.translated(ideal.mr.array), ideal.ct.array)
    assert (ideal.mr.quantity, ideal.ct.quantity) == (Quantity.MR_SIGNAL, Quantity.HOUNSFIELD)
    assert ideal.ct.grid is ideal.mr.grid
    assert ideal.mr_scale == 1
    assert (ideal.bias_field == 1).all()


def test_tissue_labels_are_what_the_images_show(ideal):
    assert np.array_equal(TISSUE_TABLE.ct_of(ideal.tissue.array), ideal.ct.array)
    assert ideal.tissue.names[int(Tissue.CSF)] == "csf"
    for tissue in Tissue:
        assert (ideal.tissue.array == tissue).any() or tissue in (Tissue.TUMOR, Tissue.LENS), tissue.name


def test_anatomy_is_plausible(ideal):
    litre = ideal.tissue.grid.voxel_volume / 1e6
    brain = ideal.tissue.mask(Tissue.GRAY_MATTER, Tissue.WHITE_MATTER).sum() * litre
    assert 0.7 < brain < 1.5
    assert 3.0 < ideal.body.mask().sum() * litre < 6.5
    assert 0.2 < ideal.mask_of(Tissue.CORTICAL_BONE).mask().sum() * litre < 0.9


def test_the_body_is_one_piece_that_holds_every_tissue_and_inner_air(ideal):
    body = ideal.body.mask()
    assert (ideal.tissue.array[~body] == Tissue.AIR).all()
    assert (body & (ideal.tissue.array == Tissue.AIR)).sum() > 50  # sinuses and airway
    pieces, count = ndimage.label(body, np.ones((3, 3, 3)))
    assert np.bincount(pieces.ravel())[1:].max() > 0.999 * body.sum(), count


def test_the_skull_closes_over_the_brain(ideal):
    # Above the skull base no straight way leads from the brain into the air without crossing bone.
    brain = ideal.tissue.mask(Tissue.GRAY_MATTER, Tissue.WHITE_MATTER)
    bone = ideal.tissue.mask(Tissue.CORTICAL_BONE, Tissue.MARROW)
    upper = int(ideal.tissue.grid.index([0, 0, 50])[2])
    assert brain[:, :, upper].any()
    for k in range(upper, SHAPE[2]):
        if brain[:, :, k].any():
            outside = ndimage.binary_propagation(~ideal.body.mask()[:, :, k], mask=~bone[:, :, k])
            assert not (outside & brain[:, :, k]).any()


def test_same_generator_same_bits_other_generator_other_head(ideal):
    again, other = head(), head(1)
    assert again.mr.array.tobytes() == ideal.mr.array.tobytes()
    assert (other.tissue.array != ideal.tissue.array).mean() > 0.03


def test_the_anatomy_does_not_depend_on_grid_or_acquisition(ideal):
    assert np.array_equal(head(acquisition=REALISTIC).tissue.array, ideal.tissue.array)
    part = head(shape=(46, 50, 22))
    # 42 and 22 slices share their center: the smaller image holds slices 10 to 31.
    assert np.array_equal(part.tissue.array, ideal.tissue.array[:, :, 10:32])


def test_scale_bias_and_noise_multiply_and_add_as_documented():
    acquisition = Acquisition(bias_strength=0.4, random_mr_scale=True)
    scanned = head(acquisition=acquisition)
    assert scanned.mr_scale != 1
    assert 0.3 <= scanned.mr_scale <= 3
    assert np.ptp(np.log(scanned.bias_field)) == pytest.approx(0.4, rel=1e-4)
    assert scanned.bias_field.mean() == pytest.approx(1, rel=1e-5)
    corrected = scanned.mr.array / scanned.bias_field / scanned.mr_scale
    assert np.array_equal(TISSUE_TABLE.translated(corrected), scanned.ct.array)
    with pytest.raises(ValueError, match="read-only"):
        scanned.bias_field[0, 0, 0] = 2

    noisy = head(acquisition=Acquisition(mr_noise=0.03, ct_noise_hu=20))
    clean = head()
    air = clean.tissue.array == Tissue.AIR
    # In air the magnitude of two Gaussian channels has a Rayleigh distribution of mean sigma sqrt(pi / 2).
    assert noisy.mr.array[air].mean() == pytest.approx(30 * np.sqrt(np.pi / 2), rel=0.01)
    fat = clean.tissue.array == Tissue.FAT
    assert noisy.mr.array[fat].std() == pytest.approx(30, rel=0.1)
    assert (noisy.ct.array - clean.ct.array).std() == pytest.approx(20, rel=0.02)
    assert noisy.mr.array.min() >= 0


def test_bone_and_air_are_told_apart_only_if_the_table_does():
    dark = TISSUE_TABLE.with_bone_as_dark_as_air()
    ambiguous = head(table=dark)
    error = np.abs(dark.translated(ambiguous.mr.array) - ambiguous.ct.array)
    assert set(ambiguous.tissue.array[error > 0]) == {Tissue.CORTICAL_BONE, Tissue.TOOTH}


def test_partial_volume_mixes_at_boundaries_only(ideal):
    mixed = head(acquisition=Acquisition(partial_volume=True))
    inner = np.ones(SHAPE, bool)
    for tissue in np.unique(ideal.tissue.array):
        at = ideal.tissue.array == tissue
        inner &= ~(ndimage.binary_dilation(at, np.ones((3, 3, 3))) & ~at)
    assert inner.mean() > 0.3
    assert np.mean(mixed.ct.array[inner] == ideal.ct.array[inner]) > 0.999
    assert np.unique(mixed.ct.array).size > 100
    assert mixed.ct.array.min() >= -1000.01
    assert abs(mixed.ct.array.mean() - ideal.ct.array.mean()) < 5


def test_ct_on_its_own_wider_grid_is_the_same_head(ideal):
    wider = ideal.mr.grid.cropped(Box((-3, -4, -2), (49, 54, 44)))
    scanned = head(ct_grid=wider)
    assert scanned.ct.grid is wider
    assert np.array_equal(scanned.ct.array[3:-3, 4:-4, 2:-2], ideal.ct.array)


def test_ct_on_an_oblique_grid_is_the_same_head(ideal):
    from medgan.volume.resample import resample

    angle = np.deg2rad(12)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(SPACING)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    tilted = head(ct_grid=Grid(SHAPE, affine))
    back = resample(tilted.ct, ideal.ct.grid, interpolation="nearest").array
    inside = back > -1020
    assert np.mean((back == ideal.ct.array)[inside]) > 0.8
    assert np.corrcoef(back[inside], ideal.ct.array[inside])[0, 1] > 0.85


def test_the_couch_lies_below_the_body_and_only_in_ct(ideal):
    wide = ideal.mr.grid.cropped(Box((0, -14, 0), (46, 50, 42)))
    with_couch = head(ct_grid=wide, acquisition=Acquisition(couch=True))
    without = head(ct_grid=wide)
    couch = with_couch.ct.array != without.ct.array
    assert couch.sum() > 1000
    assert (without.ct.array[couch] == -1000).all()
    assert set(np.unique(with_couch.ct.array[couch])) == {-900, 100}
    assert np.array_equal(with_couch.mr.array, without.mr.array)
    assert np.array_equal(with_couch.body.array, without.body.array)
    body_rows = np.flatnonzero((without.ct.array > -950).any(axis=(0, 2)))
    middle = couch[18:28].any(axis=(0, 2))
    assert np.flatnonzero(middle).max() < body_rows.min() + 1


def test_a_head_out_of_view_is_air():
    far = Grid.axis_aligned((5, 5, 5), spacing=(2, 2, 2), origin=(900, 0, 0))
    scanned = head(ct_grid=far, acquisition=Acquisition(couch=True))
    assert (scanned.ct.array == -1000).all()


@pytest.mark.parametrize("index", range(4))
def test_every_subject_is_a_whole_head_in_the_field_of_view(index):
    body = head(index, shape=(58, 62, 52), spacing_mm=(4, 4, 5)).body.mask()
    assert not body[0].any()
    assert not body[-1].any()
    assert not body[:, 0].any()
    assert not body[:, -1].any()
    assert not body[:, :, -1].any()
    assert body[:, :, 0].any()  # the neck leaves the image


@pytest.mark.parametrize("tissue", [Tissue.VITREOUS, Tissue.CORTICAL_BONE, Tissue.WHITE_MATTER, Tissue.TOOTH])
def test_both_sides_are_there(tissue):
    mask = head(shape=(58, 62, 52), spacing_mm=(4, 4, 5)).mask_of(tissue).mask()
    left, right = mask[:27].sum(), mask[31:].sum()
    assert 0.6 < left / right < 1.7
