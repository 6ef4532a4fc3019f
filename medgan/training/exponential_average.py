"""A moving average of a network's weights, which is often better than the last weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from medgan.errors import TrainingError


class ExponentialAverage:
    """Average the weights of a network over the steps of its training.

    Parameters
    ----------
    network : Module
        Its weights at this moment are the first average.
    decay : float
        In [0, 1): the weight of the past; 0.999 averages over about a thousand steps.

    Notes
    -----
    ``average = d average + (1 - d) weights`` with ``d = min(decay, (1 + n) / (10 + n))`` after ``n`` updates, so that
    the random first weights are soon forgotten (the warm-up of TensorFlow's ExponentialMovingAverage).
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise TrainingError(f"The decay of an average needs to be in [0, 1): found {decay}.")
        self.decay = decay
        self._updates = 0
        self._average: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the network's weights of this step into the average."""
        decay = min(self.decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, value in network.state_dict().items():
            average = self._average[name]
            if average.is_floating_point():
                average.lerp_(value, 1.0 - decay)
            else:
                average.copy_(value)

    def weights(self) -> dict[str, Tensor]:
        """Return the averaged weights, as the network's ``load_state_dict`` takes them."""
        return {name: value.clone() for name, value in self._average.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return averages and the number of updates."""
        return {"updates": self._updates, "average": dict(self._average)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace averages and the number of updates.

        Raises
        ------
        TrainingError
            If the state holds other weights than the network had.
        """
        if state["average"].keys() != self._average.keys():
            raise TrainingError("The saved average belongs to another network: its weights have other names.")
        self._updates = state["updates"]
        for name, value in state["average"].items():
            self._average[name].copy_(value)
