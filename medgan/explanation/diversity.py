"""Are the changes that a translator makes as varied as real findings, or always the same one?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from medgan.explanation.explanation import Diversity

Float64 = npt.NDArray[np.float64]

COLLAPSED_LOCATION = 0.5
"""Changes whose places vary by less than this share of real findings' are collapsed (a free choice)."""
COLLAPSED_SIMILARITY = 0.3
"""So are changes whose mean similarity exceeds that of real findings by more than this (a free choice)."""


def change_diversity(
    changes: Sequence[npt.ArrayLike],
    *,
    direction: str,
    findings: Sequence[npt.ArrayLike] | None = None,
    strongest: float = 0.05,
) -> Diversity:
    """Compare how varied changes are with how varied real findings are.

    Parameters
    ----------
    changes : sequence of (H, W) or (I, J, K)
        Fake - real, of one direction.
    direction : str
    findings : sequence of arrays, optional
        The same of the truth: lesion masks or profiles of a phantom, or real images of the target class minus the mean
        of the source class. None where there is nothing to compare with.
    strongest : float
        Share of pixels, those with the largest absolute change, whose center of mass is a change's place.

    Notes
    -----
    Two numbers: the spread of places ``sqrt(var(row) + var(column) + ...)`` in pixels, and the mean cosine similarity
    of two changes, pixel by pixel. Mode collapse is named where the spread is below half of the findings', or the
    similarity exceeds theirs by more than 0.3.
    """
    own = [np.asarray(one, dtype=np.float64) for one in changes]
    real = [np.asarray(one, dtype=np.float64) for one in findings] if findings is not None else []
    spread, similar = _spread(own, strongest), _similarity(own)
    real_spread, real_similar = _spread(real, strongest), _similarity(real)
    collapse: bool | None = None
    if spread is None or similar is None:
        sentence = "Fewer than two changes: their diversity is not known."
    elif real_spread is None or real_similar is None:
        sentence = (
            f"Places of the changes vary by {spread:.1f} px, two changes are similar by {similar:.2f}; there are no "
            "real findings to compare with."
        )
    else:
        collapse = spread < COLLAPSED_LOCATION * real_spread or similar > real_similar + COLLAPSED_SIMILARITY
        start = "Mode collapse: places" if collapse else "Places"
        sentence = (
            f"{start} of the changes vary by {spread:.1f} px, of real findings by {real_spread:.1f} px; two "
            f"changes are similar by {similar:.2f}, two real findings by {real_similar:.2f}."
        )
    return Diversity(direction, len(own), len(real), spread, real_spread, similar, real_similar, collapse, sentence)


def place_of(change: npt.ArrayLike, *, strongest: float = 0.05) -> Float64 | None:
    """Return the center of mass of the strongest pixels of a change, in pixels; None where nothing changes.

    Examples
    --------
    >>> change = np.zeros((5, 5)); change[1, 3] = -2
    >>> place_of(change).tolist()
    [1.0, 3.0]
    """
    weight = np.abs(np.asarray(change, dtype=np.float64))
    if not weight.any():
        return None
    count = max(1, round(strongest * weight.size))
    cut = np.partition(weight, weight.size - count, axis=None)[weight.size - count]
    weight = np.where(weight >= cut, weight, 0)
    grids = np.meshgrid(*(np.arange(n) for n in weight.shape), indexing="ij")
    return np.array([(g * weight).sum() / weight.sum() for g in grids])


def _spread(changes: list[Float64], strongest: float) -> float | None:
    places = [p for p in (place_of(one, strongest=strongest) for one in changes) if p is not None]
    return float(np.sqrt(np.var(places, axis=0, ddof=1).sum())) if len(places) > 1 else None


def _similarity(changes: list[Float64]) -> float | None:
    flat = [one.ravel() / np.linalg.norm(one) for one in changes if one.any()]
    n = len(flat)
    if n < 2:
        return None
    # Of unit vectors, the sum of all products is the squared length of their sum.
    return float((np.square(np.sum(flat, axis=0)).sum() - n) / (n * (n - 1)))
