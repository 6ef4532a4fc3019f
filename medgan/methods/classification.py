"""Classification by cross-entropy: which class does an image show?

``L = mean_n w_(y_n) (-log softmax(f(x_n))_(y_n))`` with optional weights of the classes and label smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgan.methods.classification_settings import ClassificationSettings
from medgan.networks.classifier import CLASSIFIERS, initialize_classifier
from medgan.seeding import torch_generator
from medgan.training.exponential_average import ExponentialAverage
from medgan.training.loop import Method
from medgan.training.parts import load_parts, saved_parts
from medgan.training.precision import autocast
from medgan.training.schedule import rate_multiplier


@dataclass(frozen=True, kw_only=True)
class ClassificationBatch:
    """Images with the number of their class.

    Parameters
    ----------
    image : Tensor
        (N, C, I, J[, K]), values in [-1, 1].
    label : Tensor
        (N,) int64.
    case_ids : tuple of str
        Pseudonyms, for messages.
    """

    image: Tensor
    label: Tensor
    case_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClassificationLosses:
    """The numbers of one step: the loss, and the share of the batch that was called right before the update."""

    cross_entropy: float
    accuracy: float

    def as_dict(self) -> dict[str, float]:
        """Return both by name, and ``total``."""
        return {"total": self.cross_entropy, "cross_entropy": self.cross_entropy, "accuracy": self.accuracy}


@dataclass(kw_only=True)
class ClassificationState:
    """Everything that changes while a classifier trains."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: ExponentialAverage | None
    step: int = 0

    def weights(self) -> dict[str, Tensor]:
        """Return the averaged weights, or the current ones where none are averaged."""
        return self.average.weights() if self.average is not None else dict(self.network.state_dict())

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"network": self.network, "optimizer": self.optimizer}
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
        self.step = load_parts(self._parts(), state, owner="classifier")


def build(
    settings: ClassificationSettings, *, seed: int, device: torch.device | str = "cpu", form: str = "plain"
) -> ClassificationState:
    """Return a classifier with first weights drawn from ``seed``, and what trains it; it has one form only."""
    network = CLASSIFIERS[settings.network](**settings.network_settings)
    initialize_classifier(network, torch_generator(seed, "classifier"))
    network.to(device)
    return ClassificationState(
        network=network,
        optimizer=torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay),
        average=None if settings.average_decay is None else ExponentialAverage(network, decay=settings.average_decay),
    )


def step(
    state: ClassificationState,
    batch: ClassificationBatch,
    settings: ClassificationSettings,
    generator: torch.Generator,
    *,
    precision: str = "float32",
) -> ClassificationLosses:
    """Train on one batch.

    Parameters
    ----------
    state : ClassificationState
        Changed in place; ``state.step`` counts up by one.
    batch : ClassificationBatch
    settings : ClassificationSettings
        Those the state was built with.
    generator : torch.Generator
        Not used: nothing is drawn here.
    precision : str
        ``"float32"`` or ``"bfloat16"`` forward passes; loss and weights are float32 always.
    """
    device = next(state.network.parameters()).device
    rate = settings.rate * rate_multiplier(
        state.step, steps=settings.steps, constant_fraction=settings.constant_fraction
    )
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    image, label = batch.image.to(device), batch.label.to(device)
    weights = None if settings.class_weights is None else torch.tensor(settings.class_weights, device=device)
    state.network.train()
    with autocast(precision, device):
        logits = state.network(image).float()
    loss = F.cross_entropy(logits, label, weight=weights, label_smoothing=settings.label_smoothing)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    state.optimizer.step()
    if state.average is not None:
        state.average.update(state.network)
    state.step += 1
    right = (logits.detach().argmax(1) == label).float().mean()
    return ClassificationLosses(cross_entropy=float(loss.detach()), accuracy=float(right))


CLASSIFICATION: Method[ClassificationState, ClassificationBatch, ClassificationSettings] = Method(
    build=build, step=step
)
