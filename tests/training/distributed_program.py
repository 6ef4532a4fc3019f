"""What each of several processes does in the test of distributed training; started by torchrun with a folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from medgan.errors import DivergenceError, TrainingError
from medgan.methods.cyclegan import CYCLEGAN, CycleGANBatch, CycleGANSettings, DiscriminatorSettings, GeneratorSettings
from medgan.seeding import torch_generator
from medgan.training import checkpoint
from medgan.training.distributed import Replicas, joined_replicas, share_of, shared_out
from medgan.training.loop import LoopSettings, train

SETTINGS = CycleGANSettings(
    steps=6,
    generator=GeneratorSettings(width=4, blocks=1, normalization="instance"),
    discriminator=DiscriminatorSettings(width=4, layers=2),
    body_mask=True,
    pool=0,
)
NETWORKS = ("source_to_target", "target_to_source", "target_discriminator", "source_discriminator")
SAMPLES, SEED = 2, 21


def batches(step: int, attempt: int) -> CycleGANBatch:
    """Return two samples of each domain; a pure function."""
    generator = torch_generator(11, "batch", attempt, step)
    images = torch.rand(4, 1, 20, 18, 16, generator=generator) * 2 - 1
    bodies = torch.rand(4, 1, 20, 18, 16, generator=generator) > 0.2
    return CycleGANBatch(
        source=images[:2],
        target=images[2:],
        source_body=bodies[:2],
        target_body=bodies[2:],
        source_case_ids=(f"s0_{step}", f"s1_{step}"),
        target_case_ids=(f"t0_{step}", f"t1_{step}"),
    )


def poisoned(step: int, attempt: int) -> CycleGANBatch:
    """Let the second process's sample of the second step be no number."""
    batch = batches(step, attempt)
    if step == 2:
        batch.source[1] = float("nan")
    return batch


def gradients_of_a_step(batch: CycleGANBatch, replicas: Replicas) -> dict[str, torch.Tensor]:
    """Take one step from fresh weights and return the gradients that the optimizers used.

    In float64: a ReLU or an absolute value at its corner would turn the rounding of float32 into 1e-3 of a gradient.
    """
    state = CYCLEGAN.build(SETTINGS, seed=SEED)
    for name in NETWORKS:
        getattr(state, name).double()
    replicas.connect(state)
    batch = replace(batch, source=batch.source.double(), target=batch.target.double())
    CYCLEGAN.step(state, batch, SETTINGS, torch_generator(1))
    return {
        f"{name}.{key}": parameter.grad.clone()
        for name in NETWORKS
        for key, parameter in getattr(state, name).named_parameters()
    }


def trained(folder: Path, replicas: Replicas, drawn: Callable[[int, int], Any], *, pool: int = 2) -> Any:
    """Train to the last step, with a checkpoint every second."""
    return train(
        CYCLEGAN,
        replace(SETTINGS, pool=pool, leg_noise=0.05),
        batches=shared_out(drawn, replicas),
        folder=folder,
        loop=LoopSettings(steps=SETTINGS.steps, save_every=2, prefetch=True),
        seed=SEED,
        replicas=replicas,
    )


def stopped_at_five(step: int, attempt: int) -> CycleGANBatch:
    """Stop every process after its checkpoint of the fourth step."""
    if step == 5:
        raise InterruptedError
    return batches(step, attempt)


def main() -> None:
    """Do all of it and write down what this process has."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with joined_replicas() as replicas:
        found["gradients"] = gradients_of_a_step(share_of(batches(1, 0), replicas), replicas)
        found["whole"] = trained(folder / "whole", replicas, batches).state_dict()

        try:
            trained(folder / "halves", replicas, stopped_at_five)
        except InterruptedError:
            replicas.wait()
        if not replicas.leads:
            # As if this process had been killed while it saved.
            checkpoint.checkpoint_path(replicas.checkpoints_in(folder / "halves"), 4).unlink()
        replicas.wait()
        found["halves"] = trained(folder / "halves", replicas, batches).state_dict()

        try:
            trained(folder / "poisoned", replicas, poisoned)
        except DivergenceError as error:
            found["divergence"] = str(error)
        if replicas.leads:
            trained(folder / "alone", Replicas(), batches)
            try:
                trained(folder / "alone", replicas, batches)
            except TrainingError as error:
                found["other_number"] = str(error)
        torch.save(found, folder / f"process_{replicas.rank}.pt")


if __name__ == "__main__":
    main()
