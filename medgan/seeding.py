"""Random generators as a pure function of a seed and the names of a place.

Work that is interrupted and restarted gives the bits of uninterrupted work because no generator state travels: the
generator of step 812 depends on the seed and on 812, never on what was drawn before.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, *place: int | str) -> int:
    """Return a 63-bit seed that depends on ``seed`` and on every part of ``place``.

    Examples
    --------
    >>> derived_seed(1, "step", 2) == derived_seed(1, "step", 2) != derived_seed(1, "step", 3)
    True
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *place))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *place: int | str) -> np.random.Generator:
    """Return a NumPy generator for this place."""
    return np.random.Generator(np.random.Philox(derived_seed(seed, *place)))


def torch_generator(seed: int, *place: int | str) -> torch.Generator:
    """Return a torch generator on the CPU for this place; torch is imported when this is called."""
    import torch

    return torch.Generator().manual_seed(derived_seed(seed, *place))
