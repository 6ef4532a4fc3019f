"""Batches of labeled slices (or slabs) of prepared studies, half of each from those that hold what is looked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from medgan.errors import PatchError
from medgan.methods.adversarial_segmentation_terms import SegmentationBatch
from medgan.patches.slices_augment import SliceAugmentation, SliceAugmentSettings
from medgan.seeding import numpy_generator

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LabeledStudy:
    """One prepared study in memory.

    Attributes
    ----------
    case_id : str
        Pseudonym.
    channels : (C, I, J, K) float32 in [-1, 1]
    labels : (I, J, K) uint8, class numbers

    Raises
    ------
    PatchError
        If shapes do not fit.
    """

    case_id: str
    channels: Float32
    labels: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        if self.channels.ndim != 4 or self.channels.shape[1:] != self.labels.shape:
            raise PatchError(
                f"A labeled study needs channels (C, I, J, K) and labels (I, J, K): case {self.case_id} has "
                f"{self.channels.shape} and {self.labels.shape}."
            )


def slab(array: npt.NDArray[np.float32], position: int, *, neighbors: int) -> Float32:
    """Return a slice of (C, I, J, K) with its neighbors as channels, ((2 n + 1) C, I, J): all contrasts slice by slice.

    Beyond the first and last slice the slice at the end is repeated.
    """
    places = np.clip(np.arange(position - neighbors, position + neighbors + 1), 0, array.shape[-1] - 1)
    return np.ascontiguousarray(array[..., places].transpose(3, 0, 1, 2).reshape(-1, *array.shape[1:3]))


@dataclass(frozen=True)
class SliceSampler:
    """Draw slices, or slabs of several slices, from studies.

    Parameters
    ----------
    studies : sequence of LabeledStudy
        All with the same number of channels and the same in-plane size.
    focus_class : int
        What half of a batch must hold.
    neighbors : int
        Slices above and below that come along as channels (2-D).
    depth : int or None
        Slices of a slab for a 3-D network; None for single slices.
    augment : SliceAugmentSettings

    Raises
    ------
    PatchError
        If there is no study, sizes differ, or no study holds the focus class.

    Notes
    -----
    With slices drawn at random a class that fills a thousandth of the voxels was never learned; with half of each batch
    from slices that hold it, it was.
    """

    studies: Sequence[LabeledStudy]
    focus_class: int
    neighbors: int = 0
    depth: int | None = None
    augment: SliceAugmentSettings = field(default_factory=SliceAugmentSettings)

    def __post_init__(self) -> None:
        if not self.studies:
            raise PatchError("A sampler needs at least one study: found none.")
        sizes = {(s.channels.shape[0], *s.labels.shape[:2]) for s in self.studies}
        if len(sizes) > 1:
            raise PatchError(f"A sampler needs studies of one size (channels, I, J): found {sorted(sizes)}.")
        if self.neighbors < 0 or (self.depth is not None and (self.depth < 1 or self.neighbors)):
            raise PatchError(
                "Neighbors are 0 or more, and belong to single slices: "
                f"found {self.neighbors} with a depth of {self.depth}."
            )
        if not self._places(with_focus=True):
            raise PatchError(
                f"A sampler needs slices with class {self.focus_class}: none of {len(self.studies)} studies has one. "
                "A fold without it teaches nothing about it: deal the subjects otherwise."
            )

    def _places(self, *, with_focus: bool) -> list[tuple[int, int]]:
        """Return (study, slice) of all slices that hold the focus class, or of those that do not."""
        return [
            (n, int(k))
            for n, study in enumerate(self.studies)
            for k in np.flatnonzero((study.labels == self.focus_class).any(axis=(0, 1)) == with_focus)
        ]

    def batches(self, *, seed: int, size: int, focus_share: float = 0.5) -> Callable[[int, int], SegmentationBatch]:
        """Return ``batches(step, attempt)``, a pure function of seed, step and attempt: the same for every arm.

        Parameters
        ----------
        seed : int
        size : int
            Samples in a batch.
        focus_share : float
            Share of them, rounded up, from slices with the focus class.

        Raises
        ------
        PatchError
            If the share is not in [0, 1] or the size below 1.
        """
        if size < 1 or not 0 <= focus_share <= 1:
            raise PatchError(f"A batch needs 1 or more samples and a share in [0, 1]: found {size}, {focus_share}.")
        focus, others = self._places(with_focus=True), self._places(with_focus=False)
        wanted = int(np.ceil(size * focus_share - 1e-9)) if others else size

        def batches(step: int, attempt: int) -> SegmentationBatch:
            generator = numpy_generator(seed, "batch", attempt, step)
            images, labels, names = [], [], []
            for position in range(size):
                pool = focus if position < wanted else others
                study, k = pool[int(generator.integers(len(pool)))]
                image, label = self._cut(self.studies[study], k, generator)
                images.append(image)
                labels.append(label)
                names.append(self.studies[study].case_id)
            return SegmentationBatch(
                images=torch.from_numpy(np.stack(images)),
                labels=torch.from_numpy(np.stack(labels)).long(),
                case_ids=tuple(names),
            )

        return batches

    def _cut(
        self, study: LabeledStudy, k: int, generator: np.random.Generator
    ) -> tuple[Float32, npt.NDArray[np.uint8]]:
        change = SliceAugmentation.drawn(self.augment, study.channels.shape[0], generator)
        shift = int(generator.integers(self.depth or 1))
        if self.depth is None:
            places = np.clip(np.arange(k - self.neighbors, k + self.neighbors + 1), 0, study.labels.shape[2] - 1)
            image = change.applied_to(study.channels[..., places])
            label = change.moved(study.labels[..., k], fill=0)
            return np.ascontiguousarray(image.transpose(3, 0, 1, 2).reshape(-1, *image.shape[1:3])), label
        # The slab holds slice k at a random height; beyond the stack the slice at its end is repeated.
        places = np.clip(np.arange(self.depth) + k - shift, 0, study.labels.shape[2] - 1)
        return change.applied_to(study.channels[..., places]), change.moved(study.labels[..., places], fill=0)
