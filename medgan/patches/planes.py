"""Batches of whole two-dimensional images: with their classes for a classifier, or of two classes for a translator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from medgan.errors import PatchError
from medgan.methods.classification import ClassificationBatch
from medgan.methods.cyclegan import CycleGANBatch
from medgan.patches.planes_augment import augmented
from medgan.patches.planes_augment_settings import PlaneAugmentSettings
from medgan.seeding import numpy_generator


@dataclass(frozen=True, eq=False)
class PlaneSet:
    """Images of one size with the numbers of their classes.

    Parameters
    ----------
    images : (N, H, W) float32
        In [-1, 1].
    labels : (N,) int64
        From 0.
    case_ids : sequence of str
        Pseudonyms, for messages.

    Raises
    ------
    PatchError
        If there is no image, the lengths differ, or a value is outside [-1, 1].
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    case_ids: Sequence[str]

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or not len(self.images):
            raise PatchError(f"A set of planes needs images (N, H, W), at least one: found {self.images.shape}.")
        lengths = (len(self.images), len(self.labels), len(self.case_ids))
        if len(set(lengths)) != 1:
            raise PatchError(f"Each plane needs one label and one case id: found {lengths} of them.")
        low, high = float(self.images.min()), float(self.images.max())
        if not -1.0 <= low <= high <= 1.0:
            raise PatchError(f"Planes need values in [-1, 1]: found {low:g} to {high:g}.")

    @property
    def by_class(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Places of the images of each class, from class 0 to the largest that occurs."""
        return tuple(np.flatnonzero(self.labels == label) for label in range(int(self.labels.max()) + 1))


def labeled_batches(
    planes: PlaneSet, *, seed: int, size: int, augment: PlaneAugmentSettings, balanced: bool
) -> Callable[[int, int], ClassificationBatch]:
    """Return ``batches(step, attempt)``, a pure function of its arguments.

    Parameters
    ----------
    planes : PlaneSet
    seed : int
    size : int
        Images in a batch.
    augment : PlaneAugmentSettings
    balanced : bool
        Draw the class first, each with the same probability, then an image of it; else any image.

    Raises
    ------
    PatchError
        If batches are to be balanced and a class has no image.
    """
    places = planes.by_class
    if balanced and not all(len(place) for place in places):
        missing = [label for label, place in enumerate(places) if not len(place)]
        raise PatchError(f"Balanced batches need images of every class: there are none of {missing}.")

    def batches(step: int, attempt: int) -> ClassificationBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        if balanced:
            classes = generator.integers(len(places), size=size)
            picked = np.array([places[c][int(generator.integers(len(places[c])))] for c in classes])
        else:
            picked = generator.integers(len(planes.images), size=size)
        return ClassificationBatch(
            image=augmented(_stacked(planes, picked), augment, generator),
            label=torch.from_numpy(planes.labels[picked]),
            case_ids=tuple(planes.case_ids[i] for i in picked),
        )

    return batches


def unpaired_plane_batches(
    *, source: PlaneSet, target: PlaneSet, seed: int, size: int, augment: PlaneAugmentSettings
) -> Callable[[int, int], CycleGANBatch]:
    """Return ``batches(step, attempt)`` of images of two classes that have nothing to do with each other.

    Parameters
    ----------
    source, target : PlaneSet
        Of disjoint subjects.
    seed : int
    size : int
        Images of each class in a batch.
    augment : PlaneAugmentSettings
        The same for both, so that nothing but the class tells them apart.
    """

    def batches(step: int, attempt: int) -> CycleGANBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        first = generator.integers(len(source.images), size=size)
        second = generator.integers(len(target.images), size=size)
        return CycleGANBatch(
            source=augmented(_stacked(source, first), augment, generator),
            target=augmented(_stacked(target, second), augment, generator),
            source_case_ids=tuple(source.case_ids[i] for i in first),
            target_case_ids=tuple(target.case_ids[i] for i in second),
        )

    return batches


def _stacked(planes: PlaneSet, picked: npt.NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(planes.images[picked])[:, None]
