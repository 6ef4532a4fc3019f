"""Limbs whose contrast is drawn along with their anatomy: examples of what T1 signal can mean, not of one scanner."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medgan.phantoms.limb import limb_phantom
from medgan.phantoms.limb_anatomy import Site
from medgan.phantoms.paired_imaging import REALISTIC, PairedPhantom
from medgan.phantoms.tissue_table import TISSUE_TABLE, Tissue, TissueTable

SITES: tuple[Site, ...] = ("thigh", "joint", "leg", "thigh", "joint")
"""Site by the phantom's number, over and over: lower legs are rarer than thighs and joints among sarcomas."""

_FAT = 1000.0


def varied_table(generator: np.random.Generator) -> TissueTable:
    """Draw MR signals and HU of limb tissues from the ranges that they have in patients.

    Notes
    -----
    Cortical bone is almost black here, as on real scanners; no voxelwise translator is then exact. The ranges are free
    choices around textbook values (T1-weighted spin echo; HU at 120 kV).
    """
    mr, hu = list(TISSUE_TABLE.mr), list(TISSUE_TABLE.hu)
    muscle = generator.uniform(0.20, 0.36) * _FAT
    for tissue, signal in (
        (Tissue.FAT, _FAT),
        (Tissue.MUSCLE, muscle),
        (Tissue.MARROW, generator.uniform(0.8, 1.05) * _FAT),
        (Tissue.SPONGY_BONE, generator.uniform(0.6, 1.0) * _FAT),
        (Tissue.TUMOR, muscle * generator.uniform(0.75, 1.35)),
        (Tissue.SKIN, generator.uniform(0.25, 0.5) * _FAT),
        (Tissue.CORTICAL_BONE, generator.uniform(0.02, 0.12) * _FAT),
        (Tissue.BLOOD, generator.uniform(0.05, 0.35) * _FAT),
        (Tissue.TENDON, generator.uniform(0.05, 0.15) * _FAT),
    ):
        mr[tissue] = float(signal)
    for tissue, low, high in (
        (Tissue.FAT, -115, -95),
        (Tissue.MUSCLE, 45, 65),
        (Tissue.TUMOR, 15, 50),
        (Tissue.CORTICAL_BONE, 1100, 1400),
        (Tissue.MARROW, 0, 120),
        (Tissue.SPONGY_BONE, 100, 350),
        (Tissue.BLOOD, 35, 60),
        (Tissue.SKIN, -20, 30),
    ):
        hu[tissue] = float(generator.uniform(low, high))
    return TissueTable(tuple(hu), tuple(mr))


def varied_limb(
    *, generator: np.random.Generator, number: int, shape: Sequence[int], spacing_mm: Sequence[float]
) -> PairedPhantom:
    """Return one realistic limb with a contrast of its own; every second one has a tumor.

    Parameters
    ----------
    generator : numpy.random.Generator
    number : int
        Picks the site, see :data:`SITES`, and whether there is a tumor.
    shape : (I, J, K)
    spacing_mm : three floats

    Examples
    --------
    >>> limb = varied_limb(generator=np.random.default_rng(2), number=1, shape=(24, 24, 6), spacing_mm=(8, 8, 9))
    >>> bool(limb.mask_of(Tissue.TUMOR).mask().any())
    True
    """
    table = varied_table(generator)
    return limb_phantom(
        generator=generator,
        shape=shape,
        spacing_mm=spacing_mm,
        site=SITES[number % len(SITES)],
        tumor=number % 2 == 1,
        table=table,
        acquisition=REALISTIC,
    )
