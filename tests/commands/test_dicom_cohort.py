"""A cohort of DICOM studies: prepared and trained on like image files, from folders, archives and single series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgan.cohort import CaseEntry, Manifest
from medgan.cohort.case_store import CaseStore
from medgan.cohort.source_digest import digest_of
from medgan.commands.console import Console
from medgan.commands.train import train
from medgan.phantoms.dicom_companions import JunkFiles, OtherObject
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import GantryTilt, MissingSlice
from medgan.phantoms.dicom_series import DicomSeries, dicom_series
from medgan.phantoms.dicom_slices import PixelForm
from medgan.phantoms.head import head_phantom
from medgan.seeding import numpy_generator

SMOKE = Path(__file__).parents[2] / "configs" / "mr_to_ct" / "smoke.yaml"


def head(index: int, modality: str, *faults) -> DicomSeries:
    subject = head_phantom(generator=numpy_generator(5, "head", index), shape=(40, 44, 36), spacing_mm=(5, 5, 6))
    volume = subject.mr if modality == "MR" else subject.ct
    rounded = replace(volume, array=np.rint(volume.array.clip(-1024, 30000)))
    form = PixelForm(slope=1.0, intercept=-1024.0) if modality == "CT" else PixelForm()
    return dicom_series(rounded, *faults, generator=np.random.default_rng(index), pixel_form=form)


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """Heads as studies: a folder, a zip, a disc with its DICOMDIR, and a folder with two series; and their manifest."""
    root = tmp_path_factory.mktemp("studies")
    write_series(head(0, "MR", OtherObject(), JunkFiles()), root / "mr_0")
    write_archive(head(1, "MR"), root / "mr_1.zip")
    write_file_set(head(2, "CT"), root / "ct_2")
    both = root / "both_3"
    write_series(head(3, "CT", GantryTilt(8.0)), both / "a")
    write_series(head(3, "MR"), both / "b")
    rows = [
        ("head_0", "train", "mr", "MR", "mr_signal", "mr_0", None),
        ("head_1", "train", "mr", "MR", "mr_signal", "mr_1.zip", 1),
        ("head_2", "train", "ct", "CT", "hounsfield", "ct_2/DICOMDIR", None),
        ("head_3", "train", "ct", "CT", "hounsfield", "both_3", 1),
    ]
    entries = [
        CaseEntry(case, case, split, domain, modality, quantity, path, digest_of(root / path), series)
        for case, split, domain, modality, quantity, path, series in rows
    ]
    facts = {"title": "Heads", "license": "none", "citation": "none", "obtain": "none"}
    Manifest(**facts, entries=tuple(entries)).write(root / "heads.yaml")
    return root


def config_of(studies: Path, folder: Path) -> Path:
    text = SMOKE.read_text()
    start, end = text.index("  phantoms:"), text.index("recipe:")
    file = folder / "heads.yaml"
    file.write_text(f"{text[:start]}  manifest: {studies}/heads.yaml\n{text[end:]}")
    return file


def test_studies_are_prepared_whatever_they_lie_in(medgan, studies, tmp_path):
    outcome = medgan("preprocess", config_of(studies, tmp_path), "--out", "store", "--jobs", 1, "--json")
    assert outcome.code == 0, outcome.err
    rows = {row["case_id"]: row for row in outcome.json["rows"]}
    assert list(rows) == ["head_0", "head_1", "head_2", "head_3"]
    assert rows["head_0"]["verdict"] == rows["head_1"]["verdict"] == "accepted"
    assert "gantry was tilted by 8.0 degrees" in rows["head_3"]["reasons"][0]
    store = CaseStore(Path("store"), outcome.json["recipes"]["mr"]["digest"])
    case = store.read("head_1.mr")
    assert case.image.provenance.sources[0] == digest_of(studies / "mr_1.zip")
    assert len(case.image.provenance.sources) == 1 + 36


def test_a_damaged_study_is_a_row_and_does_not_stop_the_others(medgan, studies, tmp_path):
    whole = Manifest.read(studies / "heads.yaml")
    write_series(head(0, "MR", MissingSlice()), studies / "gap_0")
    gap = replace(whole.entries[0], case_id="gap", path="gap_0", sha256=digest_of(studies / "gap_0"))
    absent = replace(whole.entries[0], case_id="absent", path="JANE_DOE", sha256="0" * 64)
    replace(whole, entries=(*whole.entries, gap, absent)).write(tmp_path / "more.yaml")
    config = config_of(studies, tmp_path)
    config.write_text(config.read_text().replace(f"{studies}/heads.yaml", "more.yaml"))
    outcome = medgan("preprocess", config, "--data-root", studies, "--out", "store", "--jobs", 1)
    assert outcome.code == 3
    assert "refused: gap (mr): mr_series01: Slices must be evenly spaced" in outcome.out
    assert "refused: absent (mr): Case absent needs its mr (DICOM) below the data root" in outcome.out
    assert "JANE" not in outcome.out + outcome.err + Path("store/ingest_heads.html").read_text()
    assert len(list(Path("store").rglob("*.npz"))) == 4


def test_a_model_is_trained_on_studies(studies, tmp_path):
    short = ("cyclegan.steps=2", "cyclegan.warm_start.steps=1", "rhythm.save_every=2", "rhythm.preview_every=2")
    result = train(
        config_of(studies, tmp_path),
        out=tmp_path / "run",
        overrides=short,
        device="cpu",
        precision="float32",
        threads=1,
        console=Console(quiet=True),
    )
    assert result["steps"] == 2
    assert (tmp_path / "run" / "bundle" / "weights.safetensors").is_file()
    assert sorted(p.stem for p in (tmp_path / "run").rglob("*.npz")) == [
        "head_0.mr",
        "head_1.mr",
        "head_2.ct",
        "head_3.ct",
    ]
