"""Real radiographs as backgrounds with planted lesions, so that the truth is known on real anatomy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medgan.commands.chest_data import ChestData, ChestSplit, Float32
from medgan.commands.chest_data_settings import PlantedLesionSettings
from medgan.errors import CohortError

CLASSES = ("no planted lesion", "planted lesion")


def planted_chests(settings: PlantedLesionSettings, *, base: Path, data_root: Path | None) -> ChestData:
    """Return the radiographs of a manifest with and without planted lesions.

    Raises
    ------
    CohortError
        If a file is absent or not the one meant, or a split has fewer than two subjects.
    """
    from medgan.cohort import Manifest

    path = base / settings.manifest
    manifest = Manifest.read(path)
    root = data_root or path.parent
    splits = {}
    for name in ("train", "validation", "test"):
        entries = manifest.select(split=name)
        if len({entry.subject_id for entry in entries}) < 2:
            raise CohortError(f"Planted lesions need at least 2 subjects in the {name} split: found {len(entries)}.")
        variants = settings.variants if name == "train" else settings.test_variants
        backgrounds = [_background(entry.located(root), settings.size) for entry in entries]
        splits[name] = _planted(settings, [e.subject_id for e in entries], backgrounds, variants)
    train = splits["train"]
    # A translator must not find pairs: every other subject gives images without, the others images with lesions.
    order = {subject: place for place, subject in enumerate(sorted(set(train.subject_ids)))}
    side = np.array([order[subject] % 2 for subject in train.subject_ids])
    return ChestData(
        classes=CLASSES,
        splits=splits,
        source=train.taken(np.flatnonzero((train.labels == 0) & (side == 0))),
        target=train.taken(np.flatnonzero((train.labels == 1) & (side == 1))),
        knows_subjects=True,
        digest=hashlib.sha256(f"{manifest.digest}{settings.model_dump_json()}".encode()).hexdigest(),
        title=manifest.title,
        license=manifest.license,
        citation=manifest.citation,
        notices=(
            f"The lesions are planted. The radiographs' own findings are not used: {len(manifest.entries)} images are "
            "too few for a classifier of them.",
        ),
    )


def _background(file: Path, size: int) -> Float32:
    from medgan.formats.radiograph import read_radiograph
    from medgan.volume.radiograph_placement import RadiographPlacement

    image = read_radiograph(file).radiograph.array
    return RadiographPlacement.of(image.shape, (size, size), crop="center").prepared(image)


def _planted(
    settings: PlantedLesionSettings, subjects: Sequence[str], backgrounds: Sequence[Float32], variants: int
) -> ChestSplit:
    """Return each background ``variants`` times without and with a lesion.

    Both images of a variant are the same but for the lesion; the copies without one differ only by their number, which
    augmentation and balanced batches turn into different draws.
    """
    from medgan.phantoms.chest_lesion import estimated_lungs, plant_lesion
    from medgan.seeding import numpy_generator

    images, twins, masks, labels, names, owners = [], [], [], [], [], []
    for subject, background in zip(subjects, backgrounds, strict=True):
        lungs = estimated_lungs(background)
        for variant in range(variants):
            planted = plant_lesion(
                background,
                generator=numpy_generator(settings.seed, "lesion", subject, variant),
                lungs=lungs,
                height_mm=settings.height_mm,
                kind=settings.lesion,
                contrast=settings.contrast,
                scale=settings.scale,
            )
            for label, (image, twin) in enumerate(((background, planted.image), (planted.image, background))):
                images.append(image)
                twins.append(twin)
                masks.append(planted.mask & bool(label))
                labels.append(label)
                names.append(f"{subject}_v{variant}_{label}")
                owners.append(subject)
    return ChestSplit(
        images=np.stack(images),
        labels=np.array(labels, dtype=np.int64),
        case_ids=tuple(names),
        subject_ids=tuple(owners),
        lesions=np.stack(masks),
        twins=np.stack(twins),
    )
