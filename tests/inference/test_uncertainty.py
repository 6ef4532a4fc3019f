"""Maps of uncertainty by networks whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from commands_support import NETWORK, ball_volume, tiny_facts
from torch import nn

from medgan.errors import BundleError, InferenceError
from medgan.geometry import Grid
from medgan.inference.bundle import RETURN_WEIGHTS_FILE, ModelBundle
from medgan.inference.translator import Translator, reversed_along
from medgan.inference.uncertainty import GRAY_LEVELS, flips_of, require_member, uncertainty_of
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator
from medgan.seeding import torch_generator
from medgan.volume import Quantity

SOURCE = ball_volume(Grid.axis_aligned((24, 26, 22), spacing=(3, 3, 3)), radius_mm=28)


def weights(seed: int) -> dict[str, torch.Tensor]:
    network = ResidualGenerator(**NETWORK)
    initialize(network, torch_generator(seed))
    return dict(network.state_dict())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Bundles of three seeds; the last has a way back."""
    folder = tmp_path_factory.mktemp("members")
    facts = {"one": {}, "other": {}, "there_and_back": {"return_network": tiny_facts()["network"]}}
    return {
        name: ModelBundle.write(
            folder / name,
            facts=tiny_facts(**changes),
            weights=weights(seed),
            card="x",
            return_weights=weights(9) if changes else None,
        )
        for seed, (name, changes) in enumerate(facts.items())
    }


class Known(nn.Module):
    """A network that answers ``factor * image + slope * place along the first axis``."""

    def __init__(self, factor: float = 0.0, slope: float = 0.0) -> None:
        super().__init__()
        self.factor, self.slope = factor, slope

    def forward(self, image, body):
        ramp = torch.arange(image.shape[2], dtype=image.dtype)[:, None, None]
        return self.factor * image + self.slope * ramp + torch.zeros_like(image)


def answering(bundle: ModelBundle, network: nn.Module, **facts) -> Translator:
    """A translator with another network in its place, run in one patch."""
    patch = bundle.facts.patch.model_copy(update={"shape": (64, 64, 64)})
    changed = ModelBundle(bundle.facts.model_copy(update={"patch": patch, **facts}), bundle.folder)
    translator = Translator(changed)
    translator._network = network
    return translator


def maps_of(translator, *members):
    translation = translator.translation_of(SOURCE)
    return translation, uncertainty_of(translation, translator=translator, members=members)


def body_on_grid(translation):
    from medgan.volume.resample import resample_labels

    return resample_labels(translation.prepared.label("body"), translation.volume.grid).mask()


def test_a_network_that_does_not_care_has_no_deviation(models):
    translation, maps = maps_of(answering(models["one"], Known(factor=0.5)))
    assert maps.results == 2
    assert maps.flips == ((), (0,))
    assert maps.deviation.grid.same_as(SOURCE.grid)
    assert np.abs(maps.deviation.array).max() < 1e-3
    assert maps.deviation.provenance.is_synthetic
    assert maps.deviation.quantity is Quantity.DIFFERENCE
    assert body_on_grid(translation).any()


def test_a_network_that_depends_on_the_side_deviates_by_the_difference_over_the_root_of_two(models):
    translator = answering(models["one"], Known(slope=0.01))
    translation = translator.translation_of(SOURCE)
    flipped = translator.normalized(translation.prepared, flipped=(0,))
    inside = translation.prepared.label("body").mask()
    count = translation.prepared.image.shape[0]
    place = np.broadcast_to(np.arange(count)[:, None, None], inside.shape)
    assert flipped[inside] == pytest.approx(0.01 * (count - 1 - place[inside]), abs=1e-5)
    inverse = translator.bundle.target_map.inverse
    expected = np.abs(inverse(flipped) - inverse(translation.normalized)) / np.sqrt(2)
    at_work = uncertainty_of(replace(translation, volume=translation.prepared.image), translator=translator)
    assert at_work.deviation.array[inside] == pytest.approx(expected[inside], abs=1e-2)
    assert (at_work.deviation.array[~inside] == 0).all()
    assert expected[inside].max() > 1


def test_members_add_their_results_and_their_own_flips(models):
    one = answering(models["one"], Known(factor=0.5))
    other = answering(models["other"], Known(factor=0.5), flip_axes=(0, 1))
    translation, maps = maps_of(one, other)
    assert maps.results == 2 + 4
    assert maps.members == (models["one"].facts.weights_sha256, models["other"].facts.weights_sha256)
    assert np.abs(maps.deviation.array).max() < 1e-3
    _, apart = maps_of(one, answering(models["other"], Known(factor=0.2)))
    assert apart.deviation.array[body_on_grid(translation)].mean() > 10


