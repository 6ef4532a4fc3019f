"""Pseudonyms: the same with a kept key, others with another, and none of the key or the identity anywhere."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat

import pytest
from dicom_phantoms import series_of

from medgan.errors import FormatError, OutputError
from medgan.formats import take_inventory, write_volume
from medgan.formats.pseudonym import PatientIdentity, PseudonymKey, kept_key, may_be_read_by_others
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_header_faults import AlteredElement, WithoutElements

ANNA = PatientIdentity("A-4711", "1.2.840.1")


def test_a_pseudonym_is_the_keyed_hash_that_is_documented():
    key = PseudonymKey(bytes(range(32)), "file")
    expected = hmac.new(bytes(range(32)), b"sub:A-4711", hashlib.sha256).hexdigest()[:16]
    assert key.subject_of(ANNA) == f"sub-{expected}"
    expected = hmac.new(bytes(range(32)), b"case:1.2.840.1", hashlib.sha256).hexdigest()[:16]
    assert key.case_of(ANNA) == f"case-{expected}"


def test_patients_studies_and_keys_are_told_apart():
    one, two = PseudonymKey.of_this_run(), PseudonymKey.of_this_run()
    assert one != two
    assert one.subject_of(ANNA) != two.subject_of(ANNA)
    assert one.subject_of(ANNA) == one.subject_of(PatientIdentity("A-4711", "1.2.3"))
    assert one.subject_of(ANNA) != one.subject_of(PatientIdentity("A-4712", "1.2.840.1"))
    assert one.case_of(ANNA) != one.case_of(PatientIdentity("A-4711", "1.2.3"))
    # A number that is patient and study at once gives two unrelated pseudonyms.
    both = PatientIdentity("7", "7")
    assert str(one.subject_of(both)).split("-")[1] != str(one.case_of(both)).split("-")[1]


def test_who_is_not_named_has_no_pseudonym():
    key = PseudonymKey.of_this_run()
    assert key.subject_of(PatientIdentity("", "1")) is None
    assert key.case_of(PatientIdentity("1", "")) is None


def test_pseudonyms_are_identifiers_of_a_manifest():
    from medgan.cohort.manifest import _IDENTIFIER

    assert re.fullmatch(_IDENTIFIER, str(PseudonymKey.of_this_run().subject_of(ANNA)))


def test_secrets_do_not_show():
    key = PseudonymKey(b"\xab" * 32, "file")
    for text in (repr(key), str(key), repr(ANNA), str(ANNA)):
        assert not re.search("abab|4711|840|xab", text)


def test_a_key_is_made_once_for_its_owner_only_and_kept(tmp_path):
    old = os.umask(0)
    try:
        made = kept_key(tmp_path / "study.key")
    finally:
        os.umask(old)
    assert made.origin == "new file"
    assert stat.S_IMODE((tmp_path / "study.key").stat().st_mode) == 0o600
    assert not may_be_read_by_others(tmp_path / "study.key")
    assert os.listdir(tmp_path) == ["study.key"]
    kept = kept_key(tmp_path / "study.key")
    assert (kept, kept.origin) == (made, "file")
    (tmp_path / "study.key").chmod(0o640)
    assert may_be_read_by_others(tmp_path / "study.key")


@pytest.mark.parametrize("text", ["", "secret", "medgan pseudonym key 1 abc\n", f"medgan pseudonym key 2 {'a' * 64}\n"])
def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"^notes\.txt is no pseudonym key") as caught:
        kept_key(path)
    assert path.read_text() == text
    assert str(tmp_path) not in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_key_that_cannot_be_written_or_read_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match=r"^study\.key cannot be written: its folder does not exist"):
        kept_key(tmp_path / "absent" / "study.key")
    with pytest.raises(FormatError, match="is a folder"):
        kept_key(tmp_path)


def test_the_files_of_a_study_share_their_pseudonyms(tmp_path):
    write_series(series_of(seed=1), tmp_path / "a")
    write_series(series_of(AlteredElement("PatientID", "other"), seed=2), tmp_path / "b")
    write_series(series_of(WithoutElements(("PatientID",)), seed=3), tmp_path / "c")
    truth = series_of().truth[0]
    write_volume(truth, tmp_path / "x.nii.gz")
    key = PseudonymKey(b"k" * 32, "file")
    ids = [item.pseudonyms(key) for item in take_inventory([tmp_path]).items]
    assert len({each["subject_id"] for each in ids}) == 3
    assert len([each for each in ids if each["subject_id"] is None]) == 2
    assert ids[-1] == {"subject_id": None, "case_id": None}
    assert ids == [item.pseudonyms(key) for item in take_inventory([tmp_path]).items]


def test_slices_of_two_patients_are_no_volume(tmp_path):
    write_series(series_of(AlteredElement("PatientID", "somebody else", only_one=True)), tmp_path / "two")
    (item,) = take_inventory([tmp_path / "two"]).items
    assert item.verdict == "refused"
    assert re.fullmatch(
        r"Slices of one volume need one patient: PatientID is another in IM_\d+\.dcm\.", item.reasons[0]
    )
    # A slice that does not say contradicts nothing.
    write_series(series_of(WithoutElements(("PatientID",), only_one=True)), tmp_path / "one")
    (item,) = take_inventory([tmp_path / "one"]).items
    assert item.verdict == "accepted"
