"""The voxel of a mask that lies nearest to a point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError


def nearest_voxel(
    mask: npt.NDArray[np.bool_], point_ijk: npt.NDArray[np.float64], *, axes: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Return the voxel of a mask that lies nearest to a point, looking only around it.

    Parameters
    ----------
    mask : (I, J, K) bool
    point_ijk : (3,)
        Voxel index within the array; fractions are allowed.
    axes : (3, 3)
        Steps of the voxels in space, as columns: the upper left of a grid's affine.

    Returns
    -------
    (3,) int

    Raises
    ------
    GeometryError
        If the mask is empty.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), dtype=bool)
    >>> mask[0, 2, 2] = mask[2, 2, 4] = True
    >>> nearest_voxel(mask, np.array([2.0, 2.0, 2.0]), axes=np.diag([1.0, 1.0, 3.0])).tolist()
    [0, 2, 2]
    """
    if not mask.any():
        raise GeometryError("The nearest voxel of a mask needs a voxel in the mask: found none.")
    shortest = float(np.linalg.svd(axes, compute_uv=False)[-1])
    width = 1
    while True:
        start = np.maximum(np.rint(point_ijk).astype(int) - width, 0)
        found = np.argwhere(mask[tuple(slice(low, low + 2 * width + 1) for low in start)]) + start
        if len(found) == 0:
            width *= 2
            continue
        distance = np.linalg.norm((found - point_ijk) @ axes.T, axis=1)
        nearest = int(distance.argmin())
        # No voxel beyond the searched ones can be nearer, once they reach this far.
        needed = int(np.ceil(distance[nearest] / shortest)) + 1
        if needed <= width:
            return np.asarray(found[nearest])
        width = needed
