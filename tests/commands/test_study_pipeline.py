from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "pipelines" / "mr_to_ct.py"), str(ROOT / "configs" / "mr_to_ct" / "smoke.yaml")]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*COMMAND, "--out", str(folder), "--precision", "float32", *options],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "smoke"
    outcome = run(folder)
    assert outcome.returncode == 0, outcome.stderr
    return folder


def test_the_study_ends_in_a_report_with_baselines_beside_the_model(study):
    page = (study / "report.html").read_text()
    for words in ("model", "body filled with the training median", "quantile matching, increasing", "T1 table"):
        assert words in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    measures = json.loads((study / "evaluation" / "measures.json").read_text())
    assert set(measures) == {"model", "body_median", "quantiles_increasing", "quantiles_decreasing", "t1_table"}
    assert [row["case_id"] for row in measures["model"]] == ["head_005", "head_006"]
    assert (study / "evaluation" / "model.csv").is_file()


def test_a_finished_study_is_not_repeated(study):
    times = {p: p.stat().st_mtime_ns for p in study.rglob("*") if p.is_file() and p.name != "status.json"}
    assert run(study).returncode == 0
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_any_step_can_be_lost_and_is_done_again_to_the_same_numbers(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    (copy / "report.html").unlink()
    (copy / "evaluation" / "measures.json").unlink()
    (copy / "evaluation" / "head_006.json").unlink()
    (copy / "translations" / "head_006_sct.nii.gz").unlink()
    outcome = run(copy)
    assert outcome.returncode == 0, outcome.stderr
    name = Path("evaluation") / "measures.json"
    assert (copy / name).read_text() == (study / name).read_text()


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
