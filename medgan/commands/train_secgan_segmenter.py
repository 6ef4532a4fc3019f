"""The frozen segmenter of a SECGAN training: any bundle that maps a patch to probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.errors import BundleError, InferenceError

if TYPE_CHECKING:
    import torch

    from medgan.commands.em_data import EmStudy
    from medgan.commands.secgan_settings import SecganExperiment
    from medgan.inference.bundle import ModelBundle


@dataclass(frozen=True, eq=False)
class FrozenSegmenter:
    """A segmenter with what it is.

    Parameters
    ----------
    module : Module
        (N, 1, I, J, K) in [-1, 1] to probabilities (N, channels, I, J, K); never trained.
    channels : int
    bundle : ModelBundle
    """

    module: torch.nn.Module
    channels: int
    bundle: ModelBundle[Any]


def frozen_segmenter(
    experiment: SecganExperiment, config: Path, *, device: str, precision: str
) -> FrozenSegmenter | None:
    """Return the segmenter that a configuration names, on a device; None where it names none.

    Raises
    ------
    BundleError
        If there is none, or it is a model for something else.
    """
    from medgan.inference.bundle import find_bundle
    from medgan.methods.boundary_segmentation import ProbabilitySegmenter
    from medgan.networks.form import preferred_form

    if experiment.segmenter is None:
        return None
    place = Path(experiment.segmenter).expanduser()
    folder = place if place.is_absolute() else config.parent / place
    bundle = find_bundle(str(folder) if folder.is_dir() else experiment.segmenter)
    channels_of: dict[str, Callable[[Any], int]] = {"boundaries": lambda facts: facts.channels, "tissue": lambda _: 1}
    if bundle.facts.task not in channels_of:
        raise BundleError(
            f"A segmenter of SECGAN is a model for {' or '.join(channels_of)}: {bundle.facts.name} is for "
            f"{bundle.facts.task}."
        )
    network: Any = bundle.network()
    network.set_form(preferred_form(device, precision))
    module = ProbabilitySegmenter(network.to(device)).eval().requires_grad_(False)
    return FrozenSegmenter(module, channels_of[bundle.facts.task](bundle.facts), bundle)


def require_stack_segmenter(segmenter: FrozenSegmenter, experiment: SecganExperiment, study: EmStudy) -> None:
    """Refuse a segmenter that was not trained on the labeled stacks' voxels and range of values.

    Raises
    ------
    InferenceError
    """
    from medgan.inference.contrast_facts import fits_segmenter

    facts = segmenter.bundle.facts
    if facts.task != "boundaries":
        raise InferenceError(f"Stacks need a segmenter of boundaries: {facts.name} is for {facts.task}.")
    fits_segmenter(facts, voxel_size_zyx_nm=study.voxel_size_zyx_nm, input_range=experiment.input_range)


def require_tissue_segmenter(segmenter: FrozenSegmenter, *, domain: str, knots: Any, spacing_mm: Any) -> None:
    """Refuse a segmenter whose input is prepared in another way than the labeled domain of the training.

    Raises
    ------
    InferenceError
    """
    import numpy as np

    facts = segmenter.bundle.facts
    if facts.task != "tissue":
        raise InferenceError(f"Volumes need a segmenter of a tissue: {facts.name} is for {facts.task}.")
    if facts.domain != domain:
        raise InferenceError(f"The segmenter {facts.name} takes {facts.domain}: the labeled domain is {domain}.")
    if np.shape(facts.knots) != np.shape(knots) or not np.allclose(facts.knots, knots):
        raise InferenceError(
            f"The segmenter {facts.name} takes values mapped by {facts.knots}: this training maps them by {knots}. "
            "Use one intensity stage for both."
        )
    if not np.allclose(facts.spacing_mm, spacing_mm, rtol=0.1):
        raise InferenceError(
            f"The segmenter {facts.name} was trained on voxels of {facts.spacing_mm} mm: found {spacing_mm} mm here."
        )
