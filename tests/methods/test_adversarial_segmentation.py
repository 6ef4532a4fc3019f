"""The arms of the adversarial segmenter: one budget, one order of data, and terms in closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medgan.errors import TrainingError
from medgan.methods.adversarial_segmentation import (
    ARMS,
    AdversarialSegmentationSettings,
    MapDiscriminatorSettings,
    SegmentationBatch,
    SegmenterSettings,
    build,
    step,
)
from medgan.methods.adversarial_segmentation_terms import (
    adversarial_loss,
    cross_entropy,
    dice_loss,
    discriminator_accuracy,
    discriminator_loss,
    one_hot,
    softened,
    softness_accuracy,
    verdict_of,
)
from medgan.patches.slices import LabeledStudy, SliceSampler
from medgan.seeding import torch_generator
from medgan.training.loop import LoopSettings, Method, train


def settings(arm: str = "hybrid", **changes) -> AdversarialSegmentationSettings:
    base = AdversarialSegmentationSettings(
        arm=arm,
        in_channels=2,
        classes=3,
        focus_class=2,
        steps=8,
        segmenter=SegmenterSettings(width=8, levels=1),
        discriminator=MapDiscriminatorSettings(width=4, layers=1),
        discriminator_lead=0.25,
    )
    return replace(base, **changes)


def batch(seed: int = 0, size: int = 12) -> SegmentationBatch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(3, 2, size, size, generator=generator) * 2 - 1
    labels = (images[:, 0] > 0).long() + (images[:, 1] > 0.5).long()
    return SegmentationBatch(images=images, labels=labels, case_ids=("a", "b", "c"))


def studies() -> list[LabeledStudy]:
    rng = np.random.default_rng(3)
    found = []
    for n in range(3):
        channels = rng.uniform(-1, 1, (2, 12, 12, 5)).astype(np.float32)
        labels = (channels[0] > 0.2).astype(np.uint8)
        labels[4:7, 4:7, 1] = 2
        found.append(LabeledStudy(f"case_{n}", channels, labels))
    return found


def test_all_arms_see_the_same_batches_and_start_from_the_same_weights(tmp_path):
    batches = SliceSampler(studies(), 2).batches(seed=5, size=4)
    seen, first = {}, {}
    for arm in ARMS:
        chosen = settings(arm)
        given = []

        def recording_step(state, one, *rest, into=given, **options):
            into.append((one.images.clone(), one.labels.clone(), one.case_ids))
            return step(state, one, *rest, **options)

        first[arm] = build(chosen, seed=7).segmenter.state_dict()
        method = Method(build=build, step=recording_step)
        train(method, chosen, batches=batches, folder=tmp_path / arm, loop=LoopSettings(steps=8), seed=7)
        seen[arm] = given
    for arm in ARMS[1:]:
        assert len(seen[arm]) == len(seen["cross_entropy"]) == 8
        for one, other in zip(seen[arm], seen["cross_entropy"]):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])
            assert one[2] == other[2]
        assert all(torch.equal(first[arm][name], value) for name, value in first["cross_entropy"].items())


def test_arms_are_alike_until_adversarial_terms_begin_and_differ_after():
    """The adversarial arm takes the same first half as cross-entropy, to the bit; then it leaves."""
    states = {arm: build(settings(arm), seed=1) for arm in ("cross_entropy", "adversarial")}
    for n in range(6):
        for arm, state in states.items():
            step(state, batch(n), settings(arm), torch_generator(0))
        one, other = (state.segmenter.state_dict() for state in states.values())
        same = all(torch.equal(one[name], other[name]) for name in one)
        assert same is (n < 4)


def test_phases_and_terms_of_each_step():
    chosen = settings("hybrid")
    state = build(chosen, seed=1)
    names = [set(step(state, batch(n), chosen, torch_generator(0)).as_dict()) for n in range(5)]
    assert "discriminator" not in names[0]
    assert "discriminator" in names[2]
    assert "adversarial" not in names[2]
    assert {"adversarial", "gradient_ratio", "adversarial_weight", "discriminator_accuracy"} <= names[4]
    assert state.step == 5


def test_the_discriminator_learns_and_is_not_reached_by_the_segmenters_loss():
    chosen = settings("hybrid", adversarial_start=0.0, discriminator_rate=0.0)
    state = build(chosen, seed=1)
    before = {name: value.clone() for name, value in state.discriminator.state_dict().items()}
    segmenter = {name: value.clone() for name, value in state.segmenter.state_dict().items()}
    step(state, batch(), chosen, torch_generator(0))
    assert all(torch.equal(before[name], value) for name, value in state.discriminator.state_dict().items())
    assert any(not torch.equal(segmenter[name], value) for name, value in state.segmenter.state_dict().items())


def test_the_weight_holds_the_gradient_ratio_at_its_limit():
    chosen = settings("hybrid", adversarial_start=0.0, gradient_ratio_limit=1e-3, adversarial_weight=5.0)
    losses = step(build(chosen, seed=1), batch(), chosen, torch_generator(0)).terms
    applied = losses["gradient_ratio"] * losses["adversarial_weight"] / 0.5
    assert applied == pytest.approx(1e-3, rel=1e-4)
    free = replace(chosen, gradient_ratio_limit=None)
    assert step(build(free, seed=1), batch(), free, torch_generator(0)).terms["adversarial_weight"] == 5.0


def test_the_gradient_is_that_of_the_stated_sum():
    """One backward pass through the segmenter gives what autograd gives for CE / 2 + w L_S."""
    chosen = settings("hybrid", adversarial_start=0.0, gradient_ratio_limit=None, adversarial_weight=0.7, rate=0.0)
    state = build(chosen, seed=1)
    one = batch()
    state.segmenter_optimizer.zero_grad()
    logits = state.segmenter(one.images)
    verdict = verdict_of(state.discriminator, torch.softmax(logits, 1), one.images, chosen.discriminator)
    (0.5 * F.cross_entropy(logits, one.labels) + 0.7 * adversarial_loss(verdict)).backward()
    wanted = [p.grad.clone() for p in state.segmenter.parameters()]
    step(state, one, chosen, torch_generator(0))
    for expected, parameter in zip(wanted, state.segmenter.parameters()):
        assert torch.allclose(parameter.grad, expected, atol=1e-6)


def test_total_is_the_weighted_sum():
    chosen = settings("hybrid", adversarial_start=0.0)
    losses = step(build(chosen, seed=1), batch(), chosen, torch_generator(0))
    terms = losses.terms
    assert losses.total == pytest.approx(
        0.5 * terms["cross_entropy"] + terms["adversarial_weight"] * terms["adversarial"]
    )
    plain = settings("dice_cross_entropy")
    losses = step(build(plain, seed=1), batch(), plain, torch_generator(0))
    assert losses.total == pytest.approx(losses.terms["cross_entropy"] + losses.terms["dice"])
    shares = [losses.terms[f"expert_share_{c}"] for c in range(3)]
    assert sum(shares) == pytest.approx(1.0)


def test_dice_and_cross_entropy_against_monai():
    from monai.losses import DiceCELoss

    logits = torch.randn(2, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(0, 3, (2, 6, 5), generator=torch.Generator().manual_seed(2))
    oracle = DiceCELoss(softmax=True, to_onehot_y=True, batch=True, smooth_nr=1e-5, smooth_dr=1e-5)
    ours = cross_entropy(logits, labels) + dice_loss(logits, labels)
    assert float(ours) == pytest.approx(float(oracle(logits, labels[:, None])), rel=1e-5)


def test_losses_of_a_blind_discriminator():
    zero = torch.zeros(4)
    assert float(adversarial_loss(zero)) == pytest.approx(math.log(2))
    assert float(discriminator_loss(expert=zero, predicted=zero)) == pytest.approx(2 * math.log(2))
    assert discriminator_accuracy(expert=torch.tensor([1.0, -1.0]), other=torch.tensor([-1.0, -1.0])) == 0.75


@pytest.mark.parametrize("softening", ["scaled", "smooth", "none"])
def test_softened_maps_are_distributions_with_the_experts_class_on_top(softening):
    labels = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
    predicted = torch.softmax(torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2)), 1)
    soft = softened(one_hot(labels, 3), predicted, softening=softening, smoothing=0.1)
    assert torch.allclose(soft.sum(1), torch.ones(2, 4, 4), atol=1e-6)
    assert torch.equal(soft.argmax(1), labels)
    highest = float(soft.max(1).values.min())
    assert highest == pytest.approx({"scaled": 0.9, "smooth": 0.9 + 0.1 / 3, "none": 1.0}[softening], abs=1e-5)


def test_scaled_maps_are_as_sharp_as_a_prediction_that_is_right():
    labels = torch.zeros(1, 2, 2, dtype=torch.long)
    predicted = torch.tensor([0.97, 0.02, 0.01])[None, :, None, None].expand(1, 3, 2, 2)
    soft = softened(one_hot(labels, 3), predicted, softening="scaled", smoothing=0.1)
    assert torch.allclose(soft, predicted, atol=1e-6)


class SharpnessJudge(torch.nn.Module):
    """Calls a map expert's when its highest values are high: the one-hot shortcut, by construction."""

    def forward(self, given):
        return (given[:, :3].max(1, keepdim=True).values.mean((2, 3), keepdim=True) - 0.985) * 100


