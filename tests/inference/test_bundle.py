"""A bundle is facts, weights and a card: checked when written and when read, and nothing in it is code."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from medgan.errors import BundleError
from medgan.inference import bundle as bundle_module
from medgan.inference.bundle import CARD_FILE, FACTS_FILE, WEIGHTS_FILE, ModelBundle, embedded_names, find_bundle
from medgan.inference.facts_table import FACTS as TASKS
from medgan.networks.residual_generator import ResidualGenerator
from medgan.networks.table import NETWORKS
from medgan.preprocessing.intensity import PiecewiseHu
from medgan.preprocessing.recipe import Recipe

SETTINGS = {"spatial_dims": 3, "width": 2, "blocks": 1, "normalization": "none", "body_mask": True}
RECIPE = Recipe.from_json([{"stage": "reorient"}, {"stage": "body_mask"}, {"stage": "mr_percentiles"}])
FACTS: dict[str, Any] = {
    "name": "tiny",
    "task": "translation",
    "source": {"domain": "mr", "modality": "MR", "quantity": "mr_signal"},
    "target": {"domain": "ct", "modality": "CT", "quantity": "hounsfield"},
    "trained_anatomy": "none",
    "recipe": RECIPE.as_json(),
    "target_knots": [list(knot) for knot in PiecewiseHu().knots],
    "network": {"name": "residual_generator", "settings": SETTINGS},
    "patch": {"shape": [16, 16, 16], "overlap": 0.25},
    "trained_domain": {"cases": []},
    "training": {
        "method": "cyclegan",
        "config_sha256": "c" * 64,
        "manifest_sha256": "d" * 64,
        "steps": 1,
        "seed": 0,
        "data": "none",
        "data_license": "none",
    },
    "license": "Apache-2.0",
    "intended_use": "Tests.",
}


def tiny(seed: int = 0) -> ResidualGenerator:
    torch.manual_seed(seed)
    return ResidualGenerator(**SETTINGS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One bundle, not to be changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return ModelBundle.write(folder, facts=FACTS, weights=tiny().state_dict(), card="# Tiny\nä\n")


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(whole.folder, tmp_path / "copy")


def rewritten(folder, *path: Any, value: Any = None, remove: bool = False):
    """Change one value of the facts."""
    facts = json.loads((folder / FACTS_FILE).read_text())
    place = facts
    for key in path[:-1]:
        place = place[key]
    if remove:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    (folder / FACTS_FILE).write_text(json.dumps(facts))
    return folder


def reweighted(folder, **changes: torch.Tensor | None):
    """Change weights, and the digest with them."""
    weights = load_file(folder / WEIGHTS_FILE)
    for name, tensor in changes.items():
        if tensor is None:
            del weights[name.replace("__", ".")]
        else:
            weights[name.replace("__", ".")] = tensor
    save_file(weights, folder / WEIGHTS_FILE)
    return redigested(folder)


def redigested(folder):
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    return rewritten(folder, "weights_sha256", value=digest)


def refusal(folder, *, network: bool = False) -> str:
    loaded = ModelBundle.load(folder) if network else None
    with pytest.raises(BundleError) as caught:
        ModelBundle.load(folder) if loaded is None else loaded.network()
    assert str(folder.parent) not in str(caught.value), "a message must not hold an absolute path"
    return str(caught.value)


class TestThereAndBack:
    def test_facts_weights_and_card(self, whole):
        loaded = ModelBundle.load(whole.folder)
        assert loaded.facts == whole.facts
        assert loaded.recipe == RECIPE
        assert loaded.target_map == PiecewiseHu().intensity_map
        assert loaded.card == "# Tiny\nä\n"
        written = loaded.facts.model_dump(mode="json")
        assert {name: written[name] for name in FACTS} == FACTS
        assert sorted(os.listdir(whole.folder)) == sorted([FACTS_FILE, WEIGHTS_FILE, CARD_FILE])

    def test_the_network_computes_the_same(self, whole):
        network, original = whole.network(), tiny().eval()
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        image = torch.rand(1, 1, 8, 8, 8)
        body = torch.ones_like(image)
        with torch.inference_mode():
            assert torch.equal(network(image, body), original(image, body))
            assert not torch.equal(network(image, body), tiny(1)(image, body))

    def test_half_precision_weights_are_computed_in_float32(self, tmp_path):
        weights = {name: tensor.half() for name, tensor in tiny().state_dict().items()}
        bundle = ModelBundle.write(tmp_path / "half", facts=FACTS, weights=weights, card="x")
        assert load_file(bundle.folder / WEIGHTS_FILE)["stem.weight"].dtype == torch.float16
        network = bundle.network()
        assert {p.dtype for p in network.parameters()} == {torch.float32}
        assert torch.equal(network.stem.weight, tiny().stem.weight.half().float())

    def test_any_folder_name_and_any_place(self, whole, tmp_path):
        moved = shutil.copytree(whole.folder, tmp_path / "Moved elsewhere")
        assert ModelBundle.load(moved).facts == whole.facts

    def test_weights_travel_from_a_running_network(self, tmp_path):
        # Not contiguous, and part of a graph.
        weights = {
            name: p.transpose(0, 1).contiguous().transpose(0, 1) if p.ndim > 1 else p
            for name, p in tiny().named_parameters()
        }
        bundle = ModelBundle.write(tmp_path / "live", facts=FACTS, weights=weights, card="x")
        assert torch.equal(bundle.network().stem.weight, tiny().stem.weight)


class TestWriting:
    def test_a_bundle_is_never_overwritten(self, whole):
        before = (whole.folder / WEIGHTS_FILE).read_bytes()
        with pytest.raises(BundleError, match="A bundle is never overwritten: tiny exists"):
            ModelBundle.write(whole.folder, facts=FACTS, weights=tiny(1).state_dict(), card="x")
        assert (whole.folder / WEIGHTS_FILE).read_bytes() == before

    def test_an_empty_folder_is_something_too(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(BundleError, match="never overwritten"):
            ModelBundle.write(tmp_path / "empty", facts=FACTS, weights=tiny().state_dict(), card="x")

    @pytest.mark.parametrize(
        ("facts", "weights", "message"),
        [
            (FACTS | {"name": "Tiny Model"}, {}, "facts of bundle new are not valid: name: "),
            (FACTS | {"colour": 1}, {}, "are not valid: colour: "),
            ({k: v for k, v in FACTS.items() if k != "license"}, {}, "are not valid: license: Field required"),
            (FACTS, {"stem.bias": None}, "do not fit its network: stem.bias is missing"),
            (FACTS, {"extra": torch.zeros(1)}, "do not fit its network: extra is unknown"),
            (FACTS | {"recipe": [{"stage": "nope"}]}, {}, "is not valid: 0: Input tag 'nope'"),
        ],
    )
    def test_what_is_refused_leaves_nothing_behind(self, tmp_path, facts, weights, message):
        state = {**tiny().state_dict(), **weights}
        state = {name: tensor for name, tensor in state.items() if tensor is not None}
        with pytest.raises(BundleError, match=message):
            ModelBundle.write(tmp_path / "new", facts=facts, weights=state, card="x")
        assert os.listdir(tmp_path) == []


class TestDamage:
    @pytest.mark.parametrize("name", [FACTS_FILE, WEIGHTS_FILE, CARD_FILE])
    def test_a_missing_file(self, copy, name):
        (copy / name).unlink()
        assert f"copy has no {name}" in refusal(copy)

    def test_an_empty_folder(self, tmp_path):
        assert f"has no {FACTS_FILE}" in refusal(tmp_path / "nowhere")

    @pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1", b"\x00"])
    def test_facts_that_are_no_json(self, copy, data):
        (copy / FACTS_FILE).write_bytes(data)
        assert "bundle.json of copy must be JSON" in refusal(copy)

    @pytest.mark.parametrize("data", ["[]", "3", "null", '"x"'])
    def test_facts_that_are_no_mapping(self, copy, data):
        (copy / FACTS_FILE).write_text(data)
        assert "bundle.json of copy is not valid" in refusal(copy)

    @pytest.mark.parametrize("found", [2, 0, "1", None])
    def test_another_format(self, copy, found):
        message = refusal(rewritten(copy, "format", value=found))
        assert f"must have format 1: found {found!r}. It was written by another version" in message

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (("colour",), 1, "colour: Extra inputs are not permitted"),
            (("network", "colour"), 1, "network.colour: Extra"),
            (("source", "quantity"), "hu", "source.quantity: Value error, A quantity must be one of"),
            (("target_knots",), [[0, 0], [0, 1]], "strictly increasing values"),
            (("patch", "overlap"), 1.0, "patch.overlap: Input should be less than 1"),
            (("patch", "shape"), [16, 16, 0], "patch.shape.2: Input should be greater than 0"),
            (("patch", "shape"), [16, 16], "patch.shape"),
            (("recipe", 0, "codes"), "XYZ", "An orientation names one of"),
            (("recipe", 0, "stage"), "nope", "Input tag 'nope'"),
            (("recipe", 0), {"stage": "reorient", "code": 1}, "0.reorient.code"),
            (("trained_domain",), {"cases": [{"features": {}, "histogram": []}]}, "a fingerprint needs finite numbers"),
            (("weights_sha256",), "abc", "weights_sha256: String should match pattern"),
            (("name",), "../tiny", "name: String should match pattern"),
        ],
    )
    def test_facts_that_are_not_valid(self, copy, path, value, message):
        found = refusal(rewritten(copy, *path, value=value))
        assert found.startswith("bundle.json of copy is not valid: ")
        assert message in found

    @pytest.mark.parametrize("found", ["dissection", None, 3, ["translation"]])
    def test_a_task_that_is_none(self, copy, found):
        message = refusal(rewritten(copy, "task", value=found))
        assert f"A bundle's task must be one of {', '.join(TASKS)}: copy says {found!r}" in message

    @pytest.mark.parametrize("name", [*(name for name in FACTS if name != "task"), "weights_sha256", "medgan_version"])
    def test_a_fact_that_is_missing(self, copy, name):
        assert f"{name}: Field required" in refusal(rewritten(copy, name, remove=True))

    def test_other_weights(self, copy):
        data = bytearray((copy / WEIGHTS_FILE).read_bytes())
        data[-1] ^= 1
        (copy / WEIGHTS_FILE).write_bytes(data)
        message = refusal(copy)
        assert "weights.safetensors of copy must have SHA-256" in message
        assert "The file is damaged or belongs to another bundle" in message

    def test_weights_that_are_no_safetensors_file(self, copy):
        (copy / WEIGHTS_FILE).write_bytes(b"\x80\x04 a pickle, perhaps")
        assert "is no safetensors file" in refusal(redigested(copy), network=True)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"stem__bias": None}, "do not fit its network: stem.bias is missing"),
            ({"extra": torch.zeros(1)}, "do not fit its network: extra is unknown"),
            ({"head__bias": torch.zeros(2)}, "head.bias has shape (2,), not (1,)"),
            ({"head__bias": torch.tensor([float("nan")])}, "head.bias holds NaN or infinity"),
            ({"stem__bias": torch.tensor([1.0, float("-inf")])}, "stem.bias holds NaN or infinity"),
            (
                {"stem__bias": None, "extra": torch.zeros(1), "head__bias": torch.zeros(2)},
                "stem.bias is missing; extra is unknown; head.bias has shape (2,), not (1,)",
            ),
        ],
    )
    def test_weights_that_do_not_fit(self, copy, changes, message):
        assert message in refusal(reweighted(copy, **changes), network=True)

    def test_an_unknown_network(self, copy):
        message = refusal(rewritten(copy, "network", "name", value="os.system"), network=True)
        assert f"must be one of {', '.join(NETWORKS)}" in message
        assert "tiny asks for 'os.system'" in message

    @pytest.mark.parametrize(
        ("settings", "part"),
        [
            (SETTINGS | {"depth": 3}, "'depth'"),
            (SETTINGS | {"spatial_dims": 5}, "2 or 3"),
            (SETTINGS | {"width": "wide"}, ""),
            (SETTINGS | {"width": 1.5}, ""),
            (SETTINGS | {"width": 10**15}, ""),
            ({}, "spatial_dims"),
        ],
    )
    def test_settings_that_the_network_does_not_have(self, copy, settings, part):
        message = refusal(rewritten(copy, "network", "settings", value=settings), network=True)
        assert message.startswith("The network residual_generator of bundle tiny cannot be built: ")
        assert part in message

    def test_another_size_does_not_fit_the_weights(self, copy):
        folder = rewritten(copy, "network", "settings", value=SETTINGS | {"width": 3})
        assert "stem.weight has shape (2, 2, 7, 7, 7), not (3, 2, 7, 7, 7)" in refusal(folder, network=True)


class TestFinding:
    @pytest.fixture
    def shelf(self, whole, tmp_path, monkeypatch):
        """The bundles that come with medgan, exchanged for a folder with one."""
        shutil.copytree(whole.folder, tmp_path / "shelf" / "tiny")
        monkeypatch.setattr(bundle_module, "embedded_folder", lambda: tmp_path / "shelf")
        return tmp_path

    def test_by_name_and_by_folder(self, shelf, whole):
        assert embedded_names() == embedded_names(task="translation") == ("tiny",)
        assert embedded_names(task="segmentation") == ()
        assert find_bundle("tiny").folder == shelf / "shelf" / "tiny"
        assert find_bundle(str(whole.folder)).facts == whole.facts

    def test_an_unknown_name_lists_the_known_ones(self, shelf):
        with pytest.raises(BundleError, match=r"an embedded name \(tiny\) or a folder with bundle.json: found 'tny'"):
            find_bundle("tny")
        with pytest.raises(BundleError, match="found 'nowhere'") as caught:
            find_bundle(str(shelf / "nowhere"))
        assert str(shelf) not in str(caught.value)

    def test_a_name_never_climbs(self, shelf):
        with pytest.raises(BundleError):
            find_bundle("../shelf/tiny")

    def test_every_embedded_bundle_is_whole(self):
        for name in embedded_names():
            bundle = find_bundle(name)
            assert bundle.facts.name == name
            bundle.network()


def test_reading_facts_loads_no_torch(whole):
    program = (
        "import sys, pathlib\n"
        "from medgan.inference.bundle import ModelBundle\n"
        "bundle = ModelBundle.load(pathlib.Path(sys.argv[1]))\n"
        "bundle.recipe, bundle.target_map, bundle.card\n"
        "print(bundle.facts.name, [name for name in ('torch', 'safetensors', 'SimpleITK') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(whole.folder)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "tiny []"
