from __future__ import annotations

from pathlib import Path

import pytest

from medgan.commands.translate import DEFAULT_MODEL
from medgan.inference.bundle import embedded_names, find_bundle

PHANTOM = "phantom-mr-to-ct"


@pytest.fixture(scope="module")
def phantom_bundle():
    return find_bundle(PHANTOM)


def test_the_demonstration_beats_a_constant_and_names_its_pictures(medgan):
    outcome = medgan("demo", "--json")
    assert outcome.code == 0, outcome.err
    facts = outcome.json
    # A constant minimizes the error among all results that see nothing.
    assert facts["mae_hu"] < 0.85 * facts["mae_constant_hu"]
    assert facts["comparison"]["measures"]["soft_tissue_r"]["value"] > 0.3
    for file in facts["files"]:
        assert Path(file).is_file()
    assert facts["picture"] in "\n".join(facts["lines"])
    assert medgan("demo").code == 2
    assert medgan("demo", "--overwrite").code == 0


def test_a_phantom_of_its_kind_is_inside_the_domain(medgan):
    import json

    medgan("demo")
    check = json.loads(Path("demo/phantom_mr_sct.json").read_text())["domain_check"]
    assert check["status"] == "inside", check["reasons"]


def test_the_phantom_model_says_that_it_is_one(phantom_bundle):
    assert "phantom" in phantom_bundle.facts.trained_anatomy
    assert "hantom" in phantom_bundle.card
    assert "never for a scan of a person" in phantom_bundle.facts.intended_use


def test_the_phantom_model_is_never_passed_off_as_one_for_scans(phantom_bundle):
    """A model under the default's name must have other weights, and must not be of phantoms."""
    digests = {name: find_bundle(name).facts.weights_sha256 for name in embedded_names()}
    assert len(set(digests.values())) == len(digests)
    if DEFAULT_MODEL in digests:
        assert digests[DEFAULT_MODEL] != phantom_bundle.facts.weights_sha256
        assert "phantom" not in find_bundle(DEFAULT_MODEL).facts.trained_anatomy


def test_without_a_default_model_translate_lists_the_embedded_ones(medgan, mr_file):
    if DEFAULT_MODEL in embedded_names():
        assert medgan("translate", mr_file).code == 0
    else:
        outcome = medgan("translate", mr_file)
        assert outcome.code == 2
        assert PHANTOM in outcome.err
        assert "chest28" not in outcome.err  # Not a model that translate could take.


def test_embedded_bundles_are_small(phantom_bundle):
    assert sum(f.stat().st_size for f in phantom_bundle.folder.iterdir()) < 4_000_000
