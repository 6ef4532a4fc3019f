"""--pseudonym-key: the same pseudonyms in every run with one key, and the key nowhere but in its file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from dicom_phantoms import mr, series_of

from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_header_faults import AlteredElement


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two studies of one patient, and one of another."""
    for number in (1, 2):
        write_series(series_of(volume=mr(), seed=number), tmp_path / "study" / str(number))
    write_series(series_of(AlteredElement("PatientID", "B"), volume=mr(), seed=3), tmp_path / "study" / "3")
    return tmp_path / "study"


def ids_of(outcome) -> list[tuple[str, str]]:
    return [(item["subject_id"], item["case_id"]) for item in outcome.json["items"]]


def holds(folder: Path, secret: str) -> list[str]:
    """Files, and their names, that hold a key in hexadecimal or as bytes."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and (secret.encode() in path.read_bytes() or bytes.fromhex(secret) in path.read_bytes())
    ]


class TestInspect:
    def test_with_a_key_they_are_the_same_in_every_run(self, medgan, study):
        first = medgan("inspect", study, "--pseudonym-key", "study.key", "--json")
        assert first.code == 0
        assert first.json["pseudonyms"] == "made and kept now"
        assert "study.key: a new key for pseudonyms was made" in first.err
        assert stat.S_IMODE(Path("study.key").stat().st_mode) == 0o600
        again = medgan("inspect", study, "--pseudonym-key", "study.key", "--json")
        assert again.json["pseudonyms"] == "kept before"
        assert "key" not in again.err
        assert ids_of(again) == ids_of(first)
        subjects, cases = zip(*ids_of(first))
        assert (len(set(subjects)), len(set(cases))) == (2, 3)
        assert all(s.startswith("sub-") and c.startswith("case-") for s, c in ids_of(first))
        other = medgan("inspect", study, "--pseudonym-key", "other.key", "--json")
        assert not set(ids_of(other)) & set(ids_of(first))

    def test_without_one_they_hold_for_one_run_which_is_said(self, medgan, study):
        first, again = (medgan("inspect", study, "--json") for _ in range(2))
        assert first.json["pseudonyms"] == "made for this run only"
        assert len({subject for subject, _ in ids_of(first)}) == 2
        assert not set(ids_of(first)) & set(ids_of(again))
        lines = medgan("inspect", study).out.splitlines()
        assert sum("sub-" in line and "case-" in line and "mr_series" in line for line in lines) == 3
        assert lines[-1].endswith("are of this run only: --pseudonym-key FILE keeps them.")
        assert list(Path().iterdir()) == []

    def test_one_patient_alone_needs_no_word_about_it(self, medgan, study):
        out = medgan("inspect", study / "1").out
        assert "sub-" not in out
        assert "sub-" in medgan("inspect", study / "1", "--pseudonym-key", "k").out

    def test_the_key_is_nowhere_else(self, medgan, study):
        outcome = medgan("inspect", study, "--pseudonym-key", "k.key", "--json")
        medgan("preprocess", study, "--series", 1, "--recipe", "isotropic_1mm", "--pseudonym-key", "k.key")
        secret = Path("k.key").read_text().split()[-1]
        assert len(secret) == 64
        assert secret not in outcome.out + outcome.err
        assert holds(Path(), secret) == ["k.key"]

    def test_a_key_that_others_may_read_is_told(self, medgan, study):
        medgan("inspect", study, "--pseudonym-key", "k.key")
        Path("k.key").chmod(0o644)
        assert (
            "k.key: others may read this key. Run: chmod 600 k.key"
            in medgan("inspect", study, "--pseudonym-key", "k.key").err
        )

    def test_what_is_no_key_is_refused(self, medgan, study):
        Path("notes").write_text("hello")
        outcome = medgan("inspect", study, "--pseudonym-key", "notes")
        assert (outcome.code, outcome.out) == (2, "")
        assert outcome.err.startswith("medgan: notes is no pseudonym key")


class TestPreprocess:
    def test_the_sidecar_holds_those_of_inspect(self, medgan, study):
        ids = ids_of(medgan("inspect", study / "1", "--pseudonym-key", "k.key", "--json"))
        outcome = medgan("preprocess", study / "1", "--recipe", "isotropic_1mm", "--pseudonym-key", "k.key")
        assert outcome.code == 0, outcome.err
        facts = json.loads(Path("mr_series01_isotropic_1mm.json").read_text())
        assert [(facts["subject_id"], facts["case_id"])] == ids

    def test_without_a_key_it_holds_none_and_is_the_same_in_every_run(self, medgan, study):
        texts = []
        for name in ("a", "b"):
            assert medgan("preprocess", study / "1", "--recipe", "isotropic_1mm", "--out", name).code == 0
            facts = json.loads(Path(name, "mr_series01_isotropic_1mm.json").read_text())
            assert facts["subject_id"] is facts["case_id"] is None
            texts.append(json.dumps({**facts, "seconds": 0}))
        assert texts[0] == texts[1]

    def test_a_cohort_has_pseudonyms_of_its_own(self, medgan, tmp_path):
        (tmp_path / "c.yaml").write_text("data: {manifest: x.yaml}\nrecipe: {source: [{stage: reorient}]}\n")
        outcome = medgan("preprocess", tmp_path / "c.yaml", "--out", "s", "--pseudonym-key", "k.key")
        assert outcome.code == 2
        assert "--pseudonym-key belongs to an image" in outcome.err
        assert list(Path().iterdir()) == []
