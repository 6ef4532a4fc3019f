"""The boundary segmenter: its losses in closed form, what counts, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from medgan.errors import TrainingError
from medgan.methods.boundary_segmentation import (
    BOUNDARIES,
    BoundaryBatch,
    BoundaryNetworkSettings,
    BoundarySettings,
    ProbabilitySegmenter,
    dice_distance,
    weighted_cross_entropy,
)

SETTINGS = BoundarySettings(steps=80, network=BoundaryNetworkSettings(width=8, section_pools=(2,)), rate=3e-3)


def bright(step: int) -> BoundaryBatch:
    image = torch.rand(1, 1, 12, 12, 12, generator=torch.Generator().manual_seed(step)) * 2 - 1
    target = (image > 0.3).float()
    return BoundaryBatch(image=image, target=target, counted=torch.ones_like(target))


def test_it_learns_what_a_threshold_defines():
    state = BOUNDARIES.build(SETTINGS, seed=1)
    losses = [BOUNDARIES.step(state, bright(step), SETTINGS, torch.Generator()).total for step in range(80)]
    assert losses[-1] < 0.5 * losses[0]
    segmenter = ProbabilitySegmenter(state.segmenter)
    last = bright(99)
    right = ((segmenter(last.image) > 0.5) == (last.target > 0.5)).float().mean()
    assert float(right) > 0.85


def test_cross_entropy_counts_what_is_known_and_weighs_positives():
    logits, target = torch.tensor([0.0, 0.0, 5.0]), torch.tensor([1.0, 0.0, 0.0])
    counted = torch.tensor([1.0, 1.0, 0.0])
    value = weighted_cross_entropy(logits, target, counted, positive_weight=3.0)
    assert float(value) == pytest.approx(float(torch.log(torch.tensor(2.0))))
    lone = weighted_cross_entropy(torch.tensor([2.0, -2.0]), torch.ones(2), torch.ones(2), positive_weight=3.0)
    assert float(lone) == pytest.approx(float(torch.nn.functional.softplus(torch.tensor([-2.0, 2.0])).mean()))
    assert float(weighted_cross_entropy(logits, target, counted * 0, positive_weight=1.0)) == 0


def test_dice_of_a_sure_answer():
    target = torch.tensor([1.0, 1.0, 0.0, 0.0])
    sure = torch.tensor([50.0, 50.0, -50.0, -50.0])
    assert float(dice_distance(sure, target, torch.ones(4))) == pytest.approx(0, abs=1e-6)
    assert float(dice_distance(-sure, target, torch.ones(4))) == pytest.approx(1 - 1 / 5)


def test_channels_are_boundaries_or_offsets():
    affinities = replace(SETTINGS, offsets_zyx=((-1, 0, 0), (0, 0, -4)))
    assert (SETTINGS.out_channels, affinities.out_channels) == (1, 2)
    assert affinities.offsets_ijk == ((0, 0, -1), (-4, 0, 0))
    state = BOUNDARIES.build(affinities, seed=1)
    with pytest.raises(TrainingError, match="has 2 channels: found targets of shape"):
        BOUNDARIES.step(state, bright(1), affinities, torch.Generator())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps at least 1"),
        ({"positive_weight": 0}, "positive_weight above 0"),
        ({"dice_weight": -1}, "dice_weight at least 0"),
        ({"constant_fraction": -0.1}, "constant_fraction"),
        ({"offsets_zyx": ((0, 0, 0),)}, "not all 0"),
        ({"offsets_zyx": ((1, 0, 0), (1, 0, 0))}, "different"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(TrainingError, match=message):
        replace(SETTINGS, **options)


def test_a_state_of_other_settings_is_refused():
    state = BOUNDARIES.build(replace(SETTINGS, average_decay=0.9), seed=1)
    with pytest.raises(TrainingError, match="they differ in average"):
        BOUNDARIES.build(SETTINGS, seed=1).load_state_dict(state.state_dict())
    assert set(state.weights()) == set(state.segmenter.state_dict())
