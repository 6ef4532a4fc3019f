"""A random head in MR and CT for which the exact MR to CT translator is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medgan.geometry import Grid
from medgan.phantoms.head_anatomy import HeadAnatomy, layered_head
from medgan.phantoms.head_parts import head_parts
from medgan.phantoms.paired_imaging import IDEAL, Acquisition, PairedPhantom, centered_grid, paired_images
from medgan.phantoms.solids import Points, paint
from medgan.phantoms.tissue_table import TISSUE_TABLE, Tissue, TissueTable


def head_phantom(
    *,
    generator: np.random.Generator,
    shape: Sequence[int] = (112, 120, 104),
    spacing_mm: Sequence[float] = (2.0, 2.0, 2.4),
    ct_grid: Grid | None = None,
    table: TissueTable = TISSUE_TABLE,
    acquisition: Acquisition = IDEAL,
) -> PairedPhantom:
    """Return one random head in both modalities.

    Parameters
    ----------
    generator : numpy.random.Generator
        One subject a generator, for instance ``numpy_generator(seed, "head", index)``. The anatomy does not depend on
        any other argument.
    shape : (I, J, K)
    spacing_mm : three floats
        Grid of the MR, RAS+, centered on the world's origin. A head is about 175 x 225 x 250 mm.
    ct_grid : Grid, optional
        Grid of the CT, such as a wider or an oblique one; the MR's if None.
    table : TissueTable
    acquisition : Acquisition
        Noise, bias field, MR unit, partial volume and couch; none by default.

    Returns
    -------
    PairedPhantom
        With the ideal acquisition on one grid ``table.translated(mr / mr_scale)`` is the CT, exactly.

    Examples
    --------
    >>> head = head_phantom(generator=np.random.default_rng(1), shape=(16, 16, 16), spacing_mm=(14, 15, 16))
    >>> bool((TISSUE_TABLE.translated(head.mr.array) == head.ct.array).all())
    True
    """
    anatomy = HeadAnatomy.sampled(generator)
    grid = centered_grid(shape, spacing_mm)
    return paired_images(
        lambda at, offset: head_labels(anatomy, at, offset_ijk=offset),
        mr_grid=grid,
        ct_grid=grid if ct_grid is None else ct_grid,
        table=table,
        acquisition=acquisition,
        generator=generator,
        name="head phantom",
    )


def head_labels(
    anatomy: HeadAnatomy, grid: Grid, *, offset_ijk: Sequence[float] = (0, 0, 0)
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Return tissue numbers (I, J, K) uint8 and the body mask at the (shifted) voxel centers of a grid."""
    points = Points.of_grid(grid, anatomy_to_world=anatomy.anatomy_to_world, warp=anatomy.warp, offset_ijk=offset_ijk)
    labels, body = layered_head(points, anatomy)
    for part in head_parts(anatomy):
        paint(labels, points, part.solid, part.tissue, over=part.over)
    labels[~body] = Tissue.AIR
    return labels, body
