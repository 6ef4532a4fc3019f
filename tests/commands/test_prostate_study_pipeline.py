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
        "Calibration of lesion inside the organ", "Error by uncertainty", "Trainings", "0.41 ± 0.28",
        "another data set", "Mean of every seed",
    ):  # fmt: skip
        assert words in page
    tables = (study / "tables.md").read_text()
    assert "## Images with lesion" in tables
    assert (study / "small_data_curve.png").read_bytes().startswith(b"\x89PNG")
    for arm in ("cross-entropy", "adversarial"):
        assert f"Reliability inside the organ: {arm}" in page
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


def two_series(study: Path, folder: Path, *, patients: tuple[str, str]) -> list[Path]:
    """Write T2w and ADC of a case as DICOM series, each of a study of its own, of these patients."""
    import pydicom

    from medgan.phantoms.dicom_file import set_element
    from medgan.phantoms.dicom_folder import write_series
    from medgan.phantoms.dicom_series import dicom_series

    folders = []
    for n, name in enumerate(CHANNELS[:2]):
        volume = read_volume(study / "phantoms" / f"prostate_000_{name}.nii.gz", quantity=Quantity.MR_SIGNAL)
        series = dicom_series(volume.mapped(np.rint, step="round"), generator=np.random.default_rng(n))
        folders.append(folder / name)
        for path in write_series(series, folders[-1]):
            dataset = pydicom.dcmread(path)
            set_element(dataset, "PatientID", patients[n])
            dataset.save_as(path)
    return folders


def test_channels_of_two_patients_are_refused_without_naming_them(study, model, medgan, tmp_path):
    folders = two_series(study, tmp_path / "dicom", patients=("SECRET0", "SECRET1"))
    channels = ["--channel", f"t2w={folders[0]}", "--channel", f"adc={folders[1]}"]
    outcome = medgan("segment", "--model", model, *channels, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "adc is of another patient than t2w" in outcome.err
    assert "SECRET" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_channels_of_two_studies_of_one_patient_are_taken_and_said(study, model, medgan, tmp_path):
    folders = two_series(study, tmp_path / "dicom", patients=("SECRET", "SECRET"))
    channels = ["--channel", f"t2w={folders[0]}", "--channel", f"adc={folders[1]}"]
    outcome = medgan("segment", "--model", model, *channels, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "adc is of another study than t2w" in outcome.err
    assert "SECRET" not in outcome.err


def test_a_folder_of_several_patients_is_not_searched(model, medgan, tmp_path, shared_data):
    folder = shared_data / "dicom_nasty"
    if not folder.is_dir():
        pytest.skip("the DICOM collection is absent")
    outcome = medgan("segment", folder, "--model", model, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "A study of one patient is needed to find channels in: it holds images of" in outcome.err


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


def test_a_cohort_is_not_continued_with_other_options_or_another_model(study, model, medgan, tmp_path):
    manifest = few(study, tmp_path / "few", "prostate_001")
    out = tmp_path / "cohort"
    arguments = ("segment", "--manifest", manifest, "--out", out, "--quiet")
    assert medgan(*arguments, "--model", model).code == 0
    other = medgan(*arguments, "--model", model, "--no-flips")
    assert other.code == 2
    assert "prostate_001 was segmented with other flips" in other.err
    elsewhere = study / "runs" / "adversarial_fold1" / "bundle"
    refused = medgan(*arguments, "--model", elsewhere)
    assert refused.code == 2
    assert "with other weights_sha256" in refused.err
    assert medgan(*arguments, "--model", elsewhere, "--overwrite").code == 0
    sidecar = next((out / "prostate_001").glob("*_segmentation.json"))
    sidecar.write_text("{")  # damaged: done again, not trusted
    again = medgan(*arguments, "--model", elsewhere, "--json")
    assert again.code == 0, again.err
    assert [row["kept"] for row in again.json["done"]] == [False]


def test_a_cohort_takes_series_of_a_folder_and_a_channel_names_one_of_several(study, model, medgan, tmp_path):
    from medgan.cohort.manifest import digest_of
    from medgan.phantoms.dicom_folder import write_series
    from medgan.phantoms.dicom_series import dicom_series

    manifest = few(study, tmp_path / "few", "prostate_001")
    folder = tmp_path / "few" / "dicom"
    for n, name in enumerate(CHANNELS):
        volume = read_volume(tmp_path / "few" / f"prostate_001_{name}.nii.gz", quantity=Quantity.MR_SIGNAL)
        series = dicom_series(volume.mapped(np.rint, step="round"), generator=np.random.default_rng(n))
        write_series(series, folder / name)
    shown = medgan("inspect", folder, "--json").json["items"]
    of_shape = {tuple(image["shape"]): image["index"] for image in shown}
    t2w = read_volume(tmp_path / "few" / "prostate_001_t2w.nii.gz", quantity=Quantity.MR_SIGNAL)
    index = next(number for shape, number in of_shape.items() if sorted(shape) == sorted(t2w.shape))
    release = Manifest.read(manifest)
    entries = tuple(
        replace(entry, path="dicom", sha256=digest_of(folder), series=index) if entry.domain == "t2w" else entry
        for entry in release.entries
    )
    replace(release, entries=entries).write(tmp_path / "few" / "series.yaml")
    outcome = medgan(
        "segment", "--manifest", tmp_path / "few" / "series.yaml", "--model", model, "--out", tmp_path / "o"
    )
    assert outcome.code == 0, outcome.err
    named = [*given(study, "prostate_001")[2:], "--channel", f"t2w={folder}"]
    several = medgan("segment", "--model", model, *named, "--out", tmp_path / "several")
    assert several.code == 2
    assert "choose it with --channel t2w=dicom#N" in several.err
    one = medgan("segment", "--model", model, *named[:-1], f"t2w={folder}#{index}", "--out", tmp_path / "several")
    assert one.code == 0, one.err


def test_a_manifest_that_splits_a_subject_is_refused(study, model, medgan, tmp_path):
    manifest = few(study, tmp_path / "few", "prostate_001", "prostate_002")
    table = manifest.with_suffix(".csv")
    lines = table.read_text().splitlines()
    mended = [line.replace("prostate_002,train", "prostate_001,test") for line in lines]
    table.write_text("\n".join(mended) + "\n")
    outcome = medgan("segment", "--manifest", manifest, "--model", model, "--out", tmp_path / "out")
    assert outcome.code == 2
    assert "prostate_001" in outcome.err
    assert "split" in outcome.err
    assert not (tmp_path / "out").exists()


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
    assert "dwi is image 4 (dwi, b 800 s/mm2, by its b-value), as given" in chosen.err