def test_without_flips_and_members_there_is_no_deviation_and_it_says_so(models):
    _, maps = maps_of(answering(models["one"], Known(), flip_axes=()))
    assert (maps.deviation, maps.results) == (None, 1)
    assert maps.notices[0].startswith("No deviation: tiny-mr-to-ct was trained without flips")
    assert maps.notices[1].startswith("No cycle residual: tiny-mr-to-ct holds no generator back")


def test_the_residual_is_what_does_not_come_back_through_256_gray_levels(models):
    translator = answering(models["there_and_back"], Known(factor=0.5))
    translator.returned = lambda case, progress=None: 2 * case.image.array
    translation, maps = maps_of(translator)
    assert maps.notices == ()
    inside = body_on_grid(translation)
    # What was rounded to a step of 2/255 is doubled on its way back.
    assert 0 < maps.cycle_residual.array.max() <= 2 / (GRAY_LEVELS - 1) + 1e-5
    translator.returned = lambda case, progress=None: 2 * case.image.array + 0.3
    _, off = maps_of(translator)
    assert off.cycle_residual.array[inside].mean() == pytest.approx(0.3, abs=0.06)


def test_the_bundles_own_way_back_is_used(models):
    translation, maps = maps_of(Translator(models["there_and_back"]))
    assert maps.cycle_residual is not None
    assert np.isfinite(maps.cycle_residual.array).all()
    assert (maps.cycle_residual.array >= 0).all()
    assert maps.cycle_residual.array[body_on_grid(translation)].mean() > 0


def test_progress_goes_over_all_runs(models):
    seen = []
    translator = Translator(models["there_and_back"])
    translation = translator.translation_of(SOURCE)
    uncertainty_of(translation, translator=translator, progress=lambda done, total: seen.append((done, total)))
    done, total = zip(*seen)
    assert set(total) == {2 * translation.patches}
    assert done == tuple(range(1, 2 * translation.patches + 1))


def test_every_set_of_axes_is_reversed_once(models):
    assert list(flips_of(answering(models["one"], Known(), flip_axes=(2, 0)))) == [(), (0,), (2,), (0, 2)]


def test_reversing_twice_gives_the_case_back(models):
    prepared = Translator(models["one"]).translation_of(SOURCE).prepared
    twice = reversed_along(reversed_along(prepared, (0, 2)), (0, 2))
    assert np.array_equal(twice.image.array, prepared.image.array)
    assert np.array_equal(twice.label("body").array, prepared.label("body").array)
    assert not np.array_equal(reversed_along(prepared, (0,)).image.array, prepared.image.array)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_knots": ((-1000, -1), (1500, 1))}, "differ in target_knots"),
        ({"recipe": [{"stage": "body_mask"}, {"stage": "mr_percentiles"}]}, "differ in recipe"),
    ],
)
def test_members_of_another_preparation_are_refused(models, changes, words):
    other = ModelBundle(models["other"].facts.model_copy(update=changes), models["other"].folder)
    with pytest.raises(InferenceError, match=words):
        require_member(models["one"], other)


def test_a_model_is_no_member_beside_itself(models):
    with pytest.raises(InferenceError, match="has the weights of tiny-mr-to-ct"):
        require_member(models["one"], models["one"])
    require_member(models["one"], models["other"])


class TestReturnWeights:
    def test_there_and_back(self, models):
        network = models["there_and_back"].return_network()
        assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), weights(9).values()))
        assert models["one"].return_network() is None

    def test_damage_is_found_on_loading(self, models, tmp_path):
        import shutil

        copy = shutil.copytree(models["there_and_back"].folder, tmp_path / "copy")
        data = bytearray((copy / RETURN_WEIGHTS_FILE).read_bytes())
        data[-1] ^= 1
        (copy / RETURN_WEIGHTS_FILE).write_bytes(data)
        with pytest.raises(BundleError, match=r"return_weights.safetensors of copy must have SHA-256"):
            ModelBundle.load(copy)
        (copy / RETURN_WEIGHTS_FILE).unlink()
        with pytest.raises(BundleError, match=r"facts of bundle copy name a return_weights.safetensors: there is none"):
            ModelBundle.load(copy)

    def test_weights_and_network_belong_together(self, tmp_path):
        with pytest.raises(BundleError, match="belong together"):
            ModelBundle.write(
                tmp_path / "half", facts=tiny_facts(), weights=weights(1), card="x", return_weights=weights(2)
            )
        assert not (tmp_path / "half").exists()

    def test_weights_that_do_not_fit(self, tmp_path):
        facts = tiny_facts(return_network=tiny_facts()["network"])
        broken = {name: tensor for name, tensor in weights(2).items() if name != "stem.bias"}
        with pytest.raises(BundleError, match=r"return_weights.safetensors of bundle .* stem.bias is missing"):
            ModelBundle.write(tmp_path / "new", facts=facts, weights=weights(1), card="x", return_weights=broken)
