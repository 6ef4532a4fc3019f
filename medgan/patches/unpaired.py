"""Batches for unpaired methods: patches of two domains that have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from medgan.methods.cyclegan import CycleGANBatch, PhantomPairs
from medgan.patches.sampler import DrawnPatch, PatchSampler
from medgan.seeding import numpy_generator


def unpaired_batches(
    *,
    source: PatchSampler,
    target: PatchSampler,
    seed: int,
    size: int,
    focal: bool,
    phantoms: PatchSampler | None = None,
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
    phantoms : PatchSampler, optional
        Whose priors are the true target images; as many patches as of each domain.
    """

    def batches(step: int, attempt: int) -> CycleGANBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        sources = [source.drawn(generator) for _ in range(size)]
        targets = [target.drawn(generator, near=drawn.position if focal else None) for drawn in sources]
        pairs = [phantoms.drawn(generator) for _ in range(size)] if phantoms else []
        return CycleGANBatch(
            source=_stacked([drawn.image for drawn in sources]),
            target=_stacked([drawn.image for drawn in targets]),
            source_body=_stacked([drawn.body for drawn in sources]),
            target_body=_stacked([drawn.body for drawn in targets]),
            source_case_ids=_names(sources),
            target_case_ids=_names(targets),
            source_prior=_stacked_priors(sources),
            phantoms=_phantom_pairs(pairs),
        )

    return batches


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))[:, None]


def _phantom_pairs(drawn: Sequence[DrawnPatch]) -> PhantomPairs | None:
    target = _stacked_priors(drawn)
    if target is None:
        return None
    return PhantomPairs(
        source=_stacked([patch.image for patch in drawn]),
        target=target,
        body=_stacked([patch.body for patch in drawn]),
    )


def _stacked_priors(drawn: Sequence[DrawnPatch]) -> torch.Tensor | None:
    priors = [patch.prior for patch in drawn if patch.prior is not None]
    return _stacked(priors) if priors else None


def _names(drawn: Sequence[DrawnPatch]) -> tuple[str, ...]:
    return tuple(patch.case_id for patch in drawn)