def test_softness_accuracy_shows_the_shortcut_and_a_blind_judge_has_half():
    one = batch()
    chosen = MapDiscriminatorSettings()
    shortcut = softness_accuracy(SharpnessJudge(), one.images, one.labels, classes=3, settings=chosen)
    blind = softness_accuracy(
        lambda given: torch.ones(len(given), 1, 1, 1), one.images, one.labels, classes=3, settings=chosen
    )
    assert shortcut == 1.0
    assert blind == 0.5


def test_verdicts_of_patches_and_of_whole_maps():
    judge = torch.nn.Conv2d(3, 1, 1, bias=False)
    maps = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    blind = MapDiscriminatorSettings(sees_image=False, verdict="patch")
    patches = verdict_of(judge, maps, torch.zeros(2, 1, 4, 4), blind)
    whole = verdict_of(judge, maps, torch.zeros(2, 1, 4, 4), replace(blind, verdict="map"))
    assert patches.shape == (2, 1, 4, 4)
    assert torch.allclose(whole, patches.flatten(1).mean(1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arm": "gan"}, "An arm is one of"),
        ({"focus_class": 3}, "one of 3 classes, counted from 0: found 3"),
        ({"adversarial_start": 1.5}, "adversarial_start in \\[0, 1\\]: found 1.5"),
        ({"gradient_ratio_limit": 0.0}, "positive limit"),
        ({"discriminator": MapDiscriminatorSettings(smoothing=1.0)}, "Smoothing must lie in"),
    ],
)
def test_refused_settings(changes, message):
    with pytest.raises(TrainingError, match=message):
        settings(**changes)


