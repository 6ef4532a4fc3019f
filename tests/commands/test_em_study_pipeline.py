"""The study of contrast translation from its configuration to the report, restartable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import opened_page, shades_in

from medgan.commands.em_data import KnownStack
from medgan.commands.em_study import require_one_data, study_settings
from medgan.commands.em_study_measures import compared
from medgan.commands.em_study_report import shown_sections, verdict
from medgan.commands.em_study_settings import EmStudySettings
from medgan.commands.study import Study
from medgan.errors import SettingsError
from medgan.geometry import Grid
from medgan.settings import checked
from medgan.volume import LabelMap, Quantity, Volume

ROOT = Path(__file__).parents[2]
ARMS = {"none": {"config": "a.yaml", "segmentation": "none"}, "both": {"config": "b.yaml", "segmentation": "both"}}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the configurations: a study's segmenter is trained beside them."""
    folder = tmp_path_factory.mktemp("em")
    shutil.copytree(ROOT / "configs" / "em_contrast", folder / "configs" / "em_contrast")
    return folder


def run(clone: Path, config: str = "study_smoke", *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(clone / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "pipelines" / "em_contrast.py"), f"configs/em_contrast/{config}.yaml"]
    command += ["--out", "study", "--precision", "float32", *options]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def study(clone: Path) -> Path:
    outcome = run(clone)
    assert outcome.returncode == 0, outcome.stderr
    return clone / "study"


def measures(study: Path, row: str) -> dict:
    return json.loads((study / "measures" / row / "measures.json").read_text())


class TestStudy:
    def test_every_row_is_measured_and_the_bound_is_best(self, study):
        found = {p.name for p in (study / "measures").iterdir()}
        assert found == {"raw", "matched", "bound", "none_seed4", "separate_seed4"}
        bound = measures(study, "bound")["pooled"]
        for row in found - {"bound"}:
            assert measures(study, row)["pooled"]["voi"] > 2 * bound["voi"]
        assert bound["expected_run_length"] > measures(study, "raw")["pooled"]["expected_run_length"]

    def test_tables_stand_in_the_report_too(self, study):
        page, tables = (study / "report.html").read_text(), (study / "tables.md").read_text()
        value = f"{measures(study, 'raw')['pooled']['voi']:.3f}"
        assert value in page
        assert value in tables
        assert "one seed, from which nothing about the method follows" in page

    def test_finished_steps_are_skipped(self, clone, study):
        path = study / "measures" / "raw" / "measures.json"
        result = study / "runs" / "none_seed4" / "result.json"
        before = path.stat().st_mtime_ns, result.stat().st_mtime_ns
        shutil.rmtree(study / "measures" / "matched")
        outcome = run(clone)
        assert outcome.returncode == 0, outcome.stderr
        assert "training smoke" not in outcome.stderr
        assert (path.stat().st_mtime_ns, result.stat().st_mtime_ns) == before
        assert measures(study, "matched")["pooled"]["voi"] > 0

    def test_blocks_are_measured_anew(self, clone, study):
        whole = measures(study, "bound")
        outcome = run(clone, "study_smoke", "--set", "block_zyx=[20,40,40]")
        assert outcome.returncode == 0, outcome.stderr
        parts = measures(study, "bound")
        assert (len(whole["blocks"]), len(parts["blocks"])) == (1, 2)
        assert parts["pooled"]["voi"] == pytest.approx(whole["pooled"]["voi"])
        assert "VOI of every block" in (study / "report.html").read_text()

    def test_the_last_step_is_measured_beside_the_chosen_one(self, clone, study):
        outcome = run(clone, "study_smoke", "--set", "checkpoints=[chosen, last]")
        assert outcome.returncode == 0, outcome.stderr
        chosen, last = measures(study, "none_seed4"), measures(study, "none_seed4_last")
        assert (chosen["checkpoint"], last["checkpoint"]) == ("chosen", "last")
        if json.loads((study / "runs" / "none_seed4" / "result.json").read_text())["chosen"]["step"] == 6:
            assert last["pooled"] == chosen["pooled"]
        assert "CycleGAN, last step" in (study / "tables.md").read_text()

    def test_the_page_shows_its_pictures_and_asks_for_nothing(self, study):
        with opened_page(study / "report.html") as opened:
            assert opened.console == []
            assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
            sheet = opened.page.locator("img[alt^='One section in every version']")
            assert shades_in(sheet.screenshot()) > 50


def test_arms_of_different_data_are_refused(clone):
    path = clone / "configs" / "em_contrast" / "mixed.yaml"
    text = (clone / "configs" / "em_contrast" / "study_smoke.yaml").read_text()
    path.write_text(text.replace("separate: {config: smoke_secgan.yaml", "separate: {config: secgan.yaml"))
    outcome = run(clone, "mixed")
    assert outcome.returncode == 2
    assert "the arms none and separate need the same data" in outcome.stderr


def test_a_baseline_that_is_no_arm_is_refused(clone):
    outcome = run(clone, "study_smoke", "--set", "baseline=cyclegan")
    assert outcome.returncode == 2
    assert "baseline must be one of the arms none, separate: found 'cyclegan'" in outcome.stderr


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "configs/em_contrast").glob("study_*.yaml")))
def test_every_study_of_the_repository_is_consistent(name):
    study = Study(
        config=ROOT / "configs" / "em_contrast" / f"{name}.yaml", folder=Path("none"), data_root=None, overrides=(),
        device="cpu", precision="float32", threads=1, console=None,  # type: ignore[arg-type]
    )  # fmt: skip
    settings = study_settings(study)
    experiment = require_one_data(study, settings)
    assert (study.config.parent / settings.segmenter).is_file()
    assert experiment.segmenter is not None


