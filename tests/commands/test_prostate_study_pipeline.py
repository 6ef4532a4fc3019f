"""The study of arms from a configuration to its report, and ``medgan segment`` with a model that it trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgan.cohort import Manifest
from medgan.commands.console import Console
from medgan.commands.segmentation_study import prepare_step
from medgan.commands.study import Study
from medgan.errors import CohortError
from medgan.formats import read_labels, read_volume, write_volume
from medgan.volume import Quantity

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "configs" / "prostate_lesions" / "smoke.yaml"
COMMAND = [sys.executable, str(ROOT / "pipelines" / "prostate_lesions.py"), str(CONFIG)]
CHANNELS = ("t2w", "adc", "dwi")


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache"), "OMP_NUM_THREADS": "1"}
    command = [*COMMAND, "--out", str(folder), "--precision", "float32", *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "smoke"
    outcome = run(folder)
    assert outcome.returncode == 0, outcome.stderr
    return folder


@pytest.fixture(scope="module")
def model(study: Path) -> Path:
    return study / "runs" / "cross_entropy_fold0" / "bundle"


def given(study: Path, case: str = "prostate_000") -> list[str]:
    return [
        part for name in CHANNELS for part in ("--channel", f"{name}={study / 'phantoms' / f'{case}_{name}.nii.gz'}")
    ]


def test_the_study_ends_in_a_report(study):
    page = (study / "report.html").read_text()
    for words in (
        "Images with lesion", "Images without lesion", "Claims fixed beforehand", "Lesions found", "Small-data curve",
        "Calibration of the focus class", "Error by uncertainty", "Trainings", "0.41 ± 0.28", "another data set",
    ):  # fmt: skip
        assert words in page
    assert "https://" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(list((study / "runs").iterdir())) == 6


def test_arms_share_everything_but_the_loss(study):
    runs = [study / "runs" / f"{arm}_fold0" for arm in ("cross_entropy", "adversarial")]
    one, other = (json.loads((r / "segmentation.json").read_text()) for r in runs)
    assert one["deal"] == other["deal"]
    assert one["checkpoints"].keys() == other["checkpoints"].keys() == {"6", "8"}
    first = [json.loads((r / "metrics.jsonl").read_text().splitlines()[0]) for r in runs]
    assert first[0]["cross_entropy"] == first[1]["cross_entropy"]
    assert one["softness"] is None
    assert 0 <= other["softness"] <= 1


def test_every_subject_is_tested_once_by_every_arm(study):
    for arm in ("cross_entropy", "adversarial"):
        cases = [p.stem for fold in (0, 1) for p in (study / "evaluation" / f"{arm}_fold{fold}").glob("*.json")]
        assert sorted(cases) == [f"prostate_{n:03d}" for n in range(8)]
        kept = [p.stem for fold in (0, 1) for p in (study / "predictions" / f"{arm}_fold{fold}").glob("*.npz")]
        assert sorted(kept) == sorted(cases)


def test_a_lost_training_is_done_again_to_the_same_bits(study, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    shutil.rmtree(copy / "runs" / "adversarial_fold1")
    assert run(copy, "--until", "train").returncode == 0
    name = Path("runs") / "adversarial_fold1" / "bundle" / "weights.safetensors"
    assert (copy / name).read_bytes() == (study / name).read_bytes()


def test_a_fold_without_a_lesion_is_refused(tmp_path):
    study = Study(
        config=CONFIG,
        folder=tmp_path / "none",
        data_root=None,
        overrides=("data.phantoms.lesion_share=0",),
        device="cpu",
        precision="float32",
        threads=None,
        console=Console(quiet=True),
    )
    with pytest.raises(CohortError, match="The training subjects need at least one lesion"):
        prepare_step(study)


def test_segment_writes_on_the_grid_of_t2w(study, model, medgan, tmp_path):
    out = tmp_path / "results"
    outcome = medgan("segment", "--model", model, *given(study), "--out", out, "--json", "--precision", "float32")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    reference = read_volume(study / "phantoms" / "prostate_000_t2w.nii.gz", quantity=Quantity.MR_SIGNAL)
    labels = read_labels(facts["outputs"]["labels"])
    probability = read_volume(facts["outputs"]["probability"], quantity=Quantity.PROBABILITY)
    assert labels.grid.same_as(reference.grid)
    assert probability.grid.same_as(reference.grid)
    assert 0 <= float(probability.array.min()) <= float(probability.array.max()) <= 1
    assert set(np.unique(labels.array)) <= {0, 1, 2, 3}
    assert "phantoms only" in facts["warning"]
    assert facts["model"]["on_phantoms"] is True
    assert Path(facts["outputs"]["picture"]).read_bytes().startswith(b"\x89PNG")
    table = Path(facts["outputs"]["table"]).read_text().splitlines()
    assert table[0].startswith("number,volume_ml")
    assert len(table) == 1 + len(facts["lesions"])
    assert "phantoms only" in outcome.err
    again = medgan("segment", "--model", model, *given(study), "--out", out)
    assert again.code == 2
    assert "never replaced unasked" in again.err


def test_segment_without_a_model_lists_them_and_refuses_other_tasks(medgan, study, tiny_bundle):
    outcome = medgan("segment", study)
    assert outcome.code == 2
    assert "A model is needed: pass --model" in outcome.err
    outcome = medgan("segment", study, "--model", tiny_bundle)
    assert outcome.code == 2
    assert "tiny-mr-to-ct is for translation" in outcome.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--channel", "flair=1"], "NAME of t2w, adc, dwi: found 'flair=1'"),
        (["--channel", "t2w=1", "--channel", "t2w=2"], "Channel t2w is given twice"),
        (["--channel", "t2w=1"], "give the study, too"),
        ([], "none was recognized"),
    ],
)
def test_refused_channels(medgan, model, options, message):
    outcome = medgan("segment", "--model", model, *options)
    assert outcome.code == 2
    assert message.replace("NAME of", "a name of") in outcome.err


def test_a_missing_channel_is_served_by_a_model_that_learned_to_do_without(study, model, medgan, tmp_path):
    outcome = medgan("segment", "--model", model, *given(study)[:4], "--out", tmp_path / "two", "--quiet")
    assert outcome.code == 0, outcome.err
    facts = json.loads(next((tmp_path / "two").glob("*.json")).read_text())
    assert facts["channels"]["dwi"]["choice"] == "missing"
    strict = tmp_path / "strict"
    shutil.copytree(model, strict)
    text = json.loads((strict / "bundle.json").read_text())
    (strict / "bundle.json").write_text(json.dumps({**text, "allows_missing": False}))
    outcome = medgan("segment", "--model", strict, *given(study)[:4], "--out", tmp_path / "three")
    assert outcome.code == 2
    assert "dwi is missing" in outcome.err


def test_channels_of_two_patients_are_refused_without_naming_them(study, model, medgan, tmp_path):
    from medgan.phantoms.dicom_file import set_element
    from medgan.phantoms.dicom_folder import write_series
    from medgan.phantoms.dicom_series import dicom_series

    folders = []
    for n, name in enumerate(CHANNELS[:2]):
        volume = read_volume(study / "phantoms" / f"prostate_000_{name}.nii.gz", quantity=Quantity.MR_SIGNAL)
        series = dicom_series(volume.mapped(np.rint, step="round"), generator=np.random.default_rng(n))
        folders.append(tmp_path / name)
        for path in write_series(series, folders[-1]):
            import pydicom

            dataset = pydicom.dcmread(path)
            set_element(dataset, "PatientID", f"SECRET{n}")
            dataset.save_as(path)
    channels = ["--channel", f"t2w={folders[0]}", "--channel", f"adc={folders[1]}"]
    outcome = medgan("segment", "--model", model, *channels, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "adc is of another patient than t2w" in outcome.err
    assert "SECRET" not in outcome.err
    assert not (tmp_path / "out").exists()


def few(study: Path, folder: Path, *cases: str) -> Path:
    """Return a manifest of some of the study's cases, beside copies of their files."""
    whole = Manifest.read(study / "phantoms" / "phantoms.yaml")
    folder.mkdir()
    entries = tuple(entry for entry in whole.entries if entry.case_id in cases)
    for entry in entries:
        shutil.copy(study / "phantoms" / entry.path, folder)
    replace(whole, entries=entries).write(folder / "few.yaml")
    return folder / "few.yaml"