def test_refused_batches_and_states():
    chosen = settings("cross_entropy")
    state = build(chosen, seed=1)
    wrong = replace(batch(), labels=batch().labels + 1)
    with pytest.raises(TrainingError, match="Labels must be 0 to 2: found 3 in cases a, b, c"):
        step(state, wrong, chosen, torch_generator(0))
    with pytest.raises(TrainingError, match="Labels need the shape"):
        step(state, replace(batch(), labels=batch().labels[:, :4]), chosen, torch_generator(0))
    with pytest.raises(TrainingError, match="they differ in discriminator, discriminator_optimizer"):
        state.load_state_dict(build(settings("hybrid"), seed=1).state_dict())
    with pytest.raises(TrainingError, match="needs a state with a discriminator"):
        step(state, batch(), settings("hybrid", adversarial_start=0.0), torch_generator(0))


def test_bfloat16_forward_passes_train():
    chosen = settings("hybrid", adversarial_start=0.0)
    losses = step(build(chosen, seed=1, form="fast"), batch(), chosen, torch_generator(0), precision="bfloat16")
    assert math.isfinite(losses.total)


def test_three_dimensions():
    chosen = settings(
        "hybrid",
        spatial_dims=3,
        adversarial_start=0.0,
        segmenter=SegmenterSettings(width=8, levels=1, halve_last=False),
    )
    images = torch.rand(1, 2, 8, 8, 6, generator=torch.Generator().manual_seed(1))
    one = SegmentationBatch(images=images, labels=(images[:, 0] > 0.5).long())
    assert math.isfinite(step(build(chosen, seed=1), one, chosen, torch_generator(0)).total)
