"""How far two regions overlap.

Rule for empty regions, everywhere in medgan: absent in both is *not counted* (None: there was nothing to find and
nothing was claimed; averaging it as 1 rewards easy cases); present in only one is 0.
"""

from __future__ import annotations

import numpy as np

from medgan.evaluation.region import BoolArray, require_pair


def dice(*, result: BoolArray, reference: BoolArray, mask: BoolArray | None = None) -> float | None:
    """Return ``2 |A and B| / (|A| + |B|)`` of two boolean arrays, None if both are empty.

    Raises
    ------
    EvaluationError
        If shapes differ, or a mask is given in which no voxel counts.

    Examples
    --------
    >>> dice(result=np.array([True, True, False]), reference=np.array([True, False, False]))
    0.6666666666666666
    """
    both, a, b = _counts(result, reference, mask)
    return None if a + b == 0 else 2 * both / (a + b)


def jaccard(*, result: BoolArray, reference: BoolArray, mask: BoolArray | None = None) -> float | None:
    """Return ``|A and B| / |A or B|`` of two boolean arrays, None if both are empty."""
    both, a, b = _counts(result, reference, mask)
    return None if a + b == 0 else both / (a + b - both)


def _counts(result: BoolArray, reference: BoolArray, mask: BoolArray | None) -> tuple[int, int, int]:
    require_pair(result=result, reference=reference, mask=mask, measure="An overlap")
    if mask is not None:
        result, reference = result[mask], reference[mask]
    return int(np.count_nonzero(result & reference)), int(np.count_nonzero(result)), int(np.count_nonzero(reference))
