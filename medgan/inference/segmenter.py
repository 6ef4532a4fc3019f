"""Run a segmentation model over a prepared study, slice by slice, and bring the result back to the image's own grid."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from medgan.cohort import Case
from medgan.geometry import Grid
from medgan.inference.bundle import ModelBundle
from medgan.inference.pieces import Progress
from medgan.inference.segmentation_facts import SegmentationFacts, class_names
from medgan.inference.segmenter_channels import prepared_channels, stacked
from medgan.networks.form import preferred_form
from medgan.patches.slices import slab
from medgan.training.precision import autocast
from medgan.volume import LabelMap, Quantity, Volume
from medgan.volume.resample import resample

Float32 = npt.NDArray[np.float32]

SLICES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a model made of a study.

    Attributes
    ----------
    prepared : Case
        The channels as the network saw them, on the working grid.
    probabilities : (classes, I, J, K) float32
        On the working grid, after the temperature; they sum to 1.
    entropy : (I, J, K) float32
        Of the probabilities averaged over flips, in nats.
    seconds : dict of str to float
    """

    prepared: Case
    probabilities: Float32
    entropy: Float32
    seconds: dict[str, float]

    @property
    def grid(self) -> Grid:
        """The working grid."""
        return next(iter(self.prepared.images.values())).grid


class Segmenter:
    """A model ready to label voxels.

    Parameters
    ----------
    bundle : ModelBundle
        Of the task ``segmentation``.
    device : str
    precision : {"float32", "bfloat16"}
    flips : bool
        Average the probabilities of every slice and its mirror image (left and right).

    Raises
    ------
    BundleError
        If the bundle's network cannot be built.

    Notes
    -----
    Memory beyond the study and its probabilities is that of 8 slices. On the CPU the same input gives the same bits at
    one number of threads.
    """

    def __init__(
        self,
        bundle: ModelBundle[SegmentationFacts],
        *,
        device: str = "cpu",
        precision: str = "float32",
        flips: bool = True,
    ) -> None:
        self.bundle = bundle
        self._device = torch.device(device)
        self._precision = precision
        self._flips = flips
        network: Any = bundle.network()
        network.set_form(preferred_form(self._device, precision))
        self._network = network.to(self._device)

    def segment(self, case: Case, *, progress: Progress | None = None) -> Segmentation:
        """Segment a study of which each channel lies on its own grid.

        Raises
        ------
        InferenceError
            If a channel is missing or does not fit, see
            :func:`medgan.inference.segmenter_channels.prepared_channels`.
        """
        facts = self.bundle.facts
        begun = time.perf_counter()
        prepared = prepared_channels(
            case, channels=facts.channels, working=facts.working, allows_missing=facts.allows_missing
        )
        return self.segment_prepared(prepared, begun=begun, progress=progress)

    def segment_prepared(
        self, prepared: Case, *, begun: float | None = None, progress: Progress | None = None
    ) -> Segmentation:
        """Segment a study whose channels are on the working grid already."""
        facts = self.bundle.facts
        ready = time.perf_counter()
        probabilities = segmented(
            self._network,
            stacked(prepared, facts.channels),
            neighbors=facts.neighbors,
            depth=facts.depth,
            temperature=facts.temperature,
            flips=self._flips,
            device=self._device,
            precision=self._precision,
            progress=progress,
        )
        entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=0)
        seconds = {"prepare": round(ready - (begun or ready), 3), "network": round(time.perf_counter() - ready, 3)}
        return Segmentation(prepared, probabilities, np.asarray(entropy, np.float32), seconds)


@torch.inference_mode()
def segmented(
    network: torch.nn.Module,
    channels: Float32,
    *,
    neighbors: int = 0,
    depth: int | None = None,
    temperature: float = 1.0,
    flips: bool = False,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: Progress | None = None,
) -> Float32:
    """Return the class probabilities (classes, I, J, K) of channels (C, I, J, K) in [-1, 1].

    Parameters
    ----------
    network : module
        Takes (N, C, I, J) with neighbor slices as channels, or (N, C, I, J, depth); gives logits.
    neighbors, depth
        As in training.
    temperature : float
        Divides the logits.
    flips : bool
        Average over the image and its mirror image along the first axis.
    device, precision, progress

    Notes
    -----
    Slabs of a 3-D network lie side by side, the last pulled back to end with the stack; a stack shorter than a slab
    repeats its last slice.
    """
    device = torch.device(device)
    result: Float32 | None = None
    count = channels.shape[-1]
    for places, batch in _batches(channels, neighbors, depth):
        given = torch.from_numpy(batch).to(device)
        with autocast(precision, device):
            logits = network(given)
            mirrored = network(given.flip(2)).flip(2) if flips else logits
        found = torch.softmax(logits.float() / temperature, dim=1)
        if flips:
            found = (found + torch.softmax(mirrored.float() / temperature, dim=1)) / 2
        values = found.cpu().numpy()
        if result is None:
            result = np.empty((values.shape[1], *channels.shape[1:]), np.float32)
        if depth is None:
            result[..., places] = values.transpose(1, 2, 3, 0)
        else:
            result[..., places] = values[0][..., : len(places)]
        if progress is not None:
            progress(int(places[-1]) + 1, count)
    if result is None:
        raise ValueError("A study needs at least one slice.")
    return result


def _batches(channels: Float32, neighbors: int, depth: int | None) -> Iterator[tuple[npt.NDArray[np.int_], Float32]]:
    count = channels.shape[-1]
    if depth is None:
        for start in range(0, count, SLICES_AT_ONCE):
            places = np.arange(start, min(start + SLICES_AT_ONCE, count))
            yield places, np.stack([slab(channels, int(k), neighbors=neighbors) for k in places])
        return
    for start in range(0, count, depth):
        first = max(min(start, count - depth), 0)
        places = np.arange(first, min(first + depth, count))
        slices = np.clip(np.arange(first, first + depth), 0, count - 1)
        yield places, np.ascontiguousarray(channels[..., slices])[None]


def on_grid(probabilities: Float32, working: Grid, grid: Grid, facts: SegmentationFacts) -> tuple[LabelMap, Volume]:
    """Return the label map and the focus class's probability on another grid.

    Parameters
    ----------
    probabilities : (classes, I, J, K) float32
    working : Grid
        Where they lie.
    grid : Grid
        That of the image.
    facts : SegmentationFacts

    Returns
    -------
    LabelMap, Volume
        The class of the highest probability, interpolated linearly class by class; 0 outside the working field. The
        probability of the focus class (PROBABILITY).

    Notes
    -----
    One class at a time: memory is that of three images, whatever the number of classes.
    """
    best = np.full(grid.shape, -1.0, np.float32)
    labels = np.zeros(grid.shape, np.uint8)
    focus: Volume | None = None
    for number in range(len(facts.classes)):
        moved = resample(Volume(probabilities[number], working, Quantity.PROBABILITY), grid)
        higher = moved.array > best
        labels[higher] = number
        np.maximum(best, moved.array, out=best)
        if number == facts.focus_class:
            focus = moved
    labels[best <= 0] = 0
    if focus is None:
        raise ValueError("The focus class must be one of the classes.")
    return LabelMap(labels, grid, class_names(facts)), focus
