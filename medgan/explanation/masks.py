"""Masks from a map: thresholds, morphological closing, and the soft edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from medgan.errors import ExplanationError
from medgan.explanation.discriminative import PRESETS, Preset

Float32 = npt.NDArray[np.float32]

PUBLISHED_SIDE = 128
"""Image side in pixels that the published kernel sizes belong to."""
CLOSING, BLUR = 10, 11
"""Published diameters of the closing ellipse and of the Gaussian, in pixels."""

_SMALL_GAUSSIANS = {
    1: (1.0,),
    3: (0.25, 0.5, 0.25),
    5: (0.0625, 0.25, 0.375, 0.25, 0.0625),
    7: (0.03125, 0.109375, 0.21875, 0.28125, 0.21875, 0.109375, 0.03125),
    9: tuple(n / 256 for n in (4, 13, 30, 51, 60, 51, 30, 13, 4)),
}
"""OpenCV's fixed kernels for small sizes where no sigma is given."""


@dataclass(frozen=True, kw_only=True)
class MaskShape:
    """Sizes of the kernels for one image size.

    Parameters
    ----------
    closing_px : int
        Diameter of the closing ellipse; 0 for no closing.
    blur_px : int
        Odd width of the Gaussian; 1 for a hard edge.
    """

    closing_px: int
    blur_px: int

    @classmethod
    def scaled(cls, shape: tuple[int, ...], *, closing: bool = True, symmetric: bool = False) -> MaskShape:
        """Return the published sizes scaled to an image's shortest side.

        Parameters
        ----------
        shape : tuple of int
        closing : bool
        symmetric : bool
            Make an even diameter of the closing one larger, so that it loses nothing (see :func:`closed`).

        Examples
        --------
        >>> MaskShape.scaled((128, 128)), MaskShape.scaled((28, 28)).closing_px
        (MaskShape(closing_px=10, blur_px=11), 2)
        """
        scale = min(shape) / PUBLISHED_SIDE
        width = 2 * math.floor((BLUR * scale - 1) / 2 + 0.5) + 1
        diameter = math.floor(CLOSING * scale + 0.5)
        return cls(closing_px=(diameter | 1 if symmetric else diameter) if closing else 0, blur_px=max(width, 1))


def thresholds(preset: Preset) -> npt.NDArray[np.float64]:
    """Return a preset's thresholds: 201 from -1 to 1 (dapi), 200 from -1 to 0.99 (quac, half of them below every map).

    Examples
    --------
    >>> len(thresholds("dapi")), len(thresholds("quac"))
    (201, 200)
    """
    if preset not in PRESETS:
        raise ExplanationError(f"A preset is {' or '.join(PRESETS)}: found {preset!r}.")
    if preset == "dapi":
        return np.array([-1 + k * 0.01 for k in range(201)])
    return np.arange(-1.0, 1.0, 2.0 / 200)


def ellipse_offsets(diameter: int, dimensions: int = 2) -> list[tuple[int, ...]]:
    """Return the offsets of a discrete ellipse (ellipsoid) from its anchor, as OpenCV draws it.

    Notes
    -----
    ``cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (d, d))``: in the row ``dy`` from the center, ``round(sqrt(r^2 -
    dy^2))`` pixels to each side, with ``r = d // 2`` and the anchor at ``r``. For an even diameter it is not symmetric
    about its anchor. In 3-D the rows of a slab ``dz`` have ``r^2 - dz^2`` in the place of ``r^2``.
    """
    radius = diameter // 2
    reach = range(-radius, diameter - radius)
    found = []
    for high in np.ndindex(*(len(reach),) * (dimensions - 1)):
        lead = tuple(reach[n] for n in high)
        rest = radius * radius - sum(n * n for n in lead)
        if rest < 0:
            continue
        half = round(math.sqrt(rest))
        found += [(*lead, last) for last in reach if -half <= last <= half]
    return found


