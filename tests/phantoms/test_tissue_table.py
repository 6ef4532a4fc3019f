"""The tissue table and the ideal translator."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import VolumeError
from medgan.phantoms.tissue_table import TISSUE_TABLE, Tissue, TissueTable

ALL = np.array(list(Tissue), dtype=np.uint8)


def test_the_default_table_has_one_ct_value_for_every_mr_signal():
    assert TISSUE_TABLE.ambiguous == ()
    assert np.array_equal(TISSUE_TABLE.translated(TISSUE_TABLE.mr_of(ALL)), TISSUE_TABLE.ct_of(ALL))


def test_tissues_are_ordered_as_in_a_t1_image():
    mr = dict(zip(Tissue, TISSUE_TABLE.mr))
    order = ["AIR", "CORTICAL_BONE", "CSF", "MUSCLE", "GRAY_MATTER", "WHITE_MATTER", "MARROW", "FAT"]
    signals = [mr[Tissue[name]] for name in order]
    assert signals == sorted(signals)


def test_a_little_noise_does_not_change_the_translation(rng):
    gap = np.diff(sorted(TISSUE_TABLE.mr)).min()
    noisy = TISSUE_TABLE.mr_of(ALL) + rng.uniform(-0.49, 0.49, len(ALL)).astype(np.float32) * gap
    assert np.array_equal(TISSUE_TABLE.translated(noisy), TISSUE_TABLE.ct_of(ALL))


def test_dark_bone_is_ambiguous_and_then_no_voxelwise_translator_is_exact():
    dark = TISSUE_TABLE.with_bone_as_dark_as_air()
    assert (Tissue.AIR, Tissue.CORTICAL_BONE) in dark.ambiguous
    assert len(dark.ambiguous) == 3
    error = dark.translated(dark.mr_of(ALL)) - dark.ct_of(ALL)
    assert set(ALL[error != 0]) == {Tissue.TOOTH, Tissue.CORTICAL_BONE}


def test_tissues_of_one_signal_and_one_ct_value_are_not_ambiguous():
    table = TissueTable(hu=(5.0,) * len(Tissue), mr=(1.0,) * len(Tissue))
    assert table.ambiguous == ()
    assert (table.translated(np.array([0.0, 9.0])) == 5).all()


def test_shape_and_type_are_kept():
    labels = np.zeros((2, 3, 4), np.uint8)
    assert TISSUE_TABLE.ct_of(labels).shape == TISSUE_TABLE.translated(TISSUE_TABLE.mr_of(labels)).shape == (2, 3, 4)
    assert TISSUE_TABLE.ct_of(labels).dtype == np.float32


def test_a_table_needs_every_tissue():
    with pytest.raises(VolumeError, match="needs 16 CT and MR values: found 2 and 16"):
        TissueTable(hu=(1.0, 2.0), mr=TISSUE_TABLE.mr)
