"""A random thigh, lower leg or joint in MR and CT, with an optional tumor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.phantoms.limb_anatomy import LimbAnatomy, Site, limb_labels
from medgan.phantoms.paired_imaging import IDEAL, Acquisition, PairedPhantom, centered_grid, paired_images
from medgan.phantoms.solids import Points
from medgan.phantoms.tissue_table import TISSUE_TABLE, TissueTable


def limb_phantom(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (112, 112, 40),
    spacing_mm: Sequence[float] = (2.0, 2.0, 4.0),
    site: Site = "thigh",
    tumor: bool = False,
    ct_grid: Grid | None = None,
    table: TissueTable = TISSUE_TABLE,
    acquisition: Acquisition = IDEAL,
) -> PairedPhantom:
    """Return one random limb in both modalities, running along z.

    Parameters
    ----------
    generator : numpy.random.Generator
        One subject a generator. The anatomy does not depend on grids, table, acquisition or ``tumor``: two calls with
        equal generators, with and without tumor, are twins that differ only where the tumor is.
    shape : (I, J, K)
    spacing_mm : three floats
        Grid of the MR, RAS+, centered on the world's origin.
    site : {"thigh", "leg", "joint"}
        The shaft of one bone, of two, or two bones whose widened ends meet.
    tumor : bool
        Add a soft-tissue mass between the muscles; ``phantom.mask_of(Tissue.TUMOR)`` is its mask.
    ct_grid : Grid, optional
    table : TissueTable
    acquisition : Acquisition

    Returns
    -------
    PairedPhantom

    Examples
    --------
    >>> limb = limb_phantom(generator=np.random.default_rng(1), shape=(24, 24, 4), spacing_mm=(9, 9, 9))
    >>> bool((TISSUE_TABLE.translated(limb.mr.array) == limb.ct.array).all())
    True
    """
    anatomy = LimbAnatomy.sampled(generator, site=site)
    grid = centered_grid(shape, spacing_mm)

    def labels_at(at: Grid, offset_ijk: Sequence[float]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        points = Points.of_grid(at, anatomy_to_world=np.eye(4), warp=anatomy.warp, offset_ijk=offset_ijk)
        return limb_labels(points, anatomy, with_tumor=tumor)

    return paired_images(
        labels_at,
        mr_grid=grid,
        ct_grid=grid if ct_grid is None else ct_grid,
        table=table,
        acquisition=acquisition,
        generator=generator,
        name="limb phantom",
    )
