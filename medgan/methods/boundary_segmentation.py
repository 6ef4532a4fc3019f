"""A segmenter of boundaries between instances, or of affinities, trained on labels.

Boundaries: a voxel is one if a neighbor belongs to another instance. Affinities: for each of some offsets, whether the
voxel and its neighbor there belong together (Turaga et al. 2010, doi 10.1162/neco.2009.10-08-881; long ranges as in Lee
et al. 2017, arXiv 1706.00120). Weighted cross-entropy over the voxels that count, and optionally soft Dice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.errors import TrainingError
from medgan.methods.boundary_segmentation_settings import BoundaryNetworkSettings, BoundarySettings
from medgan.methods.cyclegan import adam, descend, set_rate
from medgan.networks.boundary_unet import BoundaryUNet
from medgan.networks.form import checked_form
from medgan.networks.initialization import initialize
from medgan.seeding import torch_generator
from medgan.training.exponential_average import ExponentialAverage
from medgan.training.loop import Method
from medgan.training.parts import load_parts, saved_parts
from medgan.training.precision import autocast
from medgan.training.schedule import rate_multiplier


@dataclass(frozen=True, kw_only=True)
class BoundaryBatch:
    """Images with what is to be learned of them.

    Parameters
    ----------
    image : Tensor
        (N, 1, I, J, K), values in [-1, 1].
    target : Tensor
        (N, C, I, J, K), 0 or 1.
    counted : Tensor
        (N, C, I, J, K), 1 where the target is known, else 0.
    case_ids : tuple of str
        For messages.
    """

    image: Tensor
    target: Tensor
    counted: Tensor
    case_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BoundaryLosses:
    """The numbers of one step, before the update."""

    cross_entropy: float
    dice: float | None = None

    @property
    def total(self) -> float:
        """Their sum."""
        return self.cross_entropy + (self.dice or 0.0)

    def as_dict(self) -> dict[str, float]:
        """Return all terms by name, and ``total``."""
        terms = {"total": self.total, "cross_entropy": self.cross_entropy}
        return terms if self.dice is None else {**terms, "dice": self.dice}


@dataclass(kw_only=True)
class BoundaryState:
    """Everything that changes while a segmenter trains."""

    segmenter: BoundaryUNet
    optimizer: torch.optim.Optimizer
    average: ExponentialAverage | None
    step: int = 0

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to use: averaged where the training averages."""
        return dict(self.average.weights() if self.average is not None else self.segmenter.state_dict())

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"segmenter": self.segmenter, "optimizer": self.optimizer}
        return parts if self.average is None else {**parts, "average": self.average}

    def state_dict(self) -> dict[str, Any]:
        """Return all of it as tensors, numbers, lists and dicts."""
        return saved_parts(self.step, self._parts())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace all of it.

        Raises
        ------
        TrainingError
            If the state was saved with other settings, so that parts are missing or new.
        """
        self.step = load_parts(self._parts(), state, owner="segmenter")


class ProbabilitySegmenter(nn.Module):
    """A network whose logits become probabilities: what a SECGAN takes as its segmenter."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities (N, C, I, J, K) of an image (N, 1, I, J, K)."""
        return torch.sigmoid(self.network(image))


def build(
    settings: BoundarySettings, *, seed: int, device: torch.device | str = "cpu", form: str = "plain"
) -> BoundaryState:
    """Return a network with first weights drawn from ``seed``, and what trains it."""
    network = BoundaryUNet(
        out_channels=settings.out_channels,
        width=settings.network.width,
        section_pools=settings.network.section_pools,
        section_kernels=settings.network.section_kernels,
        form=checked_form(form),
    )
    initialize(network, torch_generator(seed, "segmenter"))
    network.to(device)
    average = None
    if settings.average_decay is not None:
        average = ExponentialAverage(network, decay=settings.average_decay)
    return BoundaryState(segmenter=network, optimizer=adam([network], settings.rate, settings.betas), average=average)


def step(
    state: BoundaryState,
    batch: BoundaryBatch,
    settings: BoundarySettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
) -> BoundaryLosses:
    """Train the network on one batch; ``state`` is changed in place and counts up by one.

    Raises
    ------
    TrainingError
        If the batch has other channels than the network, or no voxel that counts.
    """
    device = next(state.segmenter.parameters()).device
    image, target, counted = (part.to(device) for part in (batch.image, batch.target, batch.counted))
    if target.shape[1] != settings.out_channels or target.shape != counted.shape:
        raise TrainingError(
            f"This segmenter has {settings.out_channels} channels: found targets of shape {tuple(target.shape)} and "
            f"counts of shape {tuple(counted.shape)}."
        )
    multiplier = rate_multiplier(state.step, steps=settings.steps, constant_fraction=settings.constant_fraction)
    set_rate(state.optimizer, settings.rate * multiplier)
    with autocast(precision, device):
        logits = state.segmenter(image)
    entropy = weighted_cross_entropy(logits, target, counted, positive_weight=settings.positive_weight)
    dice = settings.dice_weight * dice_distance(logits, target, counted) if settings.dice_weight else None
    descend(state.optimizer, entropy if dice is None else entropy + dice)
    if state.average is not None:
        state.average.update(state.segmenter)
    state.step += 1
    return BoundaryLosses(cross_entropy=float(entropy.detach()), dice=None if dice is None else float(dice.detach()))


def weighted_cross_entropy(logits: Tensor, target: Tensor, counted: Tensor, *, positive_weight: float) -> Tensor:
    """Return the mean binary cross-entropy over the voxels that count, those of target 1 weighted."""
    weights = counted * (1.0 + (positive_weight - 1.0) * target)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weights, reduction="sum")
    return entropy / weights.sum().clamp_min(1.0)


def dice_distance(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Return ``1 - (2 sum p t + 1) / (sum p + sum t + 1)`` over the voxels that count."""
    probability = torch.sigmoid(logits) * counted
    common = 2.0 * (probability * target).sum() + 1.0
    return 1.0 - common / (probability.sum() + (target * counted).sum() + 1.0)


BOUNDARIES: Method[BoundaryState, BoundaryBatch, BoundarySettings] = Method(build=build, step=step)

__all__ = [
    "BOUNDARIES",
    "BoundaryBatch",
    "BoundaryLosses",
    "BoundaryNetworkSettings",
    "BoundarySettings",
    "BoundaryState",
    "ProbabilitySegmenter",
    "build",
    "step",
]
