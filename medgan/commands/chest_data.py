"""The radiographs of the three chest studies as arrays: images, classes, masks, subjects and splits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.errors import CohortError

if TYPE_CHECKING:
    from medgan.commands.chest_data_settings import ChestDataSettings

Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ChestSplit:
    """Radiographs of one split.

    Parameters
    ----------
    images : (N, H, W) float32
        In [-1, 1].
    labels : (N,) int64
        Number of the class, 0 or 1.
    case_ids, subject_ids : tuple of str
        Pseudonyms; where subjects are not known each image counts as its own.
    lesions, markers : (N, H, W) bool or None
        Where lesion and marker are; empty masks in images without. None where it is not known.
    twins : (N, H, W) float32 or None
        The same chest, made as an image of the other class, all else equal: what a perfect counterfactual is.
    other_labels : mapping of str to (N,) int64
        Labels that should stay as they are when the class is changed, such as ``marker`` and ``bubble``.
    """

    images: Float32
    labels: Labels
    case_ids: tuple[str, ...]
    subject_ids: tuple[str, ...]
    lesions: Mask | None = None
    markers: Mask | None = None
    twins: Float32 | None = None
    other_labels: Mapping[str, Labels] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def of_class(self, label: int) -> ChestSplit:
        """Return the images of one class."""
        return self.taken(np.flatnonzero(self.labels == label))

    def taken(self, places: npt.NDArray[Any]) -> ChestSplit:
        """Return the images at these places, in this order."""
        some: Any = lambda array: None if array is None else array[places]  # noqa: E731
        return ChestSplit(
            images=self.images[places],
            labels=self.labels[places],
            case_ids=tuple(self.case_ids[i] for i in places),
            subject_ids=tuple(self.subject_ids[i] for i in places),
            lesions=some(self.lesions),
            markers=some(self.markers),
            twins=some(self.twins),
            other_labels={name: values[places] for name, values in self.other_labels.items()},
        )


@dataclass(frozen=True, eq=False)
class ChestData:
    """The radiographs of one study.

    Parameters
    ----------
    classes : (str, str)
        Names of class 0 and class 1.
    splits : mapping of str to ChestSplit
        ``train`` (of a classifier), ``validation``, ``test``: no subject is in two.
    source, target : ChestSplit
        Training images of a translator, class 0 and class 1, of disjoint subjects; all from the training split.
    knows_subjects : bool
        Whether ``subject_ids`` are those of persons (or phantoms) and not of images.
    digest : str
        Of the data and how they were made, for the run folder.
    license, citation, title : str
    notices : tuple of str
        Sentences for people: what was left out and what is not known.
    """

    classes: tuple[str, str]
    splits: Mapping[str, ChestSplit]
    source: ChestSplit
    target: ChestSplit
    knows_subjects: bool
    digest: str
    title: str
    license: str
    citation: str
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owners: dict[str, str] = {}
        for name, split in self.splits.items():
            for subject in set(split.subject_ids):
                if owners.setdefault(subject, name) != name:
                    raise CohortError(f"No subject may be in two splits: {subject} is in {owners[subject]} and {name}.")
        shared = set(self.source.subject_ids) & set(self.target.subject_ids)
        if shared:
            raise CohortError(
                f"A translator learns from disjoint subjects: {len(shared)} give both classes, such as {min(shared)}."
            )
        outside = (set(self.source.subject_ids) | set(self.target.subject_ids)) - set(self.splits["train"].subject_ids)
        if outside:
            raise CohortError(
                f"A translator learns from training subjects only: {len(outside)} are not, such as {min(outside)}."
            )

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of each image."""
        rows, columns = self.splits["test"].images.shape[1:]
        return int(rows), int(columns)


def chest_data(settings: ChestDataSettings, *, base: Path, data_root: Path | None) -> ChestData:
    """Return the radiographs that a configuration asks for; the same settings give the same bits.

    Parameters
    ----------
    settings : ChestDataSettings
        Of one of the kinds ``phantoms``, ``pneumonia_mnist`` and ``planted``.
    base : Path
        Folder that a manifest's path starts from: that of the configuration.
    data_root : Path or None
        Folder that the manifest's own paths start from; not needed for phantoms.

    Raises
    ------
    CohortError
        If files are absent or are not the ones meant, or the splits share a subject.
    """
    from medgan.commands.chest_data_phantoms import phantom_chests
    from medgan.commands.chest_data_planted import planted_chests
    from medgan.commands.chest_data_pneumonia import pneumonia_images

    if settings.kind == "phantoms":
        return phantom_chests(settings)
    if settings.kind == "planted":
        return planted_chests(settings, base=base, data_root=data_root)
    return pneumonia_images(settings, base=base, data_root=data_root)
