"""A study that measures a model which is there already, and the model card of a study."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from commands_support import NETWORK, tiny_facts

from medgan.commands.choose import choose_step
from medgan.commands.console import Console
from medgan.commands.pipeline import Step, run_pipeline
from medgan.commands.study import Study, prepare_step, train_step, translate_step
from medgan.commands.study_card import card_step, limits_of
from medgan.commands.study_evaluation import evaluate_step
from medgan.commands.study_given import given_choice, model_of_study
from medgan.commands.study_report import report_step
from medgan.errors import CohortError, SettingsError
from medgan.inference.bundle import ModelBundle
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "configs" / "mr_to_ct" / "smoke.yaml"


def new_study(folder: Path, **changes) -> Study:
    values = {"data_root": None, "overrides": (), "device": "cpu", "precision": "float32", "threads": 1}
    return Study(config=SMOKE, folder=folder, console=Console(quiet=True), **{**values, **changes})


def written_bundle(folder: Path, study: Study, *, seed: int = 1, **training) -> Path:
    """Write a bundle that says that it comes from the study's configuration and images."""
    network = ResidualGenerator(**NETWORK)
    initialize(network, torch.Generator().manual_seed(seed))
    (part,) = study.parts()
    facts = tiny_facts(recipe=part.recipes()[0].as_json())
    facts["training"] |= {
        "config_sha256": study.config_sha256,
        "manifest_sha256": part.cohort.manifest.digest,
        "steps": 12,
        **training,
    }
    ModelBundle.write(folder, facts=facts, weights=network.state_dict(), card="# tiny\n")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("given")
    plain = new_study(folder / "study")
    given = dataclasses.replace(plain, model=str(written_bundle(folder / "tiny", plain)))
    for step in (prepare_step, train_step, choose_step, translate_step, evaluate_step, report_step, card_step):
        step(given)
    return given


def test_nothing_is_trained_and_the_given_model_is_measured(study):
    assert not (study.folder / "run").exists()
    weights = ModelBundle.load(Path(str(study.model))).facts.weights_sha256
    (part,) = study.parts()
    assert part.bundle().facts.weights_sha256 == weights
    sidecar = json.loads((study.folder / "translations" / "head_005_sct.json").read_text())
    assert sidecar["model"]["weights_sha256"] == weights
    measures = json.loads((study.folder / "evaluation" / "measures.json").read_text())
    assert [row["case_id"] for row in measures["model"]] == ["head_005", "head_006"]


def test_the_report_says_that_the_model_was_given(study):
    page = (study.folder / "report.html").read_text()
    assert "none here: the model tiny-mr-to-ct was given" in page
    assert "the model was given, and the study trained nothing" in page
    assert "Curves of" not in page


def test_the_card_holds_the_model_beside_every_baseline(study):
    card = (study.folder / "MODEL_CARD.md").read_text()
    assert "Nothing has been measured yet" not in card
    for method in (
        "model",
        "(a) body",
        "(b) quantile matching, increasing",
        "(c) T1 table",
        "the training's own prior",
        "(d) median",
        "ideal",
    ):
        assert f"| {method}" in card, method
    assert "2 test subjects" in card
    assert "CycleGAN, 3-D, 12 steps" in card
    before = (study.folder / "MODEL_CARD.md").stat().st_mtime_ns
    card_step(study)
    assert (study.folder / "MODEL_CARD.md").stat().st_mtime_ns == before


def test_a_model_that_is_no_better_than_its_own_prior_says_so_on_its_card():
    def measures(model: float, **others: float) -> dict:
        return {name: [{"measures": {"mae": {"value": mae}}}] for name, mae in {"model": model, **others}.items()}

    assert list(limits_of(measures(74.9, prior=75.0))) == []
    assert list(limits_of(measures(90.0, t1_table=80.0))) == []
    (limit,) = limits_of(measures(75.0, prior=75.0))
    assert limit.startswith("Its mean error is not below that of the training's own prior")


def test_a_study_does_not_change_between_a_given_and_a_trained_model(study, tmp_path):
    with pytest.raises(SettingsError, match=r"The model of study study was given: pass --model again, or choose"):
        train_step(dataclasses.replace(study, model=None))
    other = written_bundle(tmp_path / "other", dataclasses.replace(study, model=None), seed=2)
    with pytest.raises(SettingsError, match="Study study measures the model with weights"):
        train_step(dataclasses.replace(study, model=str(other)))
    choice = study.folder / "choice" / "run" / "choice.json"
    kept = choice.read_text()
    choice.write_text('{"rule": "lowest"}')
    try:
        with pytest.raises(SettingsError, match="was trained: leave --model out"):
            train_step(study)
    finally:
        choice.write_text(kept)


@pytest.mark.parametrize("name", ["config_sha256", "manifest_sha256"])
def test_a_model_that_may_have_seen_the_test_subjects_is_refused(study, tmp_path, name):
    model = written_bundle(tmp_path / "foreign", dataclasses.replace(study, model=None), **{name: "1" * 64})
    (part,) = study.parts()
    foreign = dataclasses.replace(part, study=dataclasses.replace(study, folder=tmp_path / "new", model=str(model)))
    with pytest.raises(CohortError, match=r"tiny-mr-to-ct comes from \w+ 111111111111…, this is"):
        given_choice(foreign)
    assert not (tmp_path / "new").exists()


def test_one_model_cannot_be_tested_by_folds(study):
    (part,) = study.parts()
    with pytest.raises(SettingsError, match="cannot be tested by folds"):
        model_of_study(dataclasses.replace(part, fold=1))


def test_only_a_pipeline_that_can_measure_a_model_takes_the_option(tmp_path, capsys):
    seen = []
    steps = (Step("only", seen.append),)
    with pytest.raises(SystemExit) as ended:
        run_pipeline("x", steps, [str(SMOKE), "--out", str(tmp_path), "--model", "m"], takes_model=True)
    assert ended.value.code == 0
    assert seen[0].model == "m"
    with pytest.raises(SystemExit) as ended:
        run_pipeline("x", steps, [str(SMOKE), "--out", str(tmp_path), "--model", "m"])
    assert ended.value.code == 2
    assert "--model" in capsys.readouterr().err