def closed(maps: npt.ArrayLike, diameter: int) -> Float32:
    """Return gray-scale closings of maps (M, ...) with an ellipse; ``diameter`` 0 leaves them as they are.

    Notes
    -----
    A flat closing commutes with thresholds: ``closing(map) > t`` is the closing of ``map > t``, for every ``t``. So one
    closing serves all thresholds of a case. Dilation and erosion use the same offsets and ignore what lies outside the
    image, as ``cv2.morphologyEx`` does. With the published even ellipse that is no closing in the strict sense: the
    result need not contain the mask, and a single pixel vanishes: for a lesion of 19 pixels in an image of 48 x 48 the
    area under the curve of a perfect map fell from .95 to .73. It is kept because published areas depend on it; an odd
    diameter closes without loss.
    """
    own = np.array(maps, dtype=np.float32)
    if diameter <= 1:
        return own
    offsets = ellipse_offsets(diameter, own.ndim - 1)
    return _ranked(_ranked(own, offsets, np.maximum, -np.inf), offsets, np.minimum, np.inf)


def _ranked(maps: Float32, offsets: list[tuple[int, ...]], rank: Any, outside: float) -> Float32:
    reach = max(max(abs(n) for n in offset) for offset in offsets)
    padded = np.pad(maps, [(0, 0)] + [(reach, reach)] * (maps.ndim - 1), constant_values=outside)
    result = np.full_like(maps, outside)
    for offset in offsets:
        window = tuple(slice(reach + o, reach + o + n) for o, n in zip(offset, maps.shape[1:]))
        rank(result, padded[(slice(None), *window)], out=result)
    return result


def gaussian_kernel(width: int) -> npt.NDArray[np.float64]:
    """Return the weights of ``cv2.getGaussianKernel(width, 0)``; sigma is ``0.3 ((width - 1) / 2 - 1) + 0.8``."""
    if width < 1 or width % 2 == 0:
        raise ExplanationError(f"A Gaussian needs an odd width in pixels: found {width}.")
    if width in _SMALL_GAUSSIANS:
        return np.array(_SMALL_GAUSSIANS[width])
    sigma = 0.3 * ((width - 1) * 0.5 - 1) + 0.8
    weights = np.exp(-0.5 * ((np.arange(width) - width // 2) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def softened(masks: Tensor, width: int) -> Tensor:
    """Return masks (M, 1, ...) blurred by a Gaussian of ``width`` pixels; the border is mirrored (reflect 101)."""
    soft = masks.float()
    if width <= 1:
        return soft
    kernel = torch.from_numpy(gaussian_kernel(width).astype(np.float32)).to(soft.device)
    spatial = soft.ndim - 2
    for axis in range(spatial):
        shape, pad = [1] * (spatial + 2), [0, 0] * spatial
        shape[2 + axis] = width
        # F.pad names the last axis first.
        pad[2 * (spatial - 1 - axis)] = pad[2 * (spatial - 1 - axis) + 1] = width // 2
        mirrored = F.pad(soft, pad, mode="reflect")
        soft = (F.conv2d if spatial == 2 else F.conv3d)(mirrored, kernel.reshape(shape))
    return soft


@dataclass(frozen=True, eq=False)
class NestedMasks:
    """All masks of one map, each inside the next.

    Parameters
    ----------
    values : float32 array of the image's shape
        The map after closing: a mask is ``values > threshold``.
    thresholds : (T,) float64
    sizes : (T,) int64
        Pixels of each mask.
    """

    values: Float32
    thresholds: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.int64]

    @property
    def areas(self) -> npt.NDArray[np.float64]:
        """Share of the image under each mask."""
        return self.sizes / self.values.size

    def distinct(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return an index into ``thresholds`` for each distinct mask, and for each threshold the number of its mask.

        Masks of one size are the same mask, because they are nested.
        """
        _, first, place = np.unique(self.sizes, return_index=True, return_inverse=True)
        return first, place


def nested_masks(values: npt.ArrayLike, *, preset: Preset, closing_px: int) -> NestedMasks:
    """Return the masks of a normalized map (H, W) or (I, J, K)."""
    own = closed(np.asarray(values, dtype=np.float32)[None], closing_px)[0]
    cuts = thresholds(preset)
    # float64, so that a threshold is not rounded to the map's precision.
    ordered = np.sort(own, axis=None).astype(np.float64)
    return NestedMasks(own, cuts, own.size - np.searchsorted(ordered, cuts, side="right"))


def largest(values: npt.ArrayLike, count: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the ``count`` largest values; of equal ones the first in memory."""
    own = np.asarray(values)
    mask = np.zeros(own.size, dtype=bool)
    mask[np.argsort(-own.ravel(), kind="stable")[:count]] = True
    return mask.reshape(own.shape)