def test_a_cohort_by_its_manifest(study, model, medgan, tmp_path):
    manifest = few(study, tmp_path / "few", "prostate_001", "prostate_002")
    out = tmp_path / "cohort"
    arguments = ("segment", "--manifest", manifest, "--model", model, "--out", out, "--json", "--quiet")
    first = medgan(*arguments)
    assert first.code == 0, first.err
    facts = json.loads(first.out)
    assert len(facts["done"]) == 2
    assert not any(row["kept"] for row in facts["done"])
    again = json.loads(medgan(*arguments).out)
    assert all(row["kept"] for row in again["done"])
    assert [row["lesions"] for row in again["done"]] == [row["lesions"] for row in facts["done"]]
    both = medgan("segment", study, "--manifest", manifest, "--model", model)
    assert both.code == 2
    assert "not both" in both.err


def test_a_cohort_with_a_bad_case_is_done_in_part(study, model, medgan, tmp_path):
    manifest = few(study, tmp_path / "few", "prostate_001", "prostate_003")
    name = tmp_path / "few" / "prostate_003_adc.nii.gz"
    write_volume(read_volume(name, quantity=Quantity.MR_SIGNAL).mapped(lambda a: a + 1, step="x"), name, overwrite=True)
    outcome = medgan("segment", "--manifest", manifest, "--model", model, "--out", tmp_path / "out", "--json")
    assert outcome.code == 3, outcome.err
    facts = json.loads(outcome.out)
    assert [row["case_id"] for row in facts["refused"]] == ["prostate_003"]
    assert "has changed since the manifest was written" in facts["refused"][0]["reason"]
    assert [row["case_id"] for row in facts["done"]] == ["prostate_001"]


def test_a_real_study_is_found_and_segmented(model, medgan, tmp_path, shared_data):
    folder = shared_data / "prostate" / "ProstateX_dicom"
    if not folder.is_dir():
        pytest.skip("the prostate study is absent")
    outcome = medgan("segment", folder, "--model", model, "--out", tmp_path, "--precision", "float32")
    assert outcome.code == 0, outcome.err
    assert "dwi is image 6, b 1000 s/mm2 (calculated)" in outcome.err
    labels = read_labels(tmp_path / "mr_series01_labels.nii.gz")
    assert labels.shape == (384, 384, 19)
    chosen = medgan(
        "segment", folder, "--model", model, "--out", tmp_path / "b800", "--channel", "dwi=4", "--precision", "float32"
    )
    assert chosen.code == 0
    assert "dwi is image 4, as given" in chosen.err
