"""Batches of whole images: pure functions of the step, balanced, and changed within bounds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medgan.errors import PatchError
from medgan.patches.planes import PlaneSet, labeled_batches, unpaired_plane_batches
from medgan.patches.planes_augment import augmented
from medgan.patches.planes_augment_settings import PlaneAugmentSettings

NONE = PlaneAugmentSettings()
STRONG = PlaneAugmentSettings(shift=0.1, zoom=0.1, rotation_degrees=10, gain=0.2, offset=0.1, noise=0.05)


def planes(count: int = 12, ones: int = 3) -> PlaneSet:
    random = np.random.default_rng(0)
    images = random.uniform(-0.9, 0.9, (count, 8, 8)).astype(np.float32)
    labels = (np.arange(count) < ones).astype(np.int64)
    return PlaneSet(images, labels, [f"case_{i}" for i in range(count)])


def test_a_batch_is_a_function_of_its_step():
    make = labeled_batches(planes(), seed=1, size=6, augment=STRONG, balanced=True)
    first, again, other = make(3, 0), make(3, 0), make(4, 0)
    assert torch.equal(first.image, again.image)
    assert first.case_ids == again.case_ids
    assert not torch.equal(first.image, other.image)
    assert not torch.equal(first.image, make(3, 1).image)


def test_classes_are_drawn_equally_only_where_asked():
    few = planes(count=100, ones=5)
    shares = {}
    for balanced in (True, False):
        make = labeled_batches(few, seed=1, size=50, augment=NONE, balanced=balanced)
        shares[balanced] = np.mean([make(n, 0).label.float().mean() for n in range(20)])
    assert shares[True] == pytest.approx(0.5, abs=0.05)
    assert shares[False] == pytest.approx(0.05, abs=0.03)


def test_labels_and_names_belong_to_their_images():
    some = planes()
    batch = labeled_batches(some, seed=2, size=20, augment=NONE, balanced=False)(1, 0)
    for image, label, name in zip(batch.image, batch.label, batch.case_ids):
        place = int(name.removeprefix("case_"))
        np.testing.assert_allclose(image[0].numpy(), some.images[place], atol=1e-6)
        assert label == some.labels[place]


def test_unpaired_batches_draw_from_both_sides():
    first, second = planes(), planes(ones=12)
    make = unpaired_plane_batches(source=first, target=second, seed=1, size=4, augment=NONE)
    batch = make(1, 0)
    assert batch.source.shape == batch.target.shape == (4, 1, 8, 8)
    assert len(batch.case_ids) == 8
    assert torch.equal(batch.source, make(1, 0).source)


def test_no_change_changes_nothing():
    images = torch.rand(3, 1, 9, 9) * 1.8 - 0.9
    assert torch.equal(augmented(images, NONE, np.random.default_rng(0)), images)


@pytest.mark.parametrize("option", ["shift", "zoom", "rotation_degrees", "gain", "offset", "noise"])
def test_each_change_does_something_and_stays_in_range(option):
    images = torch.rand(4, 1, 16, 16) * 2 - 1
    settings = PlaneAugmentSettings(**{option: 8.0 if option == "rotation_degrees" else 0.2})
    changed = augmented(images, settings, np.random.default_rng(1))
    assert changed.shape == images.shape
    assert -1 <= changed.min() <= changed.max() <= 1
    assert (changed - images).abs().mean() > 1e-3
    assert not torch.allclose(changed[0] - images[0], changed[1] - images[1])


def test_a_shift_moves_by_at_most_its_share():
    image = torch.full((64, 1, 40, 40), -1.0)
    image[:, :, 20, 20] = 1.0
    moved = augmented(image, PlaneAugmentSettings(shift=0.1), np.random.default_rng(2))
    weights = (moved[:, 0] + 1).numpy()
    rows = (weights.sum(2) * np.arange(40)).sum(1) / weights.sum((1, 2)) - 20
    assert np.abs(rows).max() <= 4.01
    assert np.abs(rows).max() > 3


def test_nothing_is_reflected():
    image = torch.zeros(50, 1, 21, 21)
    image[:, :, :, :5] = 0.8
    changed = augmented(image, STRONG, np.random.default_rng(3))
    assert (changed[..., :3].mean((1, 2, 3)) > changed[..., -3:].mean((1, 2, 3))).all()


@pytest.mark.parametrize("option", [{"shift": -0.1}, {"zoom": 1.0}, {"gain": 1.5}])
def test_impossible_changes_are_refused(option):
    with pytest.raises(PatchError, match="at least 0, shift, zoom and gain less than 1"):
        PlaneAugmentSettings(**option)


def test_impossible_sets_are_refused():
    good = planes()
    with pytest.raises(PatchError, match=r"\(N, H, W\), at least one"):
        PlaneSet(good.images[:0], good.labels[:0], [])
    with pytest.raises(PatchError, match="one label and one case id"):
        PlaneSet(good.images, good.labels[:3], good.case_ids)
    with pytest.raises(PatchError, match=r"values in \[-1, 1\]"):
        PlaneSet(good.images + 1, good.labels, good.case_ids)
    twos = PlaneSet(good.images, np.full(12, 2), good.case_ids)
    with pytest.raises(PatchError, match=r"there are none of \[0, 1\]"):
        labeled_batches(twos, seed=0, size=2, augment=NONE, balanced=True)


def twin_planes() -> PlaneSet:
    some = planes()
    twins = some.images.copy()
    twins[:, 2:4, 2:4] = np.where(some.labels[:, None, None] == 1, -0.9, 0.9)
    return PlaneSet(some.images, some.labels, some.case_ids, twins)


@pytest.mark.parametrize("balanced", [True, False])
def test_twins_fill_the_second_half_and_are_moved_alike(balanced):
    some = twin_planes()
    moved = PlaneAugmentSettings(shift=0.2, rotation_degrees=20, gain=0.2)
    make = labeled_batches(some, seed=3, size=10, augment=moved, balanced=balanced, with_twins=True)
    batch = make(1, 0)
    assert batch.image.shape == (10, 1, 8, 8)
    assert torch.equal(batch.label[:5], 1 - batch.label[5:])
    assert batch.case_ids[:5] == batch.case_ids[5:]
    plain = labeled_batches(some, seed=3, size=10, augment=NONE, balanced=balanced, with_twins=True)(1, 0)
    for image, name in zip(plain.image[5:], plain.case_ids):
        np.testing.assert_allclose(image[0].numpy(), some.twins[int(name.removeprefix("case_"))], atol=1e-6)
    # What is the same in both stays the same wherever it is moved to.
    same = (batch.image[:5] - batch.image[5:]).abs() < 1e-6
    assert same.float().mean() > 0.5
    assert not same.all()


def test_twins_that_are_not_there_or_do_not_fit_are_refused():
    with pytest.raises(PatchError, match="these have no twins"):
        labeled_batches(planes(), seed=0, size=4, augment=NONE, balanced=True, with_twins=True)
    some = planes()
    with pytest.raises(PatchError, match="Twins need the shape of their images"):
        PlaneSet(some.images, some.labels, some.case_ids, some.images[:3])
