from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import opened_page
from commands_support import Outcome
from PIL import Image

from medgan.commands.console import Console
from medgan.commands.explanation_study import (
    MARKER,
    classifiers_step,
    data_step,
    explain_step,
    explained_split,
    study_settings,
    summary_step,
    translator_step,
)
from medgan.commands.study import Study
from medgan.errors import SettingsError

CONFIGS = Path(__file__).parents[2] / "configs" / "chest_xray_counterfactuals"
STEPS = (data_step, classifiers_step, translator_step, explain_step, summary_step)


def study_at(folder: Path, config: Path = CONFIGS / "smoke.yaml", *overrides: str) -> Study:
    return Study(
        config=config,
        folder=folder,
        data_root=None,
        overrides=overrides,
        device="cpu",
        precision="float32",
        threads=1,
        console=Console(quiet=True),
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The smoke study, whole: tiny classifiers and translator, explanations, report."""
    study = study_at(tmp_path_factory.mktemp("explained") / "smoke")
    for step in STEPS:
        step(study)
    return study


@pytest.fixture(scope="module")
def facts(smoke: Study) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((smoke.folder / "lesion" / "cases.json").read_text())
    return found


def models_of(study: Study) -> list[object]:
    runs = study.folder / "runs"
    given: list[object] = []
    for option, role in (("classifier", "classifier"), ("translator", "translator"), ("second-classifier", "second")):
        given += [f"--{option}", runs / f"lesion_{role}" / "bundle"]
    return given


@pytest.fixture
def pictures(smoke: Study, tmp_path: Path) -> list[Path]:
    """Test radiographs of the study as PNG files, four of each class."""
    from medgan.commands.explanation_study import arm_data

    test = arm_data(smoke, study_settings(smoke).arms["lesion"]).splits["test"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = []
    for n in range(8):
        file = folder / f"chest_{n}.png"
        Image.fromarray(np.rint((test.images[n] + 1) * 127.5).astype(np.uint8)).save(file)
        files.append(file)
    return files


def test_the_report_names_the_planted_shortcut(facts: dict[str, Any]) -> None:
    removed = next(one for one in facts["cohort"]["localization"] if one["direction"] == "lesion to no lesion")
    assert removed["regions"][0]["region"] == MARKER
    assert removed["sentence"].startswith(f"{MARKER} undoes")


def test_everything_is_written_and_nothing_half_written(smoke: Study, facts: dict[str, Any]) -> None:
    folder = smoke.folder / "lesion"
    assert {"report.html", "cases.json", "maps", "tables", "result.json", "request.json"} == {
        one.name for one in folder.iterdir()
    }
    for case in facts["cases"]:
        with np.load(folder / case["maps_file"]) as maps:
            assert maps["real"].dtype == np.float32
            np.testing.assert_array_equal(maps["difference"], maps["fake"] - maps["real"])
            for one in case["maps"]:
                assert (f"map_{one['method']}" in maps) == (one["refusal"] == "")
    with (folder / "tables" / "cases.csv").open() as stream:
        assert [row["case_id"] for row in csv.DictReader(stream)] == [case["case_id"] for case in facts["cases"]]


def test_rates_count_all_correct_queries_and_not_only_the_explained_ones(facts: dict[str, Any]) -> None:
    for one in facts["cohort"]["success"]:
        assert one["queries"] == 8
        assert one["flips"]["total"] > 3
    assert len(facts["cases"]) == 6


def test_a_cohort_has_controls_tests_and_calibration(facts: dict[str, Any]) -> None:
    cohort = facts["cohort"]
    assert {one["name"] for one in cohort["controls"]} == {
        "same-class translation",
        "class-mean residual",
        "another subject's residual",
    }
    assert any(MARKER in one["label"] and one["difference"] for one in cohort["equivalence"])
    assert [one["images"] for one in cohort["calibration"]] == ["real", "fake"]
    assert {one["method"] for one in cohort["agreement"]} == {"d_ig", "d_ingrad", "d_gc", "residual", "random"}
    assert facts["transforms"]["sentence"].startswith("Strengths were chosen on 16 real images")


def test_the_summary_is_of_every_arm(smoke: Study) -> None:
    summary = json.loads((smoke.folder / "summary.json").read_text())
    assert list(summary) == ["lesion"]
    assert summary["lesion"]["flips"]["lesion to no lesion"]["robust"]["total"] > 0


def test_a_finished_study_is_left_alone(smoke: Study) -> None:
    page = smoke.folder / "lesion" / "report.html"
    before = page.stat().st_mtime_ns
    for step in STEPS[:4]:
        step(smoke)
    assert page.stat().st_mtime_ns == before


def test_an_interrupted_explanation_continues_to_the_same_numbers(smoke: Study, tmp_path: Path) -> None:
    copy = tmp_path / "again"
    shutil.copytree(smoke.folder, copy)
    arm = copy / "lesion"
    kept, *lost = sorted((arm / "maps").glob("*.npz"))
    for file in lost:
        file.unlink()
    for name in ("report.html", "cases.json", "result.json"):
        (arm / name).unlink()
    stamp = kept.stat().st_mtime_ns
    explain_step(replace(smoke, folder=copy))
    assert kept.stat().st_mtime_ns == stamp
    assert (arm / "cases.json").read_bytes() == (smoke.folder / "lesion" / "cases.json").read_bytes()


def test_a_finished_run_of_the_same_configuration_is_used(smoke: Study, tmp_path: Path) -> None:
    configs = tmp_path / "configs"
    shutil.copytree(CONFIGS, configs)
    text = (configs / "smoke.yaml").read_text()
    run = smoke.folder / "runs" / "lesion_classifier"
    (configs / "smoke.yaml").write_text(
        text.replace("{config: smoke_classifier.yaml}", f"{{config: smoke_classifier.yaml, run: {run}}}").replace(
            "{config: smoke_second.yaml}", f"{{config: smoke_second.yaml, run: {run}}}"
        )
    )
    study = study_at(tmp_path / "study", configs / "smoke.yaml")
    from medgan.commands.explanation_study import _reused

    arm = study_settings(study).arms["lesion"]
    assert _reused(study, "lesion", "classifier", arm.classifier) == run
    # The classifier's run was begun with another configuration than the second one's.
    assert arm.second is not None
    assert _reused(study, "lesion", "second", arm.second) is None


def test_an_arm_that_explains_other_data_than_it_trains_on_is_refused(tmp_path: Path) -> None:
    study = study_at(tmp_path / "study", CONFIGS / "smoke.yaml", "arms.lesion.data.seed=4")
    with pytest.raises(SettingsError, match="other data than its classifier is trained on"):
        classifiers_step(study)


@pytest.mark.parametrize("name", ["smoke", "study_phantom", "study_pneumonia", "study_nih"])
def test_the_studies_are_valid_and_their_trainings_are_there(name: str, tmp_path: Path) -> None:
    settings = study_settings(study_at(tmp_path, CONFIGS / f"{name}.yaml"))
    for arm in settings.arms.values():
        for model in (arm.classifier, arm.translator, arm.second, *arm.labels.values()):
            assert model is None or model.bundle or (CONFIGS / (model.config or "")).is_file()


def test_of_identical_images_one_is_explained() -> None:
    from medgan.commands.chest_data import ChestData, ChestSplit

    images = np.zeros((4, 8, 8), dtype=np.float32)
    images[3] = 1
    split = ChestSplit(images, np.array([0, 0, 1, 1]), ("a", "b", "c", "d"), ("s", "s", "t", "t"))
    empty = replace(split, images=images[:0], labels=split.labels[:0], case_ids=(), subject_ids=())
    data = ChestData(
        ("no", "yes"), {"train": empty, "test": split}, empty, empty, True, "0", "title", "license", "citation"
    )
    # The same pixels under another label are another query.
    assert [one.case_id for one in explained_split(data).images] == ["a", "c", "d"]


def test_explain_writes_a_report_and_stops_at_nothing_twice(
    medgan: Any, smoke: Study, pictures: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    options = [*models_of(smoke), "--out", out, "--method", "d_ig", "--json"]
    done: Outcome = medgan("explain", *pictures, *options)
    assert done.code == 0, done.err
    facts = json.loads(done.out)
    assert facts["cases"] == 8
    assert "explaining" in done.err
    found = json.loads((out / "cases.json").read_text())
    assert "True classes are not known" in " ".join(found["notices"])
    assert found["cohort"]["calibration"] == []
    assert {case["case_id"] for case in found["cases"]} == {file.stem for file in pictures}
    again: Outcome = medgan("explain", *pictures, *options)
    assert again.code == 0
    assert "is finished" in again.err
    other: Outcome = medgan("explain", *pictures[:3], *options)
    assert other.code == 2
    assert "report of other images" in other.err
    replaced: Outcome = medgan("explain", *pictures[:3], *options, "--overwrite")
    assert replaced.code == 0
    assert len(json.loads((out / "cases.json").read_text())["cases"]) == 3


def test_a_list_with_labels_and_subjects_is_a_cohort_and_one_bad_file_leaves_the_rest(
    medgan: Any, smoke: Study, pictures: list[Path], tmp_path: Path
) -> None:
    table = tmp_path / "list.csv"
    lines = [
        f"case_{n},pictures/{file.name},s{n // 2},{('no lesion', 'lesion')[n % 2]}" for n, file in enumerate(pictures)
    ]
    (tmp_path / "pictures" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    table.write_text("\n".join(["case_id,path,subject_id,label", *lines, "bad,pictures/broken.png,s9,lesion"]) + "\n")
    out = tmp_path / "report"
    done: Outcome = medgan("explain", "--cohort", table, *models_of(smoke), "--out", out, "--method", "d_ig")
    assert done.code == 3, done.err
    found = json.loads((out / "cases.json").read_text())
    assert list(found["refused"]) == ["bad"]
    assert len(found["cohort"]["calibration"]) == 2
    assert {case["subject_id"] for case in found["cases"]} == {"s0", "s1", "s2", "s3"}
    assert "bad refused" in done.out


def test_without_a_second_classifier_every_flip_says_so(
    medgan: Any, smoke: Study, pictures: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    done: Outcome = medgan("explain", *pictures, *models_of(smoke)[:4], "--out", out, "--method", "d_ig", "-q")
    assert done.code == 0, done.err
    cases = json.loads((out / "cases.json").read_text())["cases"]
    robust = [case["verdict"]["sentence"] for case in cases if case["verdict"]["kind"] == "robust"]
    assert robust
    assert all("second classifier not available" in sentence for sentence in robust)


def test_the_page_of_a_study_in_a_browser(smoke: Study) -> None:
    page = smoke.folder / "lesion" / "report.html"
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"/(?:tmp|home|work|root)/", text)
    with opened_page(page) as opened:
        tab = opened.page
        shown = tab.locator("article.case:visible").count()
        assert shown == tab.locator("article.case").count() > 2
        assert tab.eval_on_selector_all("img", "imgs => imgs.every(i => i.complete && i.naturalWidth > 0)")
        tab.locator('button[data-filter="kind"][data-value="robust"]').click()
        kinds = tab.eval_on_selector_all("article.case", "all => all.filter(a => !a.hidden).map(a => a.dataset.kind)")
        assert set(kinds) == {"robust"}
        assert [line for line in opened.console if line.startswith("error")] == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
