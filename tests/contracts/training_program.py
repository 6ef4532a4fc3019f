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

from medgan.methods.cyclegan import (
    CycleGANBatch,
    CycleGANSettings,
    DiscriminatorSettings,
    GeneratorSettings,
    WarmStart,
)
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


# The pool of 2 is full after 2 adversarial steps, the rates fall from step 8 on.
EXAMPLES = {
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
    )
}


def run(method: str, folder: Path, *, batches: Callable[[int, int], Any] | None = None) -> Any:
    """Train, or continue; on one thread, because the bits depend on their number."""
    torch.set_num_threads(1)
    example = EXAMPLES[method]
    return train(
        METHODS[method],
        example.settings,
        batches=batches or example.batches,
        folder=folder,
        loop=LoopSettings(steps=STEPS, save_every=SAVE_EVERY, observe_every=5),
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
