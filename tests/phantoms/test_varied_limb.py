"""Limbs of varied contrast and their joints."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.tissue_table import Tissue
from medgan.phantoms.varied_limb import SITES, varied_limb, varied_table
from medgan.seeding import numpy_generator


def test_tables_differ_and_keep_the_order_of_t1():
    tables = [varied_table(numpy_generator(1, "table", n)) for n in range(20)]
    assert len({table.mr for table in tables}) == len({table.hu for table in tables}) == 20
    for table in tables:
        mr, hu = table.mr, table.hu
        assert mr[Tissue.CORTICAL_BONE] < mr[Tissue.MUSCLE] < mr[Tissue.SPONGY_BONE]
        assert mr[Tissue.MUSCLE] < mr[Tissue.MARROW]
        assert hu[Tissue.FAT] < hu[Tissue.MUSCLE] < hu[Tissue.SPONGY_BONE] < hu[Tissue.CORTICAL_BONE]
        assert mr[Tissue.FAT] == max(table.mr[t] for t in Tissue if t is not Tissue.MARROW)


def test_a_table_follows_from_its_generator():
    assert varied_table(numpy_generator(4, "x")) == varied_table(numpy_generator(4, "x"))


@pytest.mark.parametrize("number", range(len(SITES)))
def test_every_second_limb_has_a_tumor(number):
    limb = varied_limb(generator=numpy_generator(2, number), number=number, shape=(40, 40, 8), spacing_mm=(5, 5, 9))
    assert limb.mask_of(Tissue.TUMOR).mask().any() == (number % 2 == 1)
    assert limb.mask_of(Tissue.CORTICAL_BONE).mask().any()


def test_the_bones_of_a_joint_widen_toward_the_gap_between_them():
    limb = limb_phantom(generator=numpy_generator(0, "joint"), shape=(60, 60, 130), spacing_mm=(3, 3, 2), site="joint")
    tissue = np.asarray(limb.tissue.array)
    bone = np.isin(tissue, (Tissue.CORTICAL_BONE, Tissue.MARROW, Tissue.SPONGY_BONE))
    area = bone.sum(axis=(0, 1))
    gap = 30 + int(area[30:100].argmin())
    near, far = [gap - 15, gap + 15], [gap - 55, gap + 55]
    assert area[near].min() > 2 * max(area[gap], area[far].max())
    assert (tissue[:, :, near] == Tissue.SPONGY_BONE).any()
    assert (tissue[:, :, far] == Tissue.MARROW).any()
    assert not (tissue[:, :, far] == Tissue.SPONGY_BONE).any()


def test_spongy_bone_is_enclosed_by_cortex():
    limb = limb_phantom(
        generator=numpy_generator(9, "joint"), shape=(100, 100, 60), spacing_mm=(1.5, 1.5, 3), site="joint"
    )
    tissue = np.asarray(limb.tissue.array)
    spongy = tissue == Tissue.SPONGY_BONE
    for axis in (0, 1):
        for step in (-1, 1):
            neighbor = np.roll(tissue, step, axis)[spongy]
            allowed = (Tissue.SPONGY_BONE, Tissue.CORTICAL_BONE, Tissue.MARROW)
            assert np.isin(neighbor, allowed).mean() > 0.99
