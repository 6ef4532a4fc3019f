"""Candidates of a SECGAN training and the choice among them, by the round trip of labeled validation data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from medgan.commands.em_data import KnownStack
    from medgan.commands.secgan_settings import SecganExperiment
    from medgan.commands.train_secgan_segmenter import FrozenSegmenter
    from medgan.methods.secgan import SecganState

Score = Callable[["SecganState"], dict[str, float]]
"""What a state is worth, under ``score`` (lower is better), with what it was made of."""


class CandidateObserver:
    """Keep the generators' weights with their score at every n-th step and at the last; a repeated step is kept once.

    Notes
    -----
    The paper does not say how its checkpoints were chosen. The 8-bit rounding between the legs does not reward codes
    that are hidden in values too small to be seen.
    """

    def __init__(self, folder: Path, *, every: int, steps: int, score: Score) -> None:
        self._folder, self._every, self._steps, self._score = folder, every, steps, score

    def __call__(self, seen: Any) -> None:
        """Score the state of an observation, where it is time."""
        if seen.step % self._every and seen.step != self._steps:
            return
        from safetensors.torch import save

        name = f"attempt_{seen.attempt:02d}_step_{seen.step:07d}"
        weights = seen.state.generator_weights("unlabeled_to_labeled")
        facts = {"attempt": seen.attempt, "step": seen.step, **self._score(seen.state)}
        data = save({key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()})
        for file, content in ((f"{name}.safetensors", data), (f"{name}.json", (json.dumps(facts) + "\n").encode())):
            temporary = self._folder / f".{file}"
            temporary.write_bytes(content)
            temporary.replace(self._folder / file)


def chosen_candidate(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]] | None:
    """Return the candidate of the last attempt with the lowest score, and its weights; None where there is none.

    Of equal scores the later step wins.
    """
    from safetensors.torch import load

    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("attempt_*.json"))]
    if not found:
        return None
    last = max(each["attempt"] for each in found)
    ones = [each for each in found if each["attempt"] == last]
    best = min(ones, key=lambda each: (each["score"], -each["step"]))
    name = f"attempt_{best['attempt']:02d}_step_{best['step']:07d}.safetensors"
    return best, load((folder / name).read_bytes())


def stack_score(
    experiment: SecganExperiment, segmenter: FrozenSegmenter, known: KnownStack, *, device: str, tile: Any, halo: Any
) -> Score:
    """Return what scores a state by the instances of a labeled stack after the round trip."""
    from dataclasses import replace

    import numpy as np

    from medgan.commands.train_boundaries import central_box
    from medgan.evaluation.instances import instance_scores, overlaps
    from medgan.inference.tilewise import run_tilewise
    from medgan.inference.watershed import instances_of
    from medgan.patches.em_sampler import denormalized
    from medgan.volume import Volume

    facts, extent = segmenter.bundle.facts, experiment.selection.extent_zyx[::-1]  # type: ignore[union-attr]
    box = central_box(known.image.grid.shape, extent)
    original, truth = known.image.read(box), known.instances.read(box).array

    def segmented(volume: Volume) -> dict[str, float]:
        probabilities = run_tilewise(
            segmenter.module,
            volume,
            volume.grid.box,
            tile=facts.tile,
            halo=facts.halo,
            input_range=facts.input_range,
            device=device,
        )
        spacing = volume.grid.spacing
        labels = instances_of(probabilities, offsets=facts.offsets, spacing=spacing, settings=facts.watershed)
        return instance_scores(overlaps(result=labels, reference=truth)).as_dict()

    def score(state: SecganState) -> dict[str, float]:
        image: Volume = original
        for name in ("labeled_to_unlabeled", "unlabeled_to_labeled"):
            network = generator_of(state, name)
            values = run_tilewise(
                network, image, image.grid.box, tile=tile, halo=halo, input_range=experiment.input_range, device=device
            )
            array = denormalized(values[0], experiment.input_range, np.dtype(np.uint8))
            image = replace(image, array=array)
        found = segmented(image)
        return {
            "score": found["voi"],
            "voi_split": found["voi_split"],
            "voi_merge": found["voi_merge"],
            "adapted_rand_error": found["adapted_rand_error"],
            "cycle_difference": float(np.abs(image.array.astype(np.float32) - original.array).mean()),
        }

    return score


def volume_score(segmenter: FrozenSegmenter, patches: torch.Tensor) -> Score:
    """Return what scores a state by what the segmenter finds in labeled patches before and after the round trip.

    Parameters
    ----------
    segmenter : FrozenSegmenter
    patches : Tensor
        (n, 1, I, J, K) of the labeled domain.
    """
    import torch

    from medgan.methods.cyclegan_terms import quantized
    from medgan.networks.valid_residual_generator import center

    @torch.no_grad()
    def score(state: SecganState) -> dict[str, float]:
        there, back = (generator_of(state, name) for name in ("labeled_to_unlabeled", "unlabeled_to_labeled"))
        device = next(there.parameters()).device
        common = total = 0.0
        for patch in patches.to(device).split(1):
            returned = back(quantized(there(patch)))
            before = segmenter.module(center(patch, like=returned)) > 0.5
            after = segmenter.module(returned) > 0.5
            common += float((before & after).sum())
            total += float(before.sum() + after.sum())
        dice = 2 * common / total if total else 1.0
        return {"score": 1 - dice, "dice": dice}

    return score


def generator_of(state: SecganState, name: str) -> torch.nn.Module:
    """Return a copy of a generator with the weights that would be used: averaged where the training averages."""
    from copy import deepcopy

    network = deepcopy(getattr(state, name))
    network.load_state_dict(state.generator_weights(name))
    return network.eval()
