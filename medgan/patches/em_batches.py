"""Batches of electron microscopy: unpaired ones for SECGAN, and ones with targets for segmenters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from medgan.errors import PatchError
from medgan.methods.boundary_segmentation import BoundaryBatch
from medgan.methods.secgan_terms import SecganBatch
from medgan.patches.em_sampler import EmSampler
from medgan.patches.em_targets import Background, affinity_target, boundary_target
from medgan.patches.sampler import PatchSampler
from medgan.seeding import numpy_generator

Index3 = tuple[int, int, int]


def secgan_batches(
    *, labeled: EmSampler | PatchSampler, unlabeled: EmSampler | PatchSampler, seed: int, size: int
) -> Callable[[int, int], SecganBatch]:
    """Return ``batches(step, attempt)`` of unpaired patches, a pure function of its arguments."""

    def batches(step: int, attempt: int) -> SecganBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        ones = [labeled.drawn(generator) for _ in range(size)]
        others = [unlabeled.drawn(generator) for _ in range(size)]
        return SecganBatch(
            labeled=_stacked([drawn.image[None] for drawn in ones]),
            unlabeled=_stacked([drawn.image[None] for drawn in others]),
            labeled_case_ids=tuple(drawn.case_id for drawn in ones),
            unlabeled_case_ids=tuple(drawn.case_id for drawn in others),
        )

    return batches


def boundary_batches(
    *, sampler: EmSampler, offsets_ijk: Sequence[Index3], background: Background, seed: int, size: int
) -> Callable[[int, int], BoundaryBatch]:
    """Return ``batches(step, attempt)`` of patches with boundaries, or affinities where there are offsets.

    Raises
    ------
    PatchError
        If a stack has no labels.
    """
    for volume in sampler.volumes:
        if volume.labels is None:
            raise PatchError(f"A segmenter learns from labels: {volume.case_id} has none.")

    def batches(step: int, attempt: int) -> BoundaryBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        drawn = [sampler.drawn(generator) for _ in range(size)]
        targets = [
            affinity_target(each.labels, offsets_ijk, background=background)  # type: ignore[arg-type]
            if offsets_ijk
            else boundary_target(each.labels, background=background)  # type: ignore[arg-type]
            for each in drawn
        ]
        return BoundaryBatch(
            image=_stacked([each.image[None] for each in drawn]),
            target=_stacked([target for target, _ in targets]),
            counted=_stacked([counted for _, counted in targets]),
            case_ids=tuple(each.case_id for each in drawn),
        )

    return batches


def threshold_batches(
    *, sampler: PatchSampler, above: float, seed: int, size: int
) -> Callable[[int, int], BoundaryBatch]:
    """Return ``batches(step, attempt)`` whose target is where a prepared image exceeds a normalized value.

    A stand-in for labels of a tissue that a threshold defines, such as bone in CT.
    """

    def batches(step: int, attempt: int) -> BoundaryBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        drawn = [sampler.drawn(generator) for _ in range(size)]
        image = _stacked([each.image[None] for each in drawn])
        target = (image > above).float()
        return BoundaryBatch(
            image=image,
            target=target,
            counted=torch.ones_like(target),
            case_ids=tuple(each.case_id for each in drawn),
        )

    return batches


def _stacked(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(arrays))
