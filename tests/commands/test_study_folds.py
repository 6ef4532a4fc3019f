"""A study of two folds on six phantoms: one training a fold, one table of all of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from medgan.cohort import CaseEntry, Manifest
from medgan.cohort.folds import dealt
from medgan.cohort.manifest import digest_of
from medgan.commands import study_evaluation, study_report
from medgan.commands.choose import choose_step, rank_correlation, read_choices
from medgan.commands.console import Console
from medgan.commands.study import Study, pairs_for_test, prepare_step, train_step, translate_step
from medgan.commands.study_baselines import PairedVoxels
from medgan.commands.study_domain import domain_checks
from medgan.commands.study_evaluation import evaluate_step
from medgan.commands.study_lock import read_looks
from medgan.commands.study_pictures import Pictures
from medgan.commands.study_report import _sections
from medgan.commands.study_tables import case_tables, split_table
from medgan.commands.train import train
from medgan.errors import CohortError, SettingsError, TrainingError
from medgan.formats import write_volume
from medgan.inference.bundle import ModelBundle
from medgan.phantoms.head import head_phantom
from medgan.phantoms.paired_imaging import REALISTIC
from medgan.seeding import numpy_generator

SMOKE = Path(__file__).parents[2] / "configs" / "mr_to_ct" / "smoke.yaml"
SUBJECTS = [f"head_{n}" for n in range(6)]
SHORT = {"steps": 4, "warm_start": {"steps": 1, "anchor_weight": 2.0, "anchor_steps": 4}}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of two folds over a manifest in which every subject has both images."""
    folder = tmp_path_factory.mktemp("folds")
    rows = []
    for n, name in enumerate(SUBJECTS):
        phantom = head_phantom(
            generator=numpy_generator(n, "folds"), shape=(30, 33, 27), spacing_mm=(7, 7, 8), acquisition=REALISTIC
        )
        for domain, volume in (("mr", phantom.mr), ("ct", phantom.ct)):
            file = write_volume(volume, folder / f"{name}_{domain}.nii.gz")
            facts = (name, name, "train", domain, domain.upper(), volume.quantity.label, file.name, digest_of(file))
            rows.append(CaseEntry(*facts))
    Manifest("Six heads", "Apache-2.0", "none", "none", tuple(rows)).write(folder / "heads.yaml")
    values = yaml.safe_load(SMOKE.read_text())
    del values["guard"], values["data"]["phantoms"]
    values["data"] |= {"manifest": "heads.yaml", "folds": 2, "fold_validation": 1, "tuned_on": [SUBJECTS[0]]}
    values["cyclegan"] |= SHORT
    values["rhythm"] = {"save_every": 1, "observe_every": 1, "keep_last": 1, "keep_every": 1}
    file = folder / "two_folds.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def new_study(config: Path, folder: Path, **changes) -> Study:
    values = {"data_root": None, "overrides": (), "device": "cpu", "precision": "float32", "threads": 1}
    return Study(config=config, folder=folder, console=Console(quiet=True), **{**values, **changes})


