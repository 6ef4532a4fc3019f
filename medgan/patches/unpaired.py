"""Batches for unpaired methods: patches of two domains that have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from medgan.methods.cyclegan import CycleGANBatch
from medgan.patches.sampler import DrawnPatch, PatchSampler
from medgan.seeding import numpy_generator


def unpaired_batches(
    *, source: PatchSampler, target: PatchSampler, seed: int, size: int, focal: bool
) -> Callable[[int, int], CycleGANBatch]:
    """Return ``batches(step, attempt)``, a pure function of its arguments.

    Parameters
    ----------
    source, target : PatchSampler
    seed : int
    size : int
        Patches of each domain in a batch.
    focal : bool
        Draw the target patch near the relative position of the source patch.
    """

    def batches(step: int, attempt: int) -> CycleGANBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        sources = [source.drawn(generator) for _ in range(size)]
        targets = [target.drawn(generator, near=drawn.position if focal else None) for drawn in sources]
        return CycleGANBatch(
            source=_stacked([drawn.image for drawn in sources]),
            target=_stacked([drawn.image for drawn in targets]),
            source_body=_stacked([drawn.body for drawn in sources]),
            target_body=_stacked([drawn.body for drawn in targets]),
            source_case_ids=_names(sources),
            target_case_ids=_names(targets),
        )

    return batches


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))[:, None]


def _names(drawn: Sequence[DrawnPatch]) -> tuple[str, ...]:
    return tuple(patch.case_id for patch in drawn)
