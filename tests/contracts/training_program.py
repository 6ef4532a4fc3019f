"""A training as a program of its own, which the contract test kills: method, folder, step to die at (0: never)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medgan.methods.adversarial_segmentation import (
    AdversarialSegmentationSettings,
    MapDiscriminatorSettings,
    SegmentationBatch,
    SegmenterSettings,
)
from medgan.methods.boundary_segmentation import BoundaryBatch, BoundaryNetworkSettings, BoundarySettings
from medgan.methods.classification import ClassificationBatch, ClassificationSettings
from medgan.methods.counterfactual import CounterfactualSettings
from medgan.methods.cyclegan import (
    CycleGANBatch,
    CycleGANSettings,
    DiscriminatorSettings,
    GeneratorSettings,
    WarmStart,
)
from medgan.methods.secgan_settings import SecganSettings, ValidGeneratorSettings, VolumeDiscriminatorSettings
from medgan.methods.secgan_terms import SecganBatch
from medgan.methods.table import METHODS
from medgan.seeding import torch_generator
from medgan.training.loop import LoopSettings, train

STEPS, SAVE_EVERY = 16, 4


@dataclass(frozen=True)
class Example:
    """Settings and batches of a method that take milliseconds; a batch is a pure function of step and attempt."""

    settings: Any
    batches: Callable[[int, int], Any]
    poisoned: Callable[[int, int], Any]


def unpaired(step: int, attempt: int) -> CycleGANBatch:
    generator = torch_generator(11, "batch", attempt, step)
    images = torch.rand(2, 1, 12, 10, 9, generator=generator) * 2 - 1
    bodies = torch.rand(2, 1, 12, 10, 9, generator=generator) > 0.2
    return CycleGANBatch(
        source=images[:1],
        target=images[1:],
        source_body=bodies[:1],
        target_body=bodies[1:],
        source_case_ids=(f"source_{step}",),
        target_case_ids=(f"target_{step}",),
    )


def unpaired_with_a_nan(step: int, attempt: int) -> CycleGANBatch:
    batch = unpaired(step, attempt)
    if step == 6:
        batch.source[:] = float("nan")
    return batch


def labeled(step: int, attempt: int) -> ClassificationBatch:
    images = unpaired_planes(step, attempt)
    return ClassificationBatch(
        image=torch.cat((images.source, images.target)), label=torch.tensor([0, 1]), case_ids=images.case_ids
    )


def labeled_with_a_nan(step: int, attempt: int) -> ClassificationBatch:
    batch = labeled(step, attempt)
    if step == 6:
        batch.image[:] = float("nan")
    return batch


def unpaired_planes(step: int, attempt: int) -> CycleGANBatch:
    images = torch.rand(2, 1, 12, 12, generator=torch_generator(12, "batch", attempt, step)) * 2 - 1
    return CycleGANBatch(
        source=images[:1],
        target=images[1:],
        source_case_ids=(f"source_{step}",),
        target_case_ids=(f"target_{step}",),
    )


def unpaired_planes_with_a_nan(step: int, attempt: int) -> CycleGANBatch:
    batch = unpaired_planes(step, attempt)
    if step == 6:
        batch.source[:] = float("nan")
    return batch


def two_stacks(step: int, attempt: int) -> SecganBatch:
    generator = torch_generator(13, "batch", attempt, step)
    images = torch.rand(2, 1, 17, 16, 15, generator=generator) * 2 - 1
    return SecganBatch(
        labeled=images[:1],
        unlabeled=images[1:],
        labeled_case_ids=(f"source_{step}",),
        unlabeled_case_ids=(f"target_{step}",),
    )


def two_stacks_with_a_nan(step: int, attempt: int) -> SecganBatch:
    batch = two_stacks(step, attempt)
    if step == 6:
        batch.labeled[:] = float("nan")
    return batch


def bounded(step: int, attempt: int) -> BoundaryBatch:
    generator = torch_generator(14, "batch", attempt, step)
    image = torch.rand(1, 1, 8, 9, 7, generator=generator) * 2 - 1
    target = (image > 0.2).float()
    counted = torch.ones_like(target)
    return BoundaryBatch(image=image, target=target, counted=counted, case_ids=(f"source_{step}", f"target_{step}"))


def bounded_with_a_nan(step: int, attempt: int) -> BoundaryBatch:
    batch = bounded(step, attempt)
    if step == 6:
        batch.image[:] = float("nan")
    return batch


def slices(step: int, attempt: int) -> SegmentationBatch:
    images = torch.rand(2, 2, 12, 10, generator=torch_generator(17, "batch", attempt, step)) * 2 - 1
    labels = (images[:, 0] > 0).long() + (images[:, 1] > 0.5).long()
    return SegmentationBatch(images=images, labels=labels, case_ids=(f"source_{step}", f"target_{step}"))


def slices_with_a_nan(step: int, attempt: int) -> SegmentationBatch:
    batch = slices(step, attempt)
    if step == 6:
        batch.images[:] = float("nan")
    return batch


# The pool of 2 is full after 2 adversarial steps, the rates fall from step 8 on.
EXAMPLES = {
    "adversarial_segmentation": Example(
        settings=AdversarialSegmentationSettings(
            arm="hybrid",
            in_channels=2,
            classes=3,
            focus_class=2,
            steps=STEPS,
            segmenter=SegmenterSettings(width=8, levels=1),
            discriminator=MapDiscriminatorSettings(width=4, layers=1),
        ),
        batches=slices,
        poisoned=slices_with_a_nan,
    ),
    "boundaries": Example(
        settings=BoundarySettings(
            steps=STEPS,
            network=BoundaryNetworkSettings(width=2, section_pools=(2,)),
            dice_weight=0.5,
            average_decay=0.9,
        ),
        batches=bounded,
        poisoned=bounded_with_a_nan,
    ),
    "secgan": Example(
        settings=SecganSettings(
            steps=STEPS,
            segmentation="none",
            generator=ValidGeneratorSettings(depth=1, width=2, noise_channels=1),
            discriminator=VolumeDiscriminatorSettings(kind="residual", width=1),
            leg_noise=0.05,
            constant_fraction=0.5,
            average_decay=0.9,
        ),
        batches=two_stacks,
        poisoned=two_stacks_with_a_nan,
    ),
    "cyclegan": Example(
        settings=CycleGANSettings(
            steps=STEPS,
            generator=GeneratorSettings(width=2, blocks=1, normalization="none"),
            discriminator=DiscriminatorSettings(width=2, layers=1),
            body_mask=True,
            leg_noise=0.05,
            pool=2,
            average_decay=0.9,
            warm_start=WarmStart(steps=2, knots=((-1.0, 0.5), (1.0, -0.5)), ramp_steps=3, anchor_weight=1.0),
        ),
        batches=unpaired,
        poisoned=unpaired_with_a_nan,
    ),
    "classification": Example(
        settings=ClassificationSettings(steps=STEPS, width=2, stages=2, depth=1, average_decay=0.9),
        batches=labeled,
        poisoned=labeled_with_a_nan,
    ),
    "counterfactual": Example(
        settings=CounterfactualSettings(
            cyclegan=CycleGANSettings(
                spatial_dims=2,
                steps=STEPS,
                generator=GeneratorSettings(width=2, blocks=1, normalization="none", residual=True),
                discriminator=DiscriminatorSettings(width=2, layers=1),
                pool=2,
                average_decay=0.9,
            ),
            classifier_weight=0.0,
        ),
        batches=unpaired_planes,
        poisoned=unpaired_planes_with_a_nan,
    ),
}


def run(method: str, folder: Path, *, batches: Callable[[int, int], Any] | None = None, prefetch: bool = False) -> Any:
    """Train, or continue; on one thread, because the bits depend on their number."""
    torch.set_num_threads(1)
    example = EXAMPLES[method]
    return train(
        METHODS[method],
        example.settings,
        batches=batches or example.batches,
        folder=folder,
        loop=LoopSettings(steps=STEPS, save_every=SAVE_EVERY, observe_every=5, prefetch=prefetch),
        seed=21,
        form="fast",
    )


def main() -> None:
    """Train, and die without a word at the given step."""
    method, folder, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

    def deadly(step: int, attempt: int) -> Any:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return EXAMPLES[method].batches(step, attempt)

    run(method, folder, batches=deadly)


if __name__ == "__main__":
    main()
