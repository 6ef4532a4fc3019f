"""Which checkpoint becomes the model: one rule for all arms, on validation subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.patches.slices import LabeledStudy

RULE = (
    "of the checkpoints after the step at which adversarial terms begin (in every arm alike), the one with the highest "
    "mean Dice of the focus class over validation slices that hold it; of equals the later"
)


@dataclass(frozen=True, eq=False)
class Choice:
    """The chosen checkpoint.

    Attributes
    ----------
    step : int
    scores : dict of step to mean Dice on validation slices
    weights : dict of str to tensor
        Of the segmenter.
    probabilities : list of (classes, I, J, K) float32
        Of the validation studies by these weights, without temperature.
    rule : str
    """

    step: int
    scores: dict[int, float]
    weights: dict[str, Any]
    probabilities: list[npt.NDArray[np.float32]]
    rule: str = RULE


def chosen_checkpoint(
    folder: Path, studies: Sequence[LabeledStudy], experiment: SegmentationExperiment, *, console: Console
) -> Choice:
    """Return the best checkpoint of a finished training by :data:`RULE`."""
    from medgan.inference.segmenter import segmented
    from medgan.methods.adversarial_segmentation import segmenter_of
    from medgan.networks.form import preferred_form
    from medgan.training import checkpoint

    settings = experiment.method_settings()
    first, every = settings.first_adversarial_step, experiment.rhythm.choose_every
    steps = [s for s in checkpoint.saved_steps(folder) if s > first and (s % every == 0 or s == settings.steps)]
    network = segmenter_of(settings, form=preferred_form("cpu", "float32")).eval()
    best: Choice | None = None
    scores: dict[int, float] = {}
    with console.progress("choosing the checkpoint") as advance:
        for done, step in enumerate(steps, start=1):
            weights = checkpoint.load(checkpoint.checkpoint_path(folder, step))["state"]["segmenter"]
            network.load_state_dict(weights)
            found = [
                segmented(
                    network, study.channels, neighbors=experiment.sampling.neighbors, depth=experiment.sampling.depth
                )
                for study in studies
            ]
            scores[step] = mean_slice_dice(found, studies, settings.focus_class)
            if best is None or scores[step] >= best.scores[best.step]:
                best = Choice(step, scores, weights, found)
            advance(done, len(steps))
    if best is None:
        from medgan.errors import TrainingError

        raise TrainingError(f"No checkpoint was kept after step {first}: there is nothing to choose from.")
    return best


def mean_slice_dice(
    probabilities: Sequence[npt.NDArray[np.float32]], studies: Sequence[LabeledStudy], focus_class: int
) -> float:
    """Return the mean Dice of the most probable class over all slices that hold the focus class."""
    from medgan.evaluation.overlap import dice

    values = []
    for found, study in zip(probabilities, studies):
        result, reference = found.argmax(axis=0) == focus_class, study.labels == focus_class
        for k in np.flatnonzero(reference.any(axis=(0, 1))):
            values.append(dice(result=result[..., k], reference=reference[..., k]) or 0.0)
    return float(np.mean(values)) if values else 0.0
