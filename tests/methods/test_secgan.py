"""SECGAN: what reaches which network, what each mode judges, and that crops line up to the voxel."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from medgan.errors import DivergenceError, NetworkError, TrainingError
from medgan.methods.cyclegan_terms import discriminator_loss
from medgan.methods.secgan import SECGAN, SecganState, secgan
from medgan.methods.secgan_settings import (
    SecganSettings,
    SecganWeights,
    ValidGeneratorSettings,
    VolumeDiscriminatorSettings,
)
from medgan.methods.secgan_terms import (
    SecganBatch,
    SecganNetworks,
    discriminator_terms,
    judged,
    secgan_cycles,
    secgan_terms,
    segmented,
)
from medgan.networks.boundary_unet import BoundaryUNet
from medgan.seeding import torch_generator
from medgan.training.loop import LoopSettings, train
from medgan.training.monitors import PolarityGuard

MODES = ("none", "mask", "both", "separate")
SMALL = SecganSettings(
    steps=8,
    generator=ValidGeneratorSettings(depth=1, width=3),
    discriminator=VolumeDiscriminatorSettings(kind="residual", width=1),
    average_decay=0.5,
)


def batch(seed: int = 1, size: int = 16) -> SecganBatch:
    images = torch.rand(2, 1, size, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return SecganBatch(labeled=images[:1], unlabeled=images[1:], labeled_case_ids=("l",), unlabeled_case_ids=("u",))


class Segmenter(nn.Module):
    """Two channels of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = BoundaryUNet(width=2, section_pools=(2,), out_channels=2)

    def forward(self, image):
        return torch.sigmoid(self.network(image))


def trained(mode: str, steps: int = 2) -> tuple[SecganState, Segmenter, SecganSettings]:
    settings, segmenter = replace(SMALL, segmentation=mode), Segmenter()
    method = secgan(segmenter, channels=2)
    state = method.build(settings, seed=3)
    for step in range(steps):
        method.step(state, batch(step), settings, torch_generator(1, step))
    return state, segmenter, settings


def gradients(term: torch.Tensor, state: SecganState) -> dict[str, bool]:
    """Return which generator a loss term reaches."""
    reached = {}
    for name in ("labeled_to_unlabeled", "unlabeled_to_labeled"):
        parameters = list(getattr(state, name).parameters())
        found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        reached[name] = any(g is not None and bool(g.abs().sum() > 0) for g in found)
    return reached


@pytest.mark.parametrize("mode", MODES)
def test_each_term_reaches_its_generators_and_the_segmentation_one_only(mode):
    state, segmenter, settings = trained(mode)
    networks = state.networks(segmenter)
    cycles = secgan_cycles(networks, batch(), noise=0.0, quantize=False, generator=torch.Generator())
    terms = dict(secgan_terms(networks, batch(), cycles, settings).items())
    there, back = (
        {"labeled_to_unlabeled": True, "unlabeled_to_labeled": False},
        {"labeled_to_unlabeled": False, "unlabeled_to_labeled": True},
    )
    expected = {"adversarial_unlabeled": there, "cycle_labeled": dict.fromkeys(there, True)}
    expected["cycle_unlabeled"] = expected["cycle_labeled"]
    if mode in ("none", "separate"):
        expected["adversarial_labeled"] = back
    if mode != "none":
        expected["segmentation"] = back
    assert {name: gradients(term, state) for name, term in terms.items()} == expected


@pytest.mark.parametrize("mode", MODES)
def test_the_segmenter_stays_as_it_is_and_everything_else_learns(mode):
    settings, segmenter = replace(SMALL, segmentation=mode), Segmenter()
    segmenter.train()
    before = copy.deepcopy(segmenter.state_dict())
    method = secgan(segmenter, channels=2)
    assert not segmenter.training
    assert not any(p.requires_grad for p in segmenter.parameters())
    state = method.build(settings, seed=3)
    first = copy.deepcopy(state.state_dict())
    losses = method.step(state, batch(), settings, torch.Generator().manual_seed(1)).as_dict()
    for name, value in segmenter.state_dict().items():
        assert torch.equal(value, before[name])
    for name in ("labeled_to_unlabeled", "unlabeled_to_labeled", "labeled_discriminator", "unlabeled_discriminator"):
        weights = state.state_dict()[name]
        assert any(not torch.equal(weights[key], first[name][key]) for key in weights), name
    assert ("segmentation_discriminator" in state.state_dict()) == (mode == "separate")
    assert ("discriminator_segmentation" in losses) == (mode == "separate")
    assert losses["total"] == pytest.approx(
        sum(v for k, v in losses.items() if k != "total" and not k.startswith("discriminator"))
    )


