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
    twins : (N, H, W) float32, optional
        The same subjects as images of the other of two classes, all else equal.

    Raises
    ------
    PatchError
        If there is no image, the lengths differ, or a value is outside [-1, 1].
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    case_ids: Sequence[str]
    twins: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or not len(self.images):
            raise PatchError(f"A set of planes needs images (N, H, W), at least one: found {self.images.shape}.")
        lengths = (len(self.images), len(self.labels), len(self.case_ids))
        if len(set(lengths)) != 1:
            raise PatchError(f"Each plane needs one label and one case id: found {lengths} of them.")
        if self.twins is not None and self.twins.shape != self.images.shape:
            raise PatchError(f"Twins need the shape of their images: found {self.twins.shape}, {self.images.shape}.")
        low, high = float(self.images.min()), float(self.images.max())
        if not -1.0 <= low <= high <= 1.0:
            raise PatchError(f"Planes need values in [-1, 1]: found {low:g} to {high:g}.")

    @property
    def by_class(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Places of the images of each class, from class 0 to the largest that occurs."""
        return tuple(np.flatnonzero(self.labels == label) for label in range(int(self.labels.max()) + 1))


def labeled_batches(
    planes: PlaneSet,
    *,
    seed: int,
    size: int,
    augment: PlaneAugmentSettings,
    balanced: bool,
    with_twins: bool = False,
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
    with_twins : bool
        Fill the second half of a batch with the twins of the first half, changed in the same way. Only images that
        were made have twins; with them a small lesion is learned in a tenth of the steps, because nothing else differs.

    Raises
    ------
    PatchError
        If batches are to be balanced and a class has no image, or twins are asked for and there are none.
    """
    if with_twins and planes.twins is None:
        raise PatchError("Batches with twins need images that were made in two versions: these have no twins.")
    places = planes.by_class
    if balanced and not all(len(place) for place in places):
        missing = [label for label, place in enumerate(places) if not len(place)]
        raise PatchError(f"Balanced batches need images of every class: there are none of {missing}.")

    def batches(step: int, attempt: int) -> ClassificationBatch:
        generator = numpy_generator(seed, "batch", attempt, step)
        count = size // 2 if with_twins else size
        if balanced:
            classes = generator.integers(len(places), size=count)
            picked = np.array([places[c][int(generator.integers(len(places[c])))] for c in classes])
        else:
            picked = generator.integers(len(planes.images), size=count)
        images, labels = _stacked(planes.images, picked), torch.from_numpy(planes.labels[picked])
        names = tuple(planes.case_ids[i] for i in picked)
        if not with_twins or planes.twins is None:
            return ClassificationBatch(image=augmented(images, augment, generator), label=labels, case_ids=names)
        # One channel each: an image and its twin are moved together.
        both = augmented(torch.cat((images, _stacked(planes.twins, picked)), dim=1), augment, generator)
        return ClassificationBatch(
            image=torch.cat((both[:, :1], both[:, 1:])), label=torch.cat((labels, 1 - labels)), case_ids=names + names
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
            source=augmented(_stacked(source.images, first), augment, generator),
            target=augmented(_stacked(target.images, second), augment, generator),
            source_case_ids=tuple(source.case_ids[i] for i in first),
            target_case_ids=tuple(target.case_ids[i] for i in second),
        )

    return batches


def _stacked(images: npt.NDArray[np.float32], picked: npt.NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(images[picked])[:, None]
