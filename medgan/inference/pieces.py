"""The pieces of a prepared image that a network sees, on the device where it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medgan.geometry import Box
from medgan.volume import LabelMap, Quantity, Volume

Pieces = Callable[[Box], tuple[Tensor, Tensor]]
"""Gives image and body of a box, both (1, 1, I, J, K) float32; beyond the image they are -1 and 0."""
Progress = Callable[[int, int], None]
"""Called with patches done and patches in all."""


def pieces_for(image: Volume, body: LabelMap, patch: tuple[int, int, int], device: torch.device) -> Pieces:
    """Return how pieces come to a device: on the CPU one by one, elsewhere out of one copy of the whole image there.

    Parameters
    ----------
    image : Volume
        Normalized.
    body : LabelMap
        On its grid.
    patch : (I, J, K)
        Pieces reach as far beyond an image that is shorter than that.
    device : torch.device
    """
    if device.type == "cpu":
        return lambda box: piece_of(image, body, box)
    return pieces_on_device(image, body, patch, device)


def piece_of(image: Volume, body: LabelMap, box: Box) -> tuple[Tensor, Tensor]:
    """Return image and body of a box, copied, in the memory of the CPU."""
    pixels = torch.from_numpy(np.array(image.read(box).array, dtype=np.float32, order="C"))
    inside = torch.from_numpy(body.read(box).array.astype(np.float32, order="C"))
    return pixels[None, None], inside[None, None]


def pieces_on_device(image: Volume, body: LabelMap, patch: tuple[int, int, int], device: torch.device) -> Pieces:
    """Copy an image and its body to a device once, out of page-locked memory, and cut the pieces there.

    Notes
    -----
    Five bytes a voxel. A piece costs no transfer, so the loop over patches never waits for the device.
    """
    shape = [max(pair) for pair in zip(image.shape, patch)]
    there = tuple(map(slice, image.shape))
    is_locked = device.type == "cuda"
    pixels = torch.full(shape, Quantity.NORMALIZED.outside, dtype=torch.float32, pin_memory=is_locked)
    inside = torch.zeros(shape, dtype=torch.uint8, pin_memory=is_locked)
    pixels.numpy()[there] = image.array
    inside.numpy()[there] = body.array != 0
    pixels, inside = (each.to(device, non_blocking=True) for each in (pixels, inside))
    return lambda box: (pixels[box.slices][None, None].contiguous(), inside[box.slices][None, None].float())


class DeviceProgress:
    """Tell how many patches a device has finished, without waiting for it.

    Parameters
    ----------
    progress : callable or None
    total : int
        Patches in all.
    device : torch.device
        A CUDA device says by events how far it is; elsewhere a patch is done when the call returns.
    """

    def __init__(self, progress: Progress | None, total: int, device: torch.device) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self._on_cuda = device.type == "cuda"
        self._queued: deque[Any] = deque()

    def queued(self) -> None:
        """One more patch was given to the device."""
        if self._progress is None:
            return
        self._queued.append(self._event())
        before = self._done
        while self._queued and (self._queued[0] is None or self._queued[0].query()):
            self._queued.popleft()
            self._done += 1
        if self._done > before:
            self._progress(self._done, self._total)

    def finished(self) -> None:
        """All patches are done."""
        if self._progress is not None and self._done < self._total:
            self._done = self._total
            self._progress(self._total, self._total)

    def _event(self) -> Any:
        if not self._on_cuda:
            return None
        event = torch.cuda.Event()
        event.record()
        return event