class TestVerdict:
    def said(self, *differences: float) -> str:
        seeds = tuple(range(1, len(differences) + 1))
        settings = EmStudySettings(title="t", segmenter="s", arms=ARMS, baseline="none", seeds=seeds)
        measured = {}
        for seed, difference in zip(seeds, differences):
            measured[f"none_seed{seed}"] = {"pooled": {"voi": 1.0}, "arm": "none", "seed": seed, "checkpoint": "chosen"}
            both = {"arm": "both", "seed": seed, "checkpoint": "chosen"}
            measured[f"both_seed{seed}"] = {"pooled": {"voi": 1.0 + difference}, **both}
        first, line = verdict(settings, measured)
        word = "SECGAN, both" if max(differences) < 0 else "none"
        every = "in every seed" if len(seeds) > 1 else "with the one seed"
        assert first == f"Chosen checkpoints: better than the CycleGAN {every}: {word}."
        return line

    def test_few_seeds_have_no_interval(self):
        assert self.said(-0.1).endswith("one seed, from which nothing about the method follows.")
        assert "in 2 of 3 seeds; too few for an interval" in self.said(-0.1, -0.2, 0.1)

    def test_six_seeds_have_one(self):
        assert "below 0" in self.said(-0.1, -0.2, -0.1, -0.3, -0.1, -0.2)
        assert "above 0" in self.said(0.1, 0.2, 0.1, 0.3, 0.1, 0.2)
        assert "no difference shown" in self.said(0.1, -0.2, 0.1, -0.3, 0.2, 0.1)

    @pytest.mark.parametrize(
        ("matched", "better"), [(1.5, "CycleGAN, SECGAN, both"), (1.2, "SECGAN, both"), (0.9, "none")]
    )
    def test_what_needs_no_training_is_compared_too(self, matched, better):
        settings = EmStudySettings(title="t", segmenter="s", arms=ARMS, baseline="none", seeds=(1, 2))
        measured = {"matched": {"pooled": {"voi": matched}}}
        for arm, seed, value in (("none", 1, 1.3), ("none", 2, 1.0), ("both", 1, 1.1), ("both", 2, 1.0)):
            one = {"arm": arm, "seed": seed, "checkpoint": "chosen"}
            measured[f"{arm}_seed{seed}"] = {"pooled": {"voi": value}, **one}
        last = verdict(settings, measured)[-1]
        assert last == f"Chosen checkpoints: better than histogram matching alone in every training: {better}."

    def test_a_seed_that_one_arm_lacks_is_left_out(self):
        settings = EmStudySettings(title="t", segmenter="s", arms=ARMS, baseline="none", seeds=(1, 2))
        one, other = (
            {"pooled": {"voi": 1.0}, "arm": arm, "seed": n, "checkpoint": "chosen"}
            for arm, n in (("both", 1), ("none", 2))
        )
        assert verdict(settings, {"both_seed1": one, "none_seed2": other}) == []


@pytest.mark.parametrize(("rows", "beside"), [(("raw", "none_seed1"), 1), (("raw", "none_seed1", "bound"), 3)])
def test_the_truth_stands_beside_an_image_that_is_no_translation(tmp_path, rows, beside):
    for gray, row in enumerate(rows, start=1):
        folder = tmp_path / "measures" / row
        folder.mkdir(parents=True)
        one = np.full((4, 4), gray, np.uint8)
        np.savez(folder / "section.npz", image=one, boundary=one, instances=one, truth=one * 0)
    study = Study(
        config=ROOT / "s.yaml", folder=tmp_path, data_root=None, overrides=(),
        device="cpu", precision="float32", threads=1, console=None,  # type: ignore[arg-type]
    )  # fmt: skip
    settings = EmStudySettings(title="t", segmenter="s", arms=ARMS, baseline="none", seeds=(1,))
    shown = shown_sections(study, settings, {row: {} for row in rows})
    assert [one.title for one in shown][-1] == "truth"
    assert shown[-1].image[0, 0] == beside


def test_sections_known_by_themselves_ask_nothing_of_the_third_axis():
    """One object through all sections is right where each section has numbers of its own; a split section is not."""
    grid = Grid.axis_aligned((4, 4, 3), spacing=(10, 10, 10), unit="nm", frame="specimen")
    truth = np.zeros(grid.shape, np.uint32)
    truth[:, :, 0], truth[:, :, 2] = 1, 2
    image = Volume(np.ones(grid.shape, np.uint8), grid, Quantity.EM_SIGNAL)
    test = KnownStack("t", image, LabelMap(truth, grid), sections=(0, 2))
    right = compared(LabelMap(np.ones(grid.shape, np.uint64), grid), test, block_zyx=None)
    assert right["pooled"]["voi"] == 0
    assert [b["start_ijk"][2] for b in right["blocks"]] == [0, 2]
    split = np.ones(grid.shape, np.uint64)
    split[:2, :, 2] = 5
    wrong = compared(LabelMap(split, grid), test, block_zyx=None)
    assert (wrong["blocks"][0]["voi"], wrong["blocks"][1]["voi"]) == (0, 1)
    assert wrong["pooled"]["voi"] == pytest.approx(0.5)


def test_settings_name_every_fault():
    values = {"title": "t", "segmenter": "s", "baseline": "none", "seeds": []}
    values["arms"] = {"none": {"config": "a", "segmentation": "nope"}}
    with pytest.raises(SettingsError, match=r"2 faults:\n- arms\.none\.segmentation: Input .*\n- seeds"):
        checked(values, EmStudySettings, name="study.yaml")