@pytest.fixture(scope="module")
def study(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    threads = torch.get_num_threads()
    study = new_study(config, tmp_path_factory.mktemp("studies") / "two_folds")
    for step in (prepare_step, train_step, choose_step, translate_step, evaluate_step):
        step(study)
    torch.set_num_threads(threads)
    return study


def test_all_folds_stand_in_one_table_and_every_subject_is_in_it_once(study):
    measures = json.loads((study.folder / "evaluation" / "measures.json").read_text())
    rows = measures["model"]
    assert sorted(row["subject_id"] for row in rows) == SUBJECTS
    tested = {fold: {row["subject_id"] for row in rows if row["fold"] == fold} for fold in (0, 1)}
    for fold in (0, 1):
        assert tested[fold] == set(dealt(SUBJECTS, folds=2, fold=fold, validation=1).test)
    assert "ideal" not in measures  # these are files, nobody knows their tissues
    assert "paired_bins" in measures


def test_each_translation_is_made_by_the_model_that_never_saw_the_subject(study):
    parts = study.parts()
    assert [part.name for part in parts] == ["run_fold_0", "run_fold_1"]
    weights = {part.fold: part.bundle().facts.weights_sha256 for part in parts}
    assert weights[0] != weights[1]
    for part, source, _ in pairs_for_test(parts):
        assert source.subject_id not in {e.subject_id for e in part.cohort.manifest.select(split="train")}
        sidecar = json.loads((study.folder / "translations" / f"{source.case_id}_sct.json").read_text())
        assert sidecar["model"]["weights_sha256"] == weights[part.fold]


def test_a_training_started_by_hand_is_the_one_that_the_study_uses(study, config):
    before = (study.folder / "run_fold_1" / "bundle" / "bundle.json").read_bytes()
    result = train(config, out=study.folder / "run_fold_1", fold=1, device="cpu", precision="float32",
                   threads=1, console=Console(quiet=True))  # fmt: skip
    assert result["steps"] == 4
    assert (study.folder / "run_fold_1" / "bundle" / "bundle.json").read_bytes() == before


def test_checkpoints_of_the_warm_start_cannot_be_chosen(study):
    for choice in read_choices(study.parts()).values():
        assert [row["step"] for row in choice["checkpoints"]] == [2, 3, 4]
        assert choice["rank_correlation"] is None or -1 <= choice["rank_correlation"] <= 1
        ranks = [row["mean_rank"] for row in choice["checkpoints"]]
        errors = [row["paired_mae_hu"] for row in choice["checkpoints"]]
        assert choice["rank_correlation"] == rank_correlation(ranks, errors)
        assert choice["lowest_error_step"] == [2, 3, 4][errors.index(min(errors))]


def test_an_earlier_checkpoint_becomes_a_bundle_of_its_own(study, tmp_path):
    from medgan.commands.choose import _write_bundle

    (part, _) = study.parts()
    copy = replace(part, study=replace(study, folder=tmp_path))
    (tmp_path / part.name).symlink_to(part.run)
    copy.choice.mkdir(parents=True)
    _write_bundle(copy, 2)
    bundle, last = ModelBundle.load(copy.choice / "bundle"), ModelBundle.load(part.run / "bundle")
    assert (bundle.facts.training.steps, last.facts.training.steps) == (2, 4)
    assert bundle.facts.weights_sha256 != last.facts.weights_sha256
    assert bundle.facts.trained_domain == last.facts.trained_domain
    assert bundle.facts.training.config_sha256 == last.facts.training.config_sha256
    # Nothing else but steps and weights tells the two apart.
    assert {"training", "weights_sha256"} == {
        name for name, value in bundle.facts.model_dump().items() if value != last.facts.model_dump()[name]
    }


def test_the_bound_of_a_subject_is_fitted_on_all_others(study):
    part = study.parts()[0]
    paired = PairedVoxels(study, study.whole_cohort().manifest)
    bounds = {subject: paired.bound_without(subject, part) for subject in SUBJECTS[:2]}
    assert bounds[SUBJECTS[0]] != bounds[SUBJECTS[1]]
    assert len(paired._found) == 6


def test_other_models_are_a_second_look_and_the_first_table_is_kept(study, tmp_path, monkeypatch):
    folder = tmp_path / "again"
    shutil.copytree(study.folder, folder)
    again = replace(study, folder=folder)
    for part in again.parts():
        shutil.rmtree(part.choice / "bundle")
        shutil.copytree(study.parts()[1].choice / "bundle", part.choice / "bundle")
    before = (folder / "evaluation" / "measures.json").read_text()
    # What is measured is another test's matter; here it only has to be another table.
    other = {name: rows[::-1] for name, rows in json.loads(before).items()}
    monkeypatch.setattr(study_evaluation, "_measured", lambda *_: other)
    evaluate_step(again)
    assert [look.reason for look in read_looks(folder)] == ["first look", "other models"]
    assert (folder / "evaluation_before_1" / "measures.json").read_text() == before
    assert (folder / "evaluation" / "measures.json").read_text() != before


def test_the_report_of_a_cross_validation(study, monkeypatch):
    measures = evaluate_step(study)
    monkeypatch.setattr(study_report, "pictures", lambda *_: Pictures((), (), None))
    titles = [section.title for section in _sections(study, measures)]
    for title in (
        "Only cases whose pairs had no part in choosing the recipe",
        "Score and error",
        "Does the score rank checkpoints as their error does?",
        "Curves of fold 0",
        "Curves of fold 1",
    ):
        assert title in titles
    errors, _ = case_tables(measures)
    assert errors.columns == ("Case", "Fold", "model", "(a)", "(b) up", "(b) down", "(c)", "prior", "(d)")
    assert [row[0] for row in errors.rows] == SUBJECTS
    split = split_table(study.parts())
    assert split.columns == ("Subject", "fold 0", "fold 1")
    assert {cell for row in split.rows for cell in row[1:]} == {"trains, MR", "trains, CT", "validation", "test"}


def test_foreign_scans_are_checked_by_every_model(study, config, tmp_path):
    rows = Manifest.read(config.parent / "heads.yaml").select(domain="ct")[:1]
    foreign = replace(rows[0], case_id="ct_as_mr", subject_id="ct_as_mr", domain="mr", quantity="mr_signal")
    Manifest("Foreign", "none", "none", "none", (foreign,)).write(tmp_path / "foreign.yaml")
    shown = domain_checks(replace(study, foreign=tmp_path / "foreign.yaml"))
    kinds = [(check["kind"], check["model"]) for check in shown if check["kind"] != "test"]
    assert kinds == [("CT given as MR", "fold 0"), ("CT given as MR", "fold 1")]
    assert len(shown) == 6 + 2


def test_a_fold_must_be_named_to_train_and_must_exist(config):
    quiet = {"device": "cpu", "console": Console(quiet=True)}
    with pytest.raises(SettingsError, match="has 2 folds: say by --fold which one is trained, 0 to 1, or all"):
        train(config, **quiet)
    with pytest.raises(SettingsError, match="must be 0 to 1, or all: found 2"):
        train(config, fold=2, **quiet)
    with pytest.raises(SettingsError, match=r"data.fold needs data.folds"):
        train(SMOKE, fold=0, **quiet)


def test_a_checkpoint_is_not_chosen_from_an_unfinished_training(config, tmp_path):
    with pytest.raises(TrainingError, match="run_fold_0 has no bundle yet"):
        choose_step(new_study(config, tmp_path))


def test_a_study_of_the_training_on_all_has_nothing_to_test(config, tmp_path):
    study = new_study(config, tmp_path, overrides=("data.fold=all",))
    (part,) = study.parts()
    assert part.name == "run_fold_all"
    assert [len(entries) for entries in part.training_entries()] == [3, 3]
    with pytest.raises(CohortError, match="needs test cases with both domains"):
        pairs_for_test([part])
