"""CycleGAN: which term reaches which network, what the options do, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medgan.errors import TrainingError
from medgan.methods.cyclegan import (
    CYCLEGAN,
    CycleGANBatch,
    CycleGANSettings,
    Cycles,
    DiscriminatorSettings,
    GeneratorSettings,
    WarmStart,
    Weights,
)
from medgan.methods.cyclegan_terms import (
    Networks,
    cycle_distance,
    discriminator_loss,
    generator_terms,
    prepared,
    quantized,
    translate_cycles,
)
from medgan.methods.structural_similarity import structural_similarity
from medgan.seeding import torch_generator

NAMES = ("source_to_target", "target_to_source", "target_discriminator", "source_discriminator")
SMALL = CycleGANSettings(
    spatial_dims=2,
    steps=10,
    generator=GeneratorSettings(width=4, blocks=1, normalization="none"),
    discriminator=DiscriminatorSettings(width=4, layers=1, normalization="none"),
    pool=2,
)


def image(seed: int, *extent: int) -> torch.Tensor:
    return torch.rand(1, 1, *(extent or (16, 16)), generator=torch.Generator().manual_seed(seed)) * 2 - 1


def batch(**masks) -> CycleGANBatch:
    return CycleGANBatch(source=image(1), target=image(2), source_case_ids=("s_1",), target_case_ids=("t_1",), **masks)


class Affine(nn.Module):
    """A generator or discriminator whose effect can be read off: ``factor * image + offset``."""

    def __init__(self, factor: float, offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.offset = nn.Parameter(torch.tensor(factor)), offset
        self.seen: list[torch.Tensor] = []

    def forward(self, image, body=None):
        self.seen.append(image.detach().clone())
        return self.factor * image + self.offset


def affine_networks() -> Networks:
    return Networks(
        source_to_target=Affine(2.0, 0.1),
        target_to_source=Affine(-3.0, 0.2),
        target_discriminator=Affine(0.5, 0.3),
        source_discriminator=Affine(0.25, 0.4),
    )


def cycles_of(networks: Networks, images: CycleGANBatch, *, noise: float = 0.0, quantize: bool = False) -> Cycles:
    return translate_cycles(
        networks.source_to_target,
        networks.target_to_source,
        images,
        noise=noise,
        quantize=quantize,
        generator=torch.Generator().manual_seed(1),
    )


def terms_of(networks: Networks, weights: Weights, **options):
    settings = replace(SMALL, weights=weights, **options)
    return generator_terms(networks, batch(), cycles_of(networks, batch()), settings, step=0)


def test_the_terms_are_those_of_the_paper():
    x, y = image(1), image(2)

    def g(value):
        return 2 * value + 0.1

    def f(value):
        return -3 * value + 0.2

    terms = dict(terms_of(affine_networks(), Weights(adversarial=1.0, cycle=10.0, identity=5.0)).items())
    expected = {
        "adversarial_target": (0.5 * g(x) + 0.3 - 1).square().mean(),
        "adversarial_source": (0.25 * f(y) + 0.4 - 1).square().mean(),
        "cycle_source": 10 * (f(g(x)) - x).abs().mean(),
        "cycle_target": 10 * (g(f(y)) - y).abs().mean(),
        "identity_target": 5 * (g(y) - y).abs().mean(),
        "identity_source": 5 * (f(x) - x).abs().mean(),
    }
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(
        {name: float(value) for name, value in expected.items()}, rel=1e-5
    )


def test_the_total_is_the_sum_of_the_terms():
    terms = terms_of(affine_networks(), Weights())
    assert float(terms.total.detach()) == pytest.approx(sum(float(term.detach()) for _, term in terms.items()))


def test_terms_of_weight_zero_are_not_computed():
    networks = affine_networks()
    terms = dict(terms_of(networks, Weights(adversarial=0.0, identity=0.0)).items())
    assert sorted(terms) == ["cycle_source", "cycle_target"]
    assert not networks.target_discriminator.seen
    assert len(networks.source_to_target.seen) == 2  # one leg of each cycle, no identity pass


@pytest.mark.parametrize(
    ("term", "reached"),
    [
        ("adversarial_target", {"source_to_target", "target_discriminator"}),
        ("adversarial_source", {"target_to_source", "source_discriminator"}),
        ("cycle_source", {"source_to_target", "target_to_source"}),
        ("cycle_target", {"source_to_target", "target_to_source"}),
        ("identity_target", {"source_to_target"}),
        ("identity_source", {"target_to_source"}),
        ("structure", {"source_to_target", "target_to_source"}),
        ("anchor", {"source_to_target"}),
    ],
)
def test_each_term_reaches_the_right_networks(term, reached):
    networks = affine_networks()
    table = WarmStart(knots=((-1.0, 1.0), (1.0, 0.0)), anchor_weight=1.0)
    terms = dict(terms_of(networks, Weights(identity=1.0, structure=1.0), warm_start=table).items())
    parameters = {name: getattr(networks, name).factor for name in NAMES}
    gradients = torch.autograd.grad(terms[term], list(parameters.values()), allow_unused=True)
    found = {name for name, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    assert found == reached


def test_the_discriminator_loss_has_its_half_and_does_not_reach_the_generator():
    discriminator, generator = Affine(0.5, 0.3), Affine(2.0)
    real, fake = image(1), generator(image(2))
    loss = discriminator_loss(discriminator, real=real, synthetic=fake.detach())
    expected = 0.5 * ((0.5 * real + 0.3 - 1).square().mean() + (0.5 * 2 * image(2) + 0.3).square().mean())
    assert float(loss.detach()) == pytest.approx(float(expected))
    loss.backward()
    assert discriminator.factor.grad is not None
    assert generator.factor.grad is None


def weights_of(state) -> dict[str, torch.Tensor]:
    return {
        name: torch.cat([weight.detach().flatten() for weight in getattr(state, name).parameters()]) for name in NAMES
    }


def taken(settings: CycleGANSettings, steps: int, **options):
    state = CYCLEGAN.build(settings, seed=1, form="fast")
    losses = []
    for number in range(steps):
        losses.append(CYCLEGAN.step(state, batch(), settings, torch_generator(1, number), **options))
    return state, losses


def test_one_step_moves_all_four_networks_and_counts():
    before = weights_of(CYCLEGAN.build(SMALL, seed=1, form="fast"))
    state, (losses,) = taken(SMALL, 1)
    after = weights_of(state)
    assert all(not torch.equal(before[name], after[name]) for name in NAMES)
    assert state.step == 1
    assert sorted(losses.as_dict()) == [
        "adversarial_source", "adversarial_target", "cycle_source", "cycle_target",
        "discriminator_source", "discriminator_target", "total",
    ]  # fmt: skip
    assert losses.total == pytest.approx(sum(losses.generators.values()))


def test_the_generators_loss_leaves_no_gradient_on_the_discriminators():
    frozen = replace(SMALL, discriminator_rate=0.0)
    before = weights_of(CYCLEGAN.build(frozen, seed=1))
    after = weights_of(taken(frozen, 3)[0])
    assert torch.equal(before["target_discriminator"], after["target_discriminator"])
    assert not torch.equal(before["source_to_target"], after["source_to_target"])


def test_the_discriminators_loss_leaves_the_generators_alone():
    frozen = replace(SMALL, generator_rate=0.0)
    before = weights_of(CYCLEGAN.build(frozen, seed=1))
    after = weights_of(taken(frozen, 3)[0])
    assert torch.equal(before["source_to_target"], after["source_to_target"])
    assert not torch.equal(before["target_discriminator"], after["target_discriminator"])


def test_the_pool_feeds_the_discriminators_only(monkeypatch):
    state = CYCLEGAN.build(SMALL, seed=1)
    planted = torch.full((1, 1, 16, 16), 0.625)
    monkeypatch.setattr(state.target_pool, "query", lambda images, generator: planted)
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in NAMES}
    for name in NAMES:
        getattr(state, name).register_forward_pre_hook(
            lambda module, inputs, name=name: seen[name].append(inputs[0].detach())
        )
    CYCLEGAN.step(state, batch(), SMALL, torch_generator(1, 0))

    def times(name: str) -> int:
        return sum(torch.equal(value, planted) for value in seen[name])

    assert [times(name) for name in NAMES] == [0, 0, 1, 0]
    assert len(seen["target_discriminator"]) == 3  # translation, real, pooled
    assert torch.equal(seen["target_discriminator"][1], batch().target)


def test_noise_and_quantization_disturb_the_return_trip_only():
    quiet, noisy = affine_networks(), affine_networks()
    cycles_of(quiet, batch())
    disturbed = cycles_of(noisy, batch(), noise=0.1)
    difference = noisy.target_to_source.seen[1] - quiet.target_to_source.seen[1]
    assert float(difference.std()) == pytest.approx(0.1, rel=0.2)
    assert torch.equal(disturbed.synthetic_target.detach(), quiet.target_to_source.seen[1])
    assert torch.equal(noisy.source_to_target.seen[0], batch().source)


def test_quantization_gives_256_levels_and_passes_the_gradient():
    values = torch.linspace(-1, 1, 5001, requires_grad=True)
    rounded = quantized(values)
    assert len(rounded.detach().unique()) <= 256
    assert float((rounded - values).detach().abs().max()) <= 1 / 255 + 1e-6
    rounded.sum().backward()
    assert torch.equal(values.grad, torch.ones(5001))


def test_the_cycle_distance_with_structural_similarity():
    first, second = image(1), image(2)
    expected = 0.84 * (1 - float(structural_similarity(first, second))) + 0.16 * float(F.l1_loss(first, second))
    assert float(cycle_distance(first, second, kind="ssim")) == pytest.approx(expected)


def test_the_rates_follow_the_schedule_of_steps():
    settings = replace(SMALL, steps=4, constant_fraction=0.5, generator_rate=0.1, discriminator_rate=0.2)
    state = CYCLEGAN.build(settings, seed=1)
    rates = []
    for number in range(4):
        CYCLEGAN.step(state, batch(), settings, torch_generator(1, number))
        rates += [state.generator_optimizer.param_groups[0]["lr"], state.discriminator_optimizer.param_groups[0]["lr"]]
    assert rates == pytest.approx([0.1, 0.2] * 3 + [0.05, 0.1])


MASKED = replace(SMALL, body_mask=True, outside=-0.75)
BODY = torch.ones(1, 1, 16, 16, dtype=torch.bool)
BODY[..., 10:] = False


def test_with_body_masks_everything_outside_is_fixed():
    masks = {"source_body": BODY, "target_body": BODY.flip(-1)}
    images = prepared(batch(**masks), torch.device("cpu"), body_mask=True, outside=-0.75)
    assert torch.all(images.source[~BODY] == -0.75)
    assert torch.equal(images.target[BODY.flip(-1)], image(2)[BODY.flip(-1)])
    state = CYCLEGAN.build(MASKED, seed=1)
    cycles = cycles_of(state.networks, images)
    assert torch.all(cycles.synthetic_target[~BODY] == -0.75)
    assert torch.all(cycles.reconstructed_source[~BODY] == -0.75)
    assert torch.all(cycles.synthetic_source[~BODY.flip(-1)] == -0.75)
    CYCLEGAN.step(state, batch(**masks), MASKED, torch_generator(1, 0))


def test_missing_body_masks_are_refused_with_the_cases():
    with pytest.raises(TrainingError, match=r"needs source_body and target_body .*cases: s_1, t_1"):
        CYCLEGAN.step(CYCLEGAN.build(MASKED, seed=1), batch(), MASKED, torch_generator(1, 0))


def test_a_translation_for_the_guard_has_the_image_and_its_body():
    state = CYCLEGAN.build(MASKED, seed=1)
    seen = CYCLEGAN.translate(state, batch(source_body=BODY, target_body=BODY))
    assert torch.all(seen.translation[~BODY] == -0.75)
    assert torch.equal(seen.body, BODY)
    assert not seen.translation.requires_grad


def test_the_state_travels_whole():
    settings = replace(SMALL, average_decay=0.5, leg_noise=0.1)
    first, _ = taken(settings, 4)
    second = CYCLEGAN.build(settings, seed=99, form="fast")
    second.load_state_dict(first.state_dict())
    for state in (first, second):
        for number in range(4, 7):
            CYCLEGAN.step(state, batch(), settings, torch_generator(1, number))
    assert all(torch.equal(weights_of(first)[name], weights_of(second)[name]) for name in NAMES)
    averages = [state.averages["source_to_target"].weights()["stem.weight"] for state in (first, second)]
    assert torch.equal(*averages)
    assert not torch.equal(averages[0], first.source_to_target.stem.weight)
    with pytest.raises(TrainingError, match="differ in average_source_to_target, average_target_to_source"):
        CYCLEGAN.build(SMALL, seed=1).load_state_dict(first.state_dict())


def test_first_weights_depend_on_the_seed_and_differ_between_networks():
    one, same, other = (CYCLEGAN.build(SMALL, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights_of(one)["source_to_target"], weights_of(same)["source_to_target"])
    assert not torch.equal(weights_of(one)["source_to_target"], weights_of(other)["source_to_target"])
    assert not torch.equal(weights_of(one)["source_to_target"], weights_of(one)["target_to_source"])


WARM = replace(
    SMALL,
    steps=100,
    warm_start=WarmStart(steps=3, knots=((-1.0, 1.0), (1.0, -0.5)), ramp_steps=4, anchor_weight=2.0, anchor_steps=2),
)


def test_the_warm_start_trains_the_generators_alone_and_hands_over_gently():
    before = weights_of(CYCLEGAN.build(WARM, seed=1))
    state, losses = taken(WARM, 3)
    assert all(sorted(loss.as_dict()) == ["table_source", "table_target", "total"] for loss in losses)
    assert torch.equal(weights_of(state)["target_discriminator"], before["target_discriminator"])
    assert len(state.target_pool) == 0
    assert state.generator_optimizer.state

    _, losses = taken(WARM, 8)
    later = [loss.as_dict() for loss in losses[3:]]
    assert all("table_target" not in loss and "discriminator_target" in loss for loss in later)
    assert ["anchor" in loss for loss in later] == [True, True, False, False, False]
    assert later[0]["adversarial_target"] < 0.5 * later[4]["adversarial_target"]


def test_the_optimizer_forgets_the_warm_start():
    settings = replace(WARM, warm_start=replace(WARM.warm_start, steps=1))
    state, _ = taken(settings, 2)
    steps = {int(entry["step"]) for entry in state.generator_optimizer.state.values()}
    assert steps == {1}
    assert state.generator_optimizer.param_groups[0]["lr"] == pytest.approx(settings.generator_rate / 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps at least 1: found 0"),
        ({"cycle": "l2"}, "'l1' or 'ssim': found 'l2'"),
        ({"leg_noise": -0.1}, "leg_noise at least 0"),
        ({"constant_fraction": 2.0}, r"constant_fraction in \[0, 1\]: found 2.0"),
        ({"weights": Weights(identity=-1.0)}, "weights.identity at least 0: found -1.0"),
        ({"weights": Weights(adversarial=0.0, cycle=0.0)}, "adversarial or a cycle weight above 0"),
    ],
)
def test_refused_settings(options, message):
    with pytest.raises(TrainingError, match=message):
        replace(SMALL, **options)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_recomputed_activations_give_the_same_bits(precision):
    settings = replace(SMALL, leg_noise=0.05, generator=replace(SMALL.generator, normalization="instance"))
    kept, losses = taken(settings, 2, precision=precision)
    again, repeated = taken(replace(settings, recompute=True), 2, precision=precision)
    assert [one.as_dict() for one in losses] == [one.as_dict() for one in repeated]
    for name in NAMES:
        for before, after in zip(getattr(kept, name).parameters(), getattr(again, name).parameters(), strict=True):
            assert torch.equal(before, after), name


def test_recomputing_runs_every_generator_twice_as_often():
    networks = affine_networks()
    counts = []
    for recompute in (False, True):
        for network in (networks.source_to_target, networks.target_to_source):
            network.seen.clear()
        cycles = translate_cycles(
            networks.source_to_target,
            networks.target_to_source,
            batch(),
            noise=0.0,
            quantize=False,
            generator=torch.Generator().manual_seed(1),
            recompute=recompute,
        )
        sum(part.sum() for part in vars(cycles).values()).backward()
        counts.append(len(networks.source_to_target.seen))
    assert counts == [2, 4]


def test_a_bfloat16_step_has_the_losses_of_a_float32_step_and_nearly_its_gradients():
    exact, of_exact = taken(SMALL, 1)
    rounded, of_rounded = taken(SMALL, 1, precision="bfloat16")
    assert [losses.as_dict() for losses in of_rounded] == [losses.as_dict() for losses in of_exact]
    for name in NAMES:
        for one, other in zip(getattr(rounded, name).parameters(), getattr(exact, name).parameters(), strict=True):
            assert float(F.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0)) > 0.999, name
        first = next(getattr(rounded, name).parameters())
        assert not torch.equal(first.grad, next(getattr(exact, name).parameters()).grad), name


def test_bfloat16_steps_of_the_plain_form_stay_close_to_float32_steps():
    losses = []
    for precision in ("float32", "bfloat16"):
        state = CYCLEGAN.build(SMALL, seed=1, form="plain")
        losses.append(CYCLEGAN.step(state, batch(), SMALL, torch_generator(1, 0), precision=precision).as_dict())
    exact, rounded = losses
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.1, abs=0.02)


def intensity_map(values: torch.Tensor) -> torch.Tensor:
    return 0.5 - 0.4 * values


def blobs(generator: torch.Generator) -> torch.Tensor:
    coarse = torch.randn(1, 1, 6, 6, generator=generator)
    return torch.tanh(1.5 * F.interpolate(coarse, size=(24, 24), mode="bilinear")) * 0.9


def unpaired(step: int) -> CycleGANBatch:
    generator = torch_generator(7, "toy", step)
    return CycleGANBatch(source=blobs(generator), target=intensity_map(blobs(generator)))


def test_it_learns_an_intensity_map_that_a_table_only_hints_at():
    # The table has the right direction but half the slope; the target images have to teach the rest.
    settings = CycleGANSettings(
        spatial_dims=2,
        steps=260,
        generator=GeneratorSettings(width=8, blocks=1, normalization="none"),
        discriminator=DiscriminatorSettings(width=8, layers=1, normalization="none"),
        generator_rate=1e-3,
        discriminator_rate=1e-3,
        warm_start=WarmStart(steps=60, knots=((-1.0, 0.7), (1.0, 0.3)), ramp_steps=20),
    )
    state = CYCLEGAN.build(settings, seed=1, form="fast")
    test_image = unpaired(10_000).source
    truth = intensity_map(test_image)

    def error() -> float:
        seen = CYCLEGAN.translate(state, unpaired(10_000))
        return float((seen.translation - truth).abs().mean())

    errors = [error()]
    for number in range(settings.steps):
        CYCLEGAN.step(state, unpaired(number), settings, torch_generator(1, number))
        if number + 1 in (60, settings.steps):
            errors.append(error())
    first, after_table, last = errors
    assert after_table < 0.5 * first
    assert last < 0.6 * after_table
    assert last < 0.1
