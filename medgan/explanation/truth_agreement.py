"""How well a map agrees with a finding whose place is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from medgan.errors import ExplanationError
from medgan.explanation.masks import largest

Part = Literal["absolute", "positive", "signed"]


@dataclass(frozen=True)
class Agreement:
    """Agreement of one map with one mask.

    Parameters
    ----------
    iou : float
        Of the mask and the map's largest pixels, as many as the mask has.
    pointing : bool
        Whether the map's largest pixel lies in the mask.
    area : float
        Share of the image under the mask: the IoU of a random map is about ``area / (2 - area)``.
    """

    iou: float
    pointing: bool
    area: float


def truth_agreement(
    values: npt.ArrayLike, mask: npt.ArrayLike, *, part: Part = "absolute", smooth_px: float = 0.0
) -> Agreement:
    """Return IoU at the mask's area and whether the map points into it.

    Parameters
    ----------
    values : (H, W) or (I, J, K)
        A map as its method gives it.
    mask : bool array of the same shape
        Where the finding is.
    part : {"absolute", "positive", "signed"}
        What is ranked: ``|a|``, ``max(a, 0)``, or ``a``.
    smooth_px : float
        Sigma of a Gaussian before ranking; 0 for none.

    Raises
    ------
    ExplanationError
        If shapes differ or the mask is empty.

    Examples
    --------
    >>> values = np.zeros((4, 4)); values[1, 1] = -3; values[0, 0] = 1
    >>> truth_agreement(values, values < 0)
    Agreement(iou=1.0, pointing=True, area=0.0625)
    """
    own, truth = np.asarray(values, dtype=np.float64), np.asarray(mask, dtype=bool)
    if own.shape != truth.shape:
        raise ExplanationError(f"A map and its truth have one shape: found {own.shape} and {truth.shape}.")
    if not truth.any():
        raise ExplanationError("Agreement needs a finding: the mask is empty.")
    ranked = {"absolute": np.abs(own), "positive": np.maximum(own, 0), "signed": own}.get(part)
    if ranked is None:
        raise ExplanationError(f"A map is ranked by its absolute, positive or signed values: found {part!r}.")
    if smooth_px:
        ranked = gaussian_filter(ranked, smooth_px, mode="nearest")
    top = largest(ranked, int(truth.sum()))
    iou = float((top & truth).sum() / (top | truth).sum())
    return Agreement(iou, bool(truth.flat[int(np.argmax(ranked))]), float(truth.mean()))
