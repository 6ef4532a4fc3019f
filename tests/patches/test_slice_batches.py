"""Batches of labeled slices: balance, neighbors, slabs, augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medgan.errors import PatchError
from medgan.patches.slices import LabeledStudy, SliceSampler, slab
from medgan.patches.slices_augment import SliceAugmentation, SliceAugmentSettings

ONE_CHANNEL = LabeledStudy("x", np.zeros((1, 8, 9, 3), np.float32), np.zeros((8, 9, 3), np.uint8))


def study(n: int = 0, focus_slices: tuple[int, ...] = (2,), slices: int = 6) -> LabeledStudy:
    """A study whose channel values say which slice and channel they are of."""
    channels = np.zeros((2, 8, 9, slices), np.float32)
    channels += np.arange(slices, dtype=np.float32) / 10 - 0.5
    channels[1] += 0.05
    labels = np.zeros((8, 9, slices), np.uint8)
    labels[:, :, ::2] = 1
    for k in focus_slices:
        labels[3, 4, k] = 2
    return LabeledStudy(f"case_{n}", channels, labels)


def test_half_of_each_batch_holds_the_focus_class():
    batches = SliceSampler([study(0), study(1, ())], 2).batches(seed=1, size=6)
    for number in range(1, 6):
        batch = batches(number, 0)
        held = [(labels == 2).any().item() for labels in batch.labels]
        assert held == [True] * 3 + [False] * 3
        assert batch.images.shape == (6, 2, 8, 9)
        assert batch.labels.dtype == torch.int64


def test_a_batch_depends_on_seed_step_and_attempt_alone():
    sampler = SliceSampler([study(0), study(1)], 2, augment=SliceAugmentSettings(flip=True, shift=2, gain=0.2))
    one, other = sampler.batches(seed=1, size=4), sampler.batches(seed=1, size=4)
    other(9, 0)
    assert torch.equal(one(3, 0).images, other(3, 0).images)
    for different in (sampler.batches(seed=2, size=4)(3, 0), one(4, 0), one(3, 1)):
        assert not torch.equal(one(3, 0).images, different.images)


def test_neighbors_are_channels_and_ends_repeat():
    one = study(0, (0,))
    stacked = slab(one.channels, 0, neighbors=1)
    assert stacked.shape == (6, 8, 9)
    assert stacked[:, 0, 0] == pytest.approx([-0.5, -0.45, -0.5, -0.45, -0.4, -0.35])
    batch = SliceSampler([one], 2, neighbors=1).batches(seed=1, size=2)(1, 0)
    assert torch.allclose(batch.images[0], torch.from_numpy(stacked), atol=1e-6)


def test_a_slab_holds_the_slice_that_was_drawn():
    batches = SliceSampler([study(0, (3,))], 2, depth=4).batches(seed=1, size=4, focus_share=1.0)
    for number in range(1, 8):
        batch = batches(number, 0)
        assert batch.images.shape == (4, 2, 8, 9, 4)
        assert (batch.labels == 2).flatten(1).any(1).all()


def test_a_study_without_other_slices_gives_focus_slices_only():
    batch = SliceSampler([study(0, tuple(range(6)))], 2).batches(seed=1, size=4)(1, 0)
    assert (batch.labels == 2).flatten(1).any(1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SliceSampler([], 2), "at least one study"),
        (lambda: SliceSampler([study(0, ())], 2), "A fold without it teaches nothing"),
        (lambda: SliceSampler([study(), ONE_CHANNEL], 2), "studies of one size"),
        (lambda: SliceSampler([study()], 2, neighbors=1, depth=3), "Neighbors are 0 or more"),
        (lambda: SliceSampler([study()], 2).batches(seed=1, size=0), "1 or more samples"),
        (lambda: SliceSampler([study()], 2).batches(seed=1, size=1, focus_share=2), "a share in"),
        (lambda: LabeledStudy("x", np.zeros((8, 9, 3), np.float32), np.zeros((8, 9, 3), np.uint8)), "case x has"),
        (lambda: SliceAugmentSettings(channel_dropout=1.0), "channel_dropout in"),
    ],
)  # fmt: skip
def test_refusals(make, message):
    with pytest.raises(PatchError, match=message):
        make()


def test_no_change_changes_nothing():
    change = SliceAugmentation.drawn(SliceAugmentSettings(), 2, np.random.default_rng(1))
    image = np.random.default_rng(2).uniform(-1, 1, (2, 5, 6)).astype(np.float32)
    assert np.allclose(change.applied_to(image), image, atol=1e-6)


def test_labels_move_with_the_image():
    settings = SliceAugmentSettings(flip=True, shift=3)
    rng = np.random.default_rng(5)
    for _ in range(20):
        labels = (rng.random((7, 8)) > 0.5).astype(np.uint8)
        image = np.where(labels, 1, -1).astype(np.float32)[None]
        change = SliceAugmentation.drawn(settings, 1, rng)
        assert np.array_equal(change.applied_to(image)[0] > 0, change.moved(labels, fill=0) > 0)
    moved = SliceAugmentation(False, (1, -2), (1.0,), (0.0,), (False,)).moved(np.arange(12).reshape(3, 4), fill=-9)
    assert moved.tolist() == [[-9, -9, -9, -9], [2, 3, -9, -9], [6, 7, -9, -9]]
    flipped = SliceAugmentation(True, (0, 0), (1.0,), (0.0,), (False,)).moved(np.arange(4).reshape(2, 2), fill=0)
    assert flipped.tolist() == [[2, 3], [0, 1]]


def test_one_channel_always_stays():
    settings = SliceAugmentSettings(channel_dropout=0.95)
    rng = np.random.default_rng(1)
    drawn = [SliceAugmentation.drawn(settings, 3, rng) for _ in range(60)]
    assert all(not all(change.missing) for change in drawn)
    assert any(sum(change.missing) == 2 for change in drawn)
    image = np.zeros((3, 2, 2), np.float32)
    change = SliceAugmentation(False, (0, 0), (1.0,) * 3, (0.0,) * 3, (False, True, False))
    assert change.applied_to(image)[:, 0, 0].tolist() == [0.0, -1.0, 0.0]
