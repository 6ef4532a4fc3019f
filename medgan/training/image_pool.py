"""A pool of earlier translations, so that a discriminator does not only see the latest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from medgan.errors import TrainingError


class ImagePool:
    """Keep up to ``capacity`` translated images and hand out a mixture of new and old ones.

    Parameters
    ----------
    capacity : int
        Images kept; 0 passes every image through.

    Notes
    -----
    Shrivastava et al. 2017 (arXiv 1612.07828), as in the CycleGAN authors' code: while the pool fills, the new image is
    stored and returned; afterwards with probability 1/2 a stored image is returned and replaced by the new one, else
    the new one is returned and not stored.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 0:
            raise TrainingError(f"An image pool needs a capacity of at least 0: found {capacity}.")
        self.capacity = capacity
        self._images: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._images)

    def query(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Offer new images and return as many, some of them old.

        Parameters
        ----------
        images : Tensor
            (N, C, ...). Only values are kept: nothing that is returned carries a gradient.
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        Tensor
            (N, C, ...), on the device of ``images``.

        Raises
        ------
        TrainingError
            If stored and new images differ in shape.
        """
        if self.capacity == 0:
            return images.detach()
        return torch.cat([self._exchange(image, generator) for image in images.detach().split(1)])

    def _exchange(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if self._images and self._images[0].shape != image.shape:
            raise TrainingError(
                f"All images of a pool need one shape: found {tuple(image.shape)} after "
                f"{tuple(self._images[0].shape)}. Train on patches of one size, or with a pool of capacity 0."
            )
        if len(self._images) < self.capacity:
            self._images.append(image.clone())
            return image
        if torch.rand((), generator=generator) < 0.5:
            return image
        place = int(torch.randint(self.capacity, (), generator=generator))
        earlier, self._images[place] = self._images[place], image.clone()
        return earlier.to(image.device)

    def state_dict(self) -> dict[str, Any]:
        """Return the stored images; loading them elsewhere continues exactly."""
        return {"capacity": self.capacity, "images": list(self._images)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the stored images.

        Raises
        ------
        TrainingError
            If the state was saved from a pool of another capacity.
        """
        if state["capacity"] != self.capacity:
            raise TrainingError(f"A pool of capacity {self.capacity} cannot continue one of {state['capacity']}.")
        self._images = list(state["images"])
