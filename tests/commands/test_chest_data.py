"""The radiographs of the three studies: splits by subject, masks that fit, and the same bits every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medgan.cohort import Manifest
from medgan.cohort.manifest import CaseEntry, digest_of
from medgan.commands.chest_data import ChestData, chest_data
from medgan.commands.chest_data_settings import (
    ChestPhantomSettings,
    PlantedLesionSettings,
    PneumoniaMnistSettings,
)
from medgan.errors import CohortError
from medgan.phantoms.chest import chest_twins
from medgan.seeding import numpy_generator

MANIFESTS = Path(__file__).parents[2] / "data_manifests"
PHANTOMS = ChestPhantomSettings(kind="phantoms", train=12, validation=4, test=8, size=40, seed=3)


def phantoms(**changes) -> ChestData:
    return chest_data(PHANTOMS.model_copy(update=changes), base=Path(), data_root=None)


def subjects(data: ChestData) -> list[set[str]]:
    return [set(split.subject_ids) for split in data.splits.values()]


def test_phantoms_have_half_lesions_and_known_masks():
    data = phantoms()
    assert data.classes == ("no lesion", "lesion")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 12, "validation": 4, "test": 8}
    for split in data.splits.values():
        assert split.labels.mean() == 0.5
        assert (split.lesions.any((1, 2)) == (split.labels == 1)).all()
        assert (split.markers.any((1, 2)) == (split.other_labels["marker"] == 1)).all()
        changed = np.abs(split.images - split.twins) > 0
        assert (changed[split.labels == 1] == split.lesions[split.labels == 1]).all()
        assert changed.any((1, 2)).all()
        assert -1 <= split.images.min() <= split.images.max() <= 1
    assert data.size == (40, 40)
    first, second, third = subjects(data)
    assert not first & second | first & third | second & third
    assert not set(data.source.subject_ids) & set(data.target.subject_ids)
    assert set(data.source.labels) == {0}
    assert set(data.target.labels) == {1}


def test_phantoms_are_a_function_of_their_settings():
    first, again, other = phantoms(), phantoms(), phantoms(seed=4)
    assert np.array_equal(first.splits["test"].images, again.splits["test"].images)
    assert first.digest == again.digest != other.digest
    # A subject does not depend on how many there are.
    assert np.array_equal(phantoms(train=8).splits["train"].images, first.splits["train"].images[:8])


def test_a_planted_shortcut_is_said_and_planted():
    data = phantoms(train=60, marker_with_lesion=1.0, marker_without_lesion=0.0)
    train = data.splits["train"]
    assert np.array_equal(train.other_labels["marker"], train.labels)
    assert "100% of the images with a lesion and in 0%" in data.notices[0]
    fair = phantoms(train=200).splits["train"]
    assert abs(np.corrcoef(fair.other_labels["marker"], fair.labels)[0, 1]) < 0.25
    assert phantoms().notices == ()


def test_the_nuisance_label_is_independent_of_the_lesion():
    data = phantoms(train=40, label="bubble")
    train = data.splits["train"]
    assert data.classes == ("no bubble", "bubble")
    assert set(train.other_labels) == {"lesion", "marker"}
    # The twin differs where the stomach is, below the heart, and nowhere else.
    changed = np.abs(train.images - train.twins) > 1e-3
    assert changed.any((1, 2)).all()
    assert not changed[:, :24].any()
    sign = np.sign((train.images - train.twins).sum((1, 2)))
    assert (sign == np.where(train.labels == 1, -1, 1)).all()
    truth = [
        chest_twins(generator=numpy_generator(3, "chest", i), shape=(40, 40), kind="consolidation").has_bubble
        for i in range(6)
    ]
    assert train.labels[:6].tolist() == [int(t) for t in truth]


def test_images_are_taken_with_all_that_belongs_to_them():
    split = phantoms().splits["test"].of_class(1)
    assert len(split) == len(split.case_ids) == len(split.lesions) == len(split.other_labels["bubble"]) == 4
    one = split.taken(np.array([2]))
    assert one.case_ids == (split.case_ids[2],)
    assert np.array_equal(one.twins[0], split.twins[2])


# PneumoniaMNIST --------------------------------------------------------------------------------------------------


def archive(folder: Path, **changes) -> Path:
    random = np.random.default_rng(0)
    arrays = {}
    for name, count in (("train", 20), ("val", 6), ("test", 8)):
        arrays[f"{name}_images"] = random.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{name}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    arrays["train_images"][3] = arrays["train_images"][1]
    arrays["train_images"][5] = arrays["val_images"][1]
    arrays["train_images"][7] = arrays["test_images"][1]
    np.savez(folder / "p.npz", **{**arrays, **changes})
    entry = CaseEntry("p", "p", "train", "radiograph", "DX", "normalized", "p.npz", digest_of(folder / "p.npz"))
    Manifest(title="t", license="l", citation="c", obtain="o", entries=(entry,)).write(folder / "m.yaml")
    return folder


def pneumonia(folder: Path, **changes) -> ChestData:
    settings = PneumoniaMnistSettings(kind="pneumonia_mnist", manifest="m.yaml", **changes)
    return chest_data(settings, base=folder, data_root=None)


def test_duplicates_leave_the_training_split_and_are_counted(tmp_path):
    data = pneumonia(archive(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 17, "validation": 6, "test": 8}
    assert "3 training images were left out" in data.notices[0]
    assert not data.knows_subjects
    assert "train_0003" not in data.splits["train"].case_ids
    assert "train_0001" in data.splits["train"].case_ids
    everything = np.concatenate([split.images for split in data.splits.values()])
    assert len(np.unique(everything.reshape(len(everything), -1), axis=0)) == len(everything)


def test_images_are_mapped_to_the_full_range(tmp_path):
    stored = np.zeros((20, 28, 28), np.uint8)
    stored[:, 0, :20] = np.arange(20)
    stored[:, 1, 1] = np.arange(20)
    stored[:, 2, 2] = 255
    data = pneumonia(archive(tmp_path, train_images=stored))
    assert data.splits["train"].images.min() == -1
    assert data.splits["train"].images.max() == 1


def test_a_limit_keeps_the_first(tmp_path):
    assert len(pneumonia(archive(tmp_path), train_limit=8).splits["train"]) == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"train_labels": np.zeros((20, 1), np.uint8) + 2},
        {"val_images": np.zeros((6, 28, 28), np.float32)},
        {"test_labels": np.zeros((3, 1), np.uint8)},
        {"train_images": np.array([{"a": 1}], dtype=object)},
    ],
)
def test_other_arrays_are_refused(tmp_path, changes):
    with pytest.raises(CohortError, match=r"p\.npz must hold"):
        pneumonia(archive(tmp_path, **changes))


def test_a_changed_archive_is_refused(tmp_path):
    archive(tmp_path)
    (tmp_path / "p.npz").write_bytes(b"other")
    with pytest.raises(CohortError, match="has changed"):
        pneumonia(tmp_path)


def test_the_real_images_are_what_the_study_says(shared_data):
    settings = PneumoniaMnistSettings(kind="pneumonia_mnist", manifest="pneumonia_mnist.yaml")
    data = chest_data(settings, base=MANIFESTS, data_root=shared_data)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 2420, "validation": 270, "test": 468}
    assert "8 training images were left out" in data.notices[0]
    assert data.splits["test"].labels.mean() == 0.5


# Planted lesions -------------------------------------------------------------------------------------------------


def radiographs(folder: Path, counts=(4, 2, 3)) -> Path:
    entries, number = [], 0
    for split, count in zip(("train", "validation", "test"), counts):
        for _ in range(count):
            array = chest_twins(generator=numpy_generator(5, number), shape=(80, 90)).without_lesion.array
            name = f"r{number}.png"
            Image.fromarray(np.round((array + 1) * 127.5).astype(np.uint8)).save(folder / name)
            subject = f"s{number}"
            digest = digest_of(folder / name)
            entries.append(CaseEntry(subject, subject, split, "radiograph", "DX", "normalized", name, digest))
            number += 1
    Manifest(title="t", license="l", citation="c", obtain="o", entries=tuple(entries)).write(folder / "m.yaml")
    return folder


def planted(folder: Path, **changes) -> ChestData:
    chosen = {"size": 40, "variants": 3, "test_variants": 2, **changes}
    settings = PlantedLesionSettings(kind="planted", manifest="m.yaml", **chosen)
    return chest_data(settings, base=folder, data_root=None)


def test_planted_lesions_are_in_their_masks_and_the_domains_share_no_subject(tmp_path):
    data = planted(radiographs(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "validation": 8, "test": 12}
    train = data.splits["train"]
    assert train.labels.mean() == 0.5
    changed = np.abs(train.images - train.twins) > 0
    assert (changed[train.labels == 1] == train.lesions[train.labels == 1]).all()
    assert not train.lesions[train.labels == 0].any()
    assert set(data.source.subject_ids) == {"s0", "s2"}
    assert set(data.target.subject_ids) == {"s1", "s3"}
    assert set(data.source.labels) == {0}
    assert set(data.target.labels) == {1}
    assert data.knows_subjects
    assert "9 images are too few for a classifier" in data.notices[0]
    assert np.array_equal(planted(tmp_path).splits["test"].images, data.splits["test"].images)


def test_a_split_needs_two_subjects(tmp_path):
    with pytest.raises(CohortError, match="at least 2 subjects in the validation split"):
        planted(radiographs(tmp_path, counts=(4, 1, 2)))


def test_the_real_radiographs_are_split_by_subject(shared_data):
    manifest = Manifest.read(MANIFESTS / "nih_chest.yaml")
    assert {s: len(manifest.select(split=s)) for s in ("train", "validation", "test")} == {
        "train": 60, "validation": 14, "test": 25,
    }  # fmt: skip
    assert len({e.subject_id for e in manifest.entries}) == 99
    assert [e.path for e in manifest.entries[::9] if digest_of(shared_data / e.path) != e.sha256] == []


# What no data may do ---------------------------------------------------------------------------------------------


def test_shared_subjects_are_refused():
    data = phantoms()
    train, test = data.splits["train"], data.splits["test"]
    both = replace(test, subject_ids=(train.subject_ids[0], *test.subject_ids[1:]))
    with pytest.raises(CohortError, match="in two splits: phantom_00000 is in train and test"):
        replace(data, splits={**data.splits, "test": both})
    with pytest.raises(CohortError, match="disjoint subjects: 6 give both classes"):
        replace(data, target=data.source)
    with pytest.raises(CohortError, match="training subjects only: 4 are not"):
        replace(data, source=test.of_class(0))