class Shift(nn.Module):
    """A VALID generator whose effect can be read off: the middle, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, image):
        return self.factor * image[..., 2:-2, 2:-2, 2:-2]


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.seen: list[torch.Tensor] = []

    def forward(self, image):
        self.seen.append(image.detach().clone())
        return self.factor * image


def readable(**options) -> SecganNetworks:
    return SecganNetworks(
        labeled_to_unlabeled=Shift(0.5),
        unlabeled_to_labeled=Shift(2.0),
        labeled_discriminator=Scale(0.3),
        unlabeled_discriminator=Scale(0.7),
        **options,
    )


def test_crops_line_up_to_the_voxel():
    # Halved and doubled again, a cycle gives the middle of the original: its term is 0 only if crops line up.
    settings = replace(SMALL, segmentation="none")
    networks = readable()
    cycles = secgan_cycles(networks, batch(), noise=0.0, quantize=False, generator=torch.Generator())
    terms = dict(secgan_terms(networks, batch(), cycles, settings).items())
    assert float(terms["cycle_labeled"].detach()) == float(terms["cycle_unlabeled"].detach()) == 0
    rolled = replace(batch(), labeled=torch.roll(batch().labeled, 1, dims=2))
    assert float(dict(secgan_terms(networks, rolled, cycles, settings).items())["cycle_labeled"].detach()) > 0.1


def test_judges_see_real_images_of_the_size_and_place_of_translations():
    networks, images = readable(), batch()
    cycles = secgan_cycles(networks, images, noise=0.0, quantize=False, generator=torch.Generator())
    discriminator_terms(networks, images, cycles, replace(SMALL, segmentation="none"))
    real, fake = networks.unlabeled_discriminator.seen
    assert torch.equal(real, images.unlabeled[..., 2:-2, 2:-2, 2:-2])
    assert torch.equal(fake, 0.5 * images.labeled[..., 2:-2, 2:-2, 2:-2])


def test_the_terms_are_those_of_the_paper():
    weights = SecganWeights(adversarial=1.0, cycle_labeled=2.5, cycle_unlabeled=0.5)
    settings = replace(SMALL, segmentation="separate", weights=weights)
    networks = readable(segmenter=Segmenter(), segmentation_discriminator=Scale(0.9))
    images = batch()
    cycles = secgan_cycles(networks, images, noise=0.0, quantize=False, generator=torch.Generator())
    cycles = replace(cycles, reconstructed_labeled=cycles.reconstructed_labeled + 0.1)
    terms = dict(secgan_terms(networks, images, cycles, settings).items())
    fake_unlabeled, fake_labeled = cycles.synthetic_unlabeled, cycles.synthetic_labeled
    probabilities = networks.segmenter(fake_labeled)
    expected = {
        # Twice, because the labeled domain has two judges.
        "adversarial_unlabeled": 2 * (0.7 * fake_unlabeled - 1).square().mean(),
        "adversarial_labeled": (0.3 * fake_labeled - 1).square().mean(),
        "segmentation": (0.9 * (probabilities - 0.5) - 1).square().mean(),
        "cycle_labeled": torch.tensor(2.5 * 0.1),
        "cycle_unlabeled": torch.tensor(0.0),
    }
    assert {k: float(v.detach()) for k, v in terms.items()} == pytest.approx(
        {k: float(v.detach()) for k, v in expected.items()}, rel=1e-4, abs=1e-6
    )
    judges = discriminator_terms(networks, images, cycles, settings)
    # Least squares without the half that CycleGAN's discriminator loss has.
    real = images.unlabeled[..., 2:-2, 2:-2, 2:-2]
    half = discriminator_loss(networks.unlabeled_discriminator, real=real, synthetic=fake_unlabeled)
    assert float(judges["discriminator_unlabeled"].detach()) == pytest.approx(2 * float(half.detach()))


def test_what_the_labeled_judge_sees():
    segmenter, image = Segmenter(), batch().labeled
    assert judged("none", None, image) is image
    assert judged("separate", segmenter, image) is image
    assert judged("mask", segmenter, image).shape[1] == 2
    both = judged("both", segmenter, image)
    assert torch.equal(both[:, 2:], image)
    assert torch.equal(both[:, :2], segmenter(image) - 0.5)


def test_a_segmenter_is_needed_and_keeps_the_size():
    with pytest.raises(TrainingError, match="needs a segmenter: found none"):
        segmented(None, batch().labeled)
    with pytest.raises(TrainingError, match="probabilities for every voxel"):
        segmented(Shift(1.0), batch().labeled)
    settings = replace(SMALL, segmentation="mask")
    with pytest.raises(TrainingError, match="needs a segmenter"):
        SECGAN.step(SECGAN.build(settings, seed=1), batch(), settings, torch.Generator())


def test_a_channel_that_does_not_fit_is_refused():
    settings = replace(SMALL, segmentation="mask")
    method = secgan(Segmenter(), channels=1)
    with pytest.raises(NetworkError, match=r"shape \(N, 1, I, J, K\)"):
        method.step(method.build(settings, seed=1), batch(), settings, torch.Generator())


def test_noise_is_an_input_and_may_disturb_the_legs():
    settings = replace(SMALL, segmentation="none", generator=ValidGeneratorSettings(depth=1, width=3, noise_channels=1))
    state = SECGAN.build(settings, seed=1)
    networks = state.networks(None)

    def fake(seed: int, **options) -> torch.Tensor:
        options = {"noise": 0.0, "quantize": False, **options}
        generator = torch.Generator().manual_seed(seed)
        return secgan_cycles(networks, batch(), generator=generator, **options).synthetic_labeled.detach()

    assert torch.equal(fake(1), fake(1))
    assert not torch.equal(fake(1), fake(2))
    plain = SECGAN.build(replace(SMALL, segmentation="none"), seed=1).networks(None)
    quiet, noisy = (
        secgan_cycles(plain, batch(), noise=n, quantize=False, generator=torch.Generator().manual_seed(1))
        for n in (0.0, 0.2)
    )
    assert torch.equal(quiet.synthetic_labeled, noisy.synthetic_labeled)
    assert not torch.equal(quiet.reconstructed_labeled, noisy.reconstructed_labeled)


def test_averages_are_the_weights_to_use():
    state, _, _ = trained("none")
    used, last = state.generator_weights("unlabeled_to_labeled"), state.unlabeled_to_labeled.state_dict()
    assert any(not torch.equal(used[name], last[name]) for name in last)
    bare = SECGAN.build(replace(SMALL, average_decay=None), seed=1)
    assert torch.equal(bare.generator_weights("labeled_to_unlabeled")["last.bias"], bare.labeled_to_unlabeled.last.bias)


def test_an_inversion_starts_everything_anew_three_times_at_most(tmp_path):
    settings = replace(
        SMALL, segmentation="none", steps=4, generator=ValidGeneratorSettings(depth=1, width=3, head="residual")
    )
    seen = []

    def run(polarity: str, folder: str):
        return train(
            SECGAN,
            settings,
            batches=lambda step, attempt: seen.append((step, attempt)) or batch(step),
            folder=tmp_path / folder,
            loop=LoopSettings(steps=4, save_every=2),
            seed=1,
            guard=PolarityGuard(expected_polarity=polarity, check_steps=(3,)),
        )

    assert run("same", "same").step == 4
    assert {attempt for _, attempt in seen} == {0}
    seen.clear()
    # A residual generator starts with the polarity of its input: expecting the other one must give up.
    with pytest.raises(DivergenceError, match="after 3 restarts"):
        run("inverted", "inverted")
    assert seen == [(step, attempt) for attempt in range(4) for step in (1, 2, 3)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps at least 1"),
        ({"segmentation": "all"}, "segmentation one of"),
        ({"leg_noise": -1.0}, "leg_noise at least 0"),
        ({"constant_fraction": 2.0}, "constant_fraction"),
        ({"weights": SecganWeights(cycle_labeled=-1.0)}, "weights.cycle_labeled at least 0"),
        ({"weights": SecganWeights(adversarial=0, cycle_labeled=0, cycle_unlabeled=0)}, "above 0: found all 0"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(TrainingError, match=message):
        replace(SMALL, **options)


def test_a_state_of_other_settings_is_refused():
    state = SECGAN.build(replace(SMALL, segmentation="none"), seed=1)
    other = SECGAN.build(replace(SMALL, segmentation="none", average_decay=None), seed=1)
    with pytest.raises(TrainingError, match="they differ in average_labeled_to_unlabeled"):
        other.load_state_dict(state.state_dict())
