from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import opened_page, shades_in

from medgan.commands.choose import read_choices
from medgan.commands.console import Console
from medgan.commands.study import Study
from medgan.commands.study_baselines import TITLES
from medgan.commands.study_domain import domain_checks
from medgan.commands.study_lock import read_looks
from medgan.inference.bundle import ModelBundle

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "configs" / "mr_to_ct" / "smoke.yaml"
COMMAND = [sys.executable, str(ROOT / "pipelines" / "mr_to_ct.py"), str(SMOKE)]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*COMMAND, "--out", str(folder), "--precision", "float32", *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def study_of(folder: Path) -> Study:
    return Study(
        config=SMOKE,
        folder=folder,
        data_root=None,
        overrides=(),
        device="cpu",
        precision="float32",
        threads=1,
        console=Console(quiet=True),
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "smoke"
    outcome = run(folder)
    assert outcome.returncode == 0, outcome.stderr
    return folder


def test_the_study_ends_in_a_report_with_baselines_beside_the_model(study):
    page = (study / "report.html").read_text()
    for words in (
        "Gate: not passed",
        "(a) body filled with the training median",
        "(b) quantile matching, increasing",
        "(c) T1 table",
        "an unfair bound",
        "ideal translator",
        "Failure 1: head_00",
        "Looks at the test split",
        "Lowest weighted mean rank",
        "Domain check",
        "cyclegan.warm_start.steps",
        "Weights of the training",
    ):
        assert words in page, words
    measures = json.loads((study / "evaluation" / "measures.json").read_text())
    assert list(measures) == list(TITLES)
    assert [row["case_id"] for row in measures["model"]] == ["head_005", "head_006"]
    assert (study / "evaluation" / "model.csv").is_file()


def test_the_ideal_translator_misses_the_noise_only(study):
    """Noise of 12 HU has a mean absolute value of 12 sqrt(2 / pi) HU."""
    measures = json.loads((study / "evaluation" / "measures.json").read_text())
    for row in measures["ideal"]:
        assert row["measures"]["mae"]["value"] == pytest.approx(9.57, abs=0.2)
        assert abs(row["measures"]["me"]["value"]) < 0.5
        assert row["measures"]["dice_bone"]["value"] > 0.99


def test_the_unfair_bound_is_below_the_baselines_without_pairs(study):
    measures = json.loads((study / "evaluation" / "measures.json").read_text())
    mean = {name: sum(row["measures"]["mae"]["value"] for row in rows) / len(rows) for name, rows in measures.items()}
    for name in ("body_median", "quantiles_increasing", "quantiles_decreasing", "t1_table"):
        assert mean["ideal"] < mean["paired_bins"] < mean[name]


def test_a_checkpoint_is_chosen_by_its_score_and_shipped_as_the_bundle(study):
    (choice,) = read_choices(study_of(study).parts()).values()
    assert [row["step"] for row in choice["checkpoints"]] == [8, 12]
    ranks = {row["step"]: row["mean_rank"] for row in choice["checkpoints"]}
    assert ranks[choice["chosen_step"]] == min(ranks.values())
    assert choice["validation_cases"] == ["head_004"]
    assert choice["rank_correlation"] is None  # two checkpoints
    bundle = ModelBundle.load(study / "choice" / "run" / "bundle")
    assert bundle.facts.training.steps == choice["chosen_step"]
    sidecar = json.loads((study / "translations" / "head_005_sct.json").read_text())
    assert sidecar["model"]["weights_sha256"] == bundle.facts.weights_sha256


def test_the_test_split_was_looked_at_once(study):
    (look,) = read_looks(study)
    assert look.reason == "first look"
    assert look.table_sha256 is not None
    assert "other models" not in (study / "report.html").read_text()


def test_every_test_case_has_a_domain_check(study):
    checks = domain_checks(study_of(study))
    assert [check["case_id"] for check in checks] == ["head_005", "head_006"]
    assert {check["kind"] for check in checks} == {"test"}
    assert {check["status"] for check in checks} == {"unknown"}  # two training cases are too few


def test_a_browser_shows_the_report_and_asks_for_nothing(study):
    file = study / "report.html"
    with opened_page(file) as opened:
        page = opened.page
        page.wait_for_selector("section.viewer[data-state]")
        assert page.get_attribute("section.viewer", "data-state") == "ready"
        assert shades_in(page.locator("section.viewer canvas").screenshot()) > 20
        assert re.match(r"Source -?\d+ · Result \(synthetic\) -?\d+ HU", page.inner_text(".viewer-location"))
        assert [url for url in opened.requests if not url.startswith("data:")] == [file.resolve().as_uri()]
        assert opened.console == []


def test_a_finished_study_is_not_repeated(study):
    times = {p: p.stat().st_mtime_ns for p in study.rglob("*") if p.is_file() and p.name != "status.json"}
    assert run(study).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_any_step_can_be_lost_and_is_done_again_to_the_same_numbers(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    (copy / "report.html").unlink()
    shutil.rmtree(copy / "choice" / "run" / "bundle")
    (copy / "choice" / "run" / "step_000008.json").unlink()
    (copy / "choice" / "run" / "choice.json").unlink()
    (copy / "evaluation" / "measures.json").unlink()
    (copy / "evaluation" / "head_006.json").unlink()
    (copy / "translations" / "head_006_sct.nii.gz").unlink()
    outcome = run(copy)
    assert outcome.returncode == 0, outcome.stderr
    for name in (Path("evaluation") / "measures.json", Path("choice") / "run" / "choice.json"):
        assert (copy / name).read_text() == (study / name).read_text()
    # The finished table was gone: that is a second look, and nobody can unsee it.
    assert [look.reason for look in read_looks(copy)] == ["first look", "the finished table was gone"]
    assert "looked at 2 times" in (copy / "report.html").read_text()
    assert "A second look at the test split is recorded: the finished table was gone." in outcome.stderr
    assert (copy / "evaluation_before_1" / "head_005.json").is_file()


def test_until_stops_early_and_unknown_steps_are_refused(tmp_path):
    folder = tmp_path / "early"
    assert run(folder, "--until", "prepare").returncode == 0
    assert not (folder / "run").exists()
    assert run(folder, "--until", "publish").returncode == 2


def test_a_broken_configuration_is_one_sentence(tmp_path):
    outcome = run(tmp_path / "x", "--set", "seeed=3", "--quiet")
    assert outcome.returncode == 2
    assert "Did you mean 'seed'?" in outcome.stderr
    assert "Traceback" not in outcome.stderr
