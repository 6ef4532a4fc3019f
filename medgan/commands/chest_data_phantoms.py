"""Phantom radiographs: lesion, shortcut marker and nuisance bubble are known in every image."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from medgan.commands.chest_data import ChestData, ChestSplit
from medgan.commands.chest_data_settings import ChestPhantomSettings

if TYPE_CHECKING:
    from medgan.phantoms.chest import ChestTwins

CLASSES = {"lesion": ("no lesion", "lesion"), "bubble": ("no bubble", "bubble")}


def phantom_chests(settings: ChestPhantomSettings) -> ChestData:
    """Return the phantoms of a study; each subject is a function of the seed and its number alone."""
    splits, first = {}, 0
    for name, count in (("train", settings.train), ("validation", settings.validation), ("test", settings.test)):
        splits[name] = _split(settings, first, count)
        first += count
    train = splits["train"]
    return ChestData(
        classes=CLASSES[settings.label],
        splits=splits,
        source=train.of_class(0),
        target=train.of_class(1),
        knows_subjects=True,
        digest=hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        title=f"Chest phantoms of medgan, {settings.train} for training",
        license="Apache-2.0",
        citation="Phantoms of medgan",
        notices=_notices(settings),
    )


def _notices(settings: ChestPhantomSettings) -> tuple[str, ...]:
    if settings.marker_with_lesion == settings.marker_without_lesion:
        return ()
    return (
        f"A shortcut is planted: the marker is in {settings.marker_with_lesion:.0%} of the images with a lesion and in "
        f"{settings.marker_without_lesion:.0%} of those without.",
    )


def _chest(settings: ChestPhantomSettings, index: int, *, marked: bool, bubble: bool | None = None) -> ChestTwins:
    from medgan.phantoms.chest import chest_twins
    from medgan.seeding import numpy_generator

    return chest_twins(
        generator=numpy_generator(settings.seed, "chest", index),
        shape=(settings.size, settings.size),
        kind=settings.lesion,
        contrast=settings.contrast,
        scale=settings.scale,
        marker=marked,
        bubble=bubble,
        noise=settings.noise,
    )


def _split(settings: ChestPhantomSettings, first: int, count: int) -> ChestSplit:
    from medgan.seeding import numpy_generator

    images, twins, lesions, markers, has_lesion, has_marker, bubbles, names = [], [], [], [], [], [], [], []
    for index in range(first, first + count):
        sick = index % 2 == 1
        chance = settings.marker_with_lesion if sick else settings.marker_without_lesion
        marked = bool(numpy_generator(settings.seed, "marker", index).uniform() < chance)
        chest = _chest(settings, index, marked=marked)
        images.append((chest.without_lesion, chest.with_lesion)[sick].array)
        if settings.label == "lesion":
            twins.append((chest.with_lesion, chest.without_lesion)[sick].array)
        else:
            other = _chest(settings, index, marked=marked, bubble=not chest.has_bubble)
            twins.append((other.without_lesion, other.with_lesion)[sick].array)
        lesions.append(chest.lesion & sick)
        markers.append(chest.marker)
        has_lesion.append(int(sick))
        has_marker.append(int(marked))
        bubbles.append(int(chest.has_bubble))
        names.append(f"phantom_{index:05d}")
    labels = {
        "lesion": np.array(has_lesion, dtype=np.int64),
        "marker": np.array(has_marker, dtype=np.int64),
        "bubble": np.array(bubbles, dtype=np.int64),
    }
    return ChestSplit(
        images=np.stack(images),
        labels=labels[settings.label],
        case_ids=tuple(names),
        subject_ids=tuple(names),
        lesions=np.stack(lesions),
        markers=np.stack(markers),
        twins=np.stack(twins),
        other_labels={name: values for name, values in labels.items() if name != settings.label},
    )
