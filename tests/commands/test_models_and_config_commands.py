from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file, save_file

ROOT = Path(__file__).parents[2]
CONFIGS = [
    file
    for file in sorted((ROOT / "configs").rglob("*.yaml"))
    # A study of several trainings has arms; its pipeline checks it.
    if "arms" not in yaml.safe_load(file.read_text(encoding="utf-8"))
]


def test_list_names_every_embedded_model(medgan):
    listed = medgan("models", "list", "--json").json["models"]
    folders = sorted(p.parent.name for p in (ROOT / "medgan" / "bundles").glob("*/bundle.json"))
    assert [m["name"] for m in listed] == folders
    assert all(name in medgan("models", "list").out for name in folders)


def test_show_prints_the_card_or_all_facts(medgan, tiny_bundle):
    assert medgan("models", "show", tiny_bundle).out.startswith("# tiny")
    assert medgan("models", "show", tiny_bundle, "--json").json["trained_anatomy"] == "nothing"


def test_check_runs_the_network(medgan, tiny_bundle):
    facts = medgan("models", "check", tiny_bundle, "--json").json
    assert facts["name"] == "tiny-mr-to-ct"
    assert facts["parameters"] > 0
    assert "the network runs" in medgan("models", "check", tiny_bundle).out


def test_check_refuses_weights_that_are_not_finite(medgan, tiny_bundle, tmp_path):
    import hashlib

    folder = tmp_path / "nan"
    shutil.copytree(tiny_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    next(iter(weights.values()))[:] = float("nan")
    save_file(weights, folder / "weights.safetensors")
    facts = json.loads((folder / "bundle.json").read_text())
    facts["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(facts))
    outcome = medgan("models", "check", folder)
    assert outcome.code == 2
    assert "NaN" in outcome.err


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_model_is_refused(medgan, verb):
    outcome = medgan("models", verb, "nothing", "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["kind"] == "BundleError"


@pytest.mark.parametrize("file", CONFIGS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_every_configuration_is_valid(medgan, file):
    assert medgan("config", "check", file, "--json").json["valid"] is True


def test_show_fills_in_defaults_and_can_be_read_back(medgan, tmp_path):
    shown = medgan("config", "show", ROOT / "configs/mr_to_ct/smoke.yaml", "--set", "cyclegan.steps=7")
    assert "steps: 7" in shown.out
    assert "discriminator_rate" in shown.out
    copy = tmp_path / "full.yaml"
    copy.write_text(shown.out)
    values = medgan("config", "show", ROOT / "configs/mr_to_ct/smoke.yaml", "--json").json
    assert values["method"] == "cyclegan"


def test_all_faults_are_listed_at_once_with_what_was_meant(medgan, tmp_path):
    text = (ROOT / "configs/mr_to_ct/smoke.yaml").read_text()
    broken = text.replace("seed: 3", "sead: 3").replace("overlap: 0.25", "overlap: 2").replace("pool: 4", "pol: 4")
    file = tmp_path / "broken.yaml"
    file.write_text(broken)
    outcome = medgan("config", "check", file)
    assert outcome.code == 2
    for words in ("sead is not a setting. Did you mean 'seed'?", "Did you mean 'pool'?", "patch.overlap"):
        assert words in outcome.err
    assert "3 faults" in outcome.err


def test_schema_of_a_method_and_of_none(medgan):
    assert "cyclegan" in medgan("config", "schema", "cyclegan").json["properties"]
    outcome = medgan("config", "schema", "cyclgan")
    assert outcome.code == 2
    assert "Did you mean 'cyclegan'?" in outcome.err
