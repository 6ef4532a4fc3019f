"""A 2.5-D generator in a training and in the bundle that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands_support import FEATURES, tiny_facts

from medgan.commands.export import export_bundle
from medgan.commands.training_settings import read_experiment
from medgan.errors import NetworkError
from medgan.inference.domain_check import Fingerprint
from medgan.methods.cyclegan import CYCLEGAN, CycleGANBatch
from medgan.preprocessing.recipe import Recipe
from medgan.seeding import torch_generator

SMOKE = Path(__file__).parents[2] / "configs" / "mr_to_ct" / "smoke.yaml"


def image(seed: int) -> torch.Tensor:
    return torch.rand(1, 1, 12, 13, 14, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def body(seed: int) -> torch.Tensor:
    return (image(seed) > -0.5).float()


def test_it_trains_and_its_bundle_is_the_generator_that_was_trained(tmp_path):
    experiment, _ = read_experiment(SMOKE, ["cyclegan.generator.slices=3", "cyclegan.warm_start.steps=1"])
    settings = experiment.method_settings()
    state = CYCLEGAN.build(settings, seed=1)
    before = state.source_to_target.stem.weight.detach().clone()
    assert before.shape == (4, 6, 7, 7)  # three slices, each with its mask, and a kernel in the plane
    batch = CycleGANBatch(source=image(1), target=image(2), source_body=body(3), target_body=body(4))
    for step in range(3):
        losses = CYCLEGAN.step(state, batch, settings, torch_generator(1, "step", step))
        assert torch.isfinite(torch.tensor(list(losses.as_dict().values()))).all()
    assert not torch.equal(state.source_to_target.stem.weight, before)

    bundle = export_bundle(
        tmp_path / "bundle",
        experiment=experiment,
        state=state,
        recipe=Recipe.from_json(tiny_facts()["recipe"]),
        config_sha256="0" * 64,
        manifest_digest="0" * 64,
        fingerprints=[Fingerprint(features=FEATURES, histogram=tuple([0.05] * 20))] * 3,
    )
    assert "CycleGAN, 2.5-D, 3 steps" in bundle.card
    state.source_to_target.load_state_dict(state.averages["source_to_target"].weights())
    with torch.no_grad():
        wanted = state.source_to_target.eval()(image(5), body(6))
        torch.testing.assert_close(bundle.network()(image(5), body(6)), wanted)


def test_slices_without_a_middle_are_refused():
    experiment, _ = read_experiment(SMOKE, ["cyclegan.generator.slices=2"])
    with pytest.raises(NetworkError, match="slices odd"):
        CYCLEGAN.build(experiment.method_settings(), seed=1)
