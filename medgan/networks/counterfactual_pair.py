"""Both directions of an unpaired translation as one network, so that one bundle holds them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from medgan.errors import NetworkError
from medgan.networks.residual_generator import ResidualGenerator


class CounterfactualPair(nn.Module):
    """The two generators of a CycleGAN between two classes.

    Parameters
    ----------
    generator : dict
        Arguments of :class:`~medgan.networks.residual_generator.ResidualGenerator`, the same for both.
    """

    def __init__(self, **generator: Any) -> None:
        super().__init__()
        self.source_to_target = ResidualGenerator(**generator)
        self.target_to_source = ResidualGenerator(**generator)

    def toward(self, class_index: int) -> ResidualGenerator:
        """Return the generator that makes images of class 0 (source) or 1 (target).

        Raises
        ------
        NetworkError
            For another number.
        """
        if class_index not in (0, 1):
            raise NetworkError(f"A pair translates toward class 0 or class 1: found {class_index!r}.")
        return self.source_to_target if class_index else self.target_to_source

    def forward(self, image: Tensor) -> Tensor:
        """Translate there and back: (N, 1, I, J) to (N, 1, I, J); what a trial run of the bundle calls."""
        return self.target_to_source(self.source_to_target(image))
