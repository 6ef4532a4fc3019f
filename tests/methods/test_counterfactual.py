"""The classifier's term in a CycleGAN: which generator it reaches, and that the classifier stays as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medgan.errors import TrainingError
from medgan.methods import cyclegan
from medgan.methods.counterfactual import build, class_terms, counterfactual_method, step
from medgan.methods.counterfactual_settings import CounterfactualSettings
from medgan.methods.cyclegan import CycleGANBatch, CycleGANSettings, DiscriminatorSettings, GeneratorSettings, Weights
from medgan.methods.cyclegan_terms import Cycles


class MeanJudge(nn.Module):
    """Calls an image target the brighter it is; its one weight must not be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        target = torch.sigmoid(self.scale * images.flatten(1).mean(1))
        return torch.stack((1 - target, target), dim=1)


def settings(weight: float = 1.0, **options) -> CounterfactualSettings:
    return CounterfactualSettings(
        classifier_weight=weight,
        cyclegan=CycleGANSettings(
            spatial_dims=2,
            steps=20,
            generator=GeneratorSettings(width=3, blocks=1, normalization="none", residual=True),
            discriminator=DiscriminatorSettings(width=2, layers=1, normalization="none"),
            pool=2,
            **options,
        ),
    )


def batch() -> CycleGANBatch:
    images = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(4)) * 0.6 - 0.3
    return CycleGANBatch(source=images[:2], target=images[2:])


def test_the_terms_are_the_squared_distance_to_the_wanted_class():
    bright, dark = torch.full((1, 1, 4, 4), 1.0), torch.full((1, 1, 4, 4), -1.0)
    p = float(torch.sigmoid(torch.tensor(3.0)))
    cycles = Cycles(
        synthetic_target=bright, reconstructed_source=dark, synthetic_source=bright, reconstructed_target=dark
    )
    terms = class_terms(cycles, judge=MeanJudge(), weight=2.0)
    assert float(terms["class_target"]) == pytest.approx(2 * (1 - p) ** 2)
    assert float(terms["class_source"]) == pytest.approx(2 * p**2)


@pytest.mark.parametrize(("term", "reached", "spared"), [
    ("class_target", "source_to_target", "target_to_source"),
    ("class_source", "target_to_source", "source_to_target"),
])  # fmt: skip
def test_each_term_reaches_its_generator_alone(term, reached, spared):
    state, chosen = build(settings(), seed=1), batch()
    cycles = Cycles(
        synthetic_target=state.source_to_target(chosen.source),
        reconstructed_source=chosen.source,
        synthetic_source=state.target_to_source(chosen.target),
        reconstructed_target=chosen.target,
    )
    class_terms(cycles, judge=MeanJudge(), weight=1.0)[term].backward()
    assert getattr(state, reached).head.weight.grad.abs().sum() > 0
    assert getattr(state, spared).head.weight.grad is None


def test_the_classifier_is_followed_and_not_changed():
    judge = MeanJudge()
    chosen = settings(weight=20.0, weights=Weights(adversarial=0.0, cycle=0.1), generator_rate=3e-3)
    state = build(chosen, seed=1)
    method = counterfactual_method(judge)
    losses = [method.step(state, batch(), chosen, torch.Generator().manual_seed(n)).as_dict() for n in range(20)]
    assert losses[-1]["class_target"] < 0.5 * losses[0]["class_target"]
    assert losses[-1]["class_source"] < 0.5 * losses[0]["class_source"]
    brighter = state.source_to_target(batch().source).detach().mean() - batch().source.mean()
    assert float(brighter) > 0.1
    assert float(judge.scale) == 3.0
    assert judge.scale.grad is None


def test_without_weight_it_is_a_cyclegan():
    chosen = settings(weight=0.0)
    first, second = build(chosen, seed=3), cyclegan.build(chosen.cyclegan, seed=3)
    one = step(first, batch(), chosen, torch.Generator().manual_seed(0))
    other = cyclegan.step(second, batch(), chosen.cyclegan, torch.Generator().manual_seed(0))
    assert one.as_dict() == other.as_dict()
    assert "class_target" not in one.as_dict()
    assert torch.equal(first.source_to_target.head.weight, second.source_to_target.head.weight)


def test_a_weight_without_a_classifier_is_refused():
    with pytest.raises(TrainingError, match="needs a classifier: found none"):
        step(build(settings(), seed=0), batch(), settings(), torch.Generator())


def test_impossible_settings_are_refused():
    with pytest.raises(TrainingError, match="classifier_weight must be at least 0: found -1"):
        settings(weight=-1.0)
    with pytest.raises(TrainingError, match="no body mask"):
        settings(body_mask=True)
