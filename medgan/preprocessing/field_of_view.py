"""Where an image was acquired, as opposed to filled with zeros."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medgan.volume import LabelMap, Volume

FILL_RADIUS_VOXELS = 2


def acquired_region(volume: Volume) -> LabelMap:
    """Return 1 where an MR volume was acquired, 0 where a converter filled a block with zeros.

    Parameters
    ----------
    volume : Volume
        MR_SIGNAL, whose fill value is 0.

    Notes
    -----
    Magnitude images hold noise in air, so exact zeros come in blocks only where nothing was measured: slices that were
    rotated or cropped. Zeros that survive an opening of two voxels are such a block; a lone zero is a measurement.
    """
    zero = volume.array == volume.quantity.outside
    if not zero.any():
        return LabelMap(np.ones(volume.shape, dtype=bool), volume.grid, {1: "acquired"})
    # The border is padded with fill, because blocks lie at it.
    pad = FILL_RADIUS_VOXELS
    padded = np.pad(zero, pad, constant_values=True)
    opened = ndimage.binary_opening(padded, iterations=FILL_RADIUS_VOXELS)[(slice(pad, -pad),) * 3]
    return LabelMap(~opened, volume.grid, {1: "acquired"})
