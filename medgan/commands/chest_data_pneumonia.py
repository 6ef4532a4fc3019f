"""PneumoniaMNIST: pediatric chest radiographs of 28 x 28 pixels, without subject ids."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medgan.commands.chest_data import ChestData, ChestSplit
from medgan.commands.chest_data_settings import PneumoniaMnistSettings
from medgan.errors import CohortError

CLASSES = ("normal", "pneumonia")
_NAMES = {"train": "train", "validation": "val", "test": "test"}


def pneumonia_images(settings: PneumoniaMnistSettings, *, base: Path, data_root: Path | None) -> ChestData:
    """Return the images of the archive that the manifest names, duplicates of the training split left out.

    Raises
    ------
    CohortError
        If the archive is absent, is another file than the manifest means, or holds other arrays.
    """
    from medgan.cohort import Manifest

    path = base / settings.manifest
    manifest = Manifest.read(path)
    entry = manifest.entries[0]
    arrays = _arrays((data_root or path.parent), entry)
    splits, seen, left_out = {}, set(), {}
    # Test first: an image in two splits stays where it is measured.
    for split in ("test", "validation", "train"):
        images, labels = arrays[split]
        digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        kept = []
        for place, digest in enumerate(digests):
            if split != "train" or digest not in seen:
                kept.append(place)
            seen.add(digest)
        left_out[split] = len(images) - len(kept)
        if split == "train":
            kept = kept[: settings.train_limit]
        names = tuple(f"{_NAMES[split]}_{place:04d}" for place in kept)
        splits[split] = ChestSplit(
            images=(images[kept].astype(np.float32) / np.float32(127.5) - 1).astype(np.float32),
            labels=labels[kept].astype(np.int64),
            case_ids=names,
            subject_ids=names,
        )
    train = splits["train"]
    return ChestData(
        classes=CLASSES,
        splits={name: splits[name] for name in _NAMES},
        source=train.of_class(0),
        target=train.of_class(1),
        knows_subjects=False,
        digest=hashlib.sha256(f"{manifest.digest}{settings.model_dump_json()}".encode()).hexdigest(),
        title=manifest.title,
        license=manifest.license,
        citation=manifest.citation,
        notices=(
            f"{left_out['train']} training images were left out: they repeat another one or one of another split.",
            "There are no subject ids: intervals are by image, and children may be in two splits.",
        ),
    )


def _arrays(root: Path, entry: object) -> dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    file = entry.located(root)  # type: ignore[attr-defined]
    try:
        # The bytes are those of the digest, and no pickled object is ever loaded.
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as archive:
            found = {s: (archive[f"{n}_images"], archive[f"{n}_labels"].ravel()) for s, n in _NAMES.items()}
    except (KeyError, ValueError, OSError) as error:
        raise CohortError(f"{file.name} must hold images and labels named as in MedMNIST: {error}.") from None
    for images, labels in found.values():
        if images.ndim != 3 or images.dtype != np.uint8 or len(images) != len(labels) or set(labels.tolist()) - {0, 1}:
            raise CohortError(f"{file.name} must hold gray images of 8 bits with labels 0 and 1: found others.")
    return found
