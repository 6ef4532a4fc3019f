"""File names in messages: those that repeat an identity become numbers."""

from __future__ import annotations

import pytest
from dicom_phantoms import series_of

from medgan.formats import take_inventory
from medgan.formats.dicom_file import safe_label
from medgan.phantoms.dicom_folder import write_series
from medgan.phantoms.dicom_identity import IdentityMarkers


@pytest.mark.parametrize(
    ("name", "is_told"),
    [
        ("IM_0041.dcm", False),
        ("doe_0041.dcm", True),
        ("DoeJane0041", True),
        ("janet.dcm", True),
        ("ng-3.dcm", True),
        ("long-3.dcm", False),
        ("1234567.dcm", True),
        ("12-34-567.dcm", True),
        ("x1234567y", True),
        ("67.dcm", False),
        ("IM-0001-0010-0001.dcm", False),
        ("doejan.dcm", False),
        ("meyerhof_1.dcm", True),
    ],
)
def test_a_file_name_that_repeats_an_identity_becomes_a_number(name, is_told):
    identity = {"doe", "jane", "ng", "1234567", "vonmeyerhofer", "1001"}
    assert safe_label(name, 7, identity) == ("file 0007" if is_told else name)


def test_a_file_that_cannot_be_read_is_told_by_number_where_its_neighbors_know_the_name(tmp_path):
    series = series_of(IdentityMarkers(is_named=True))
    paths = write_series(series, tmp_path)
    paths[0].write_bytes(bytes(128) + b"DICM" + b"\xff" * 200)
    inventory = take_inventory([tmp_path])
    (bad,) = [item for item in inventory.items if item.kind == "dicom_file"]
    assert bad.reasons[0].startswith("file 0001: ")
    assert bad.verdict == "refused"


def test_a_file_that_cannot_be_read_alone_keeps_its_name(tmp_path):
    (tmp_path / "x.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 200)
    (bad,) = take_inventory([tmp_path / "x.dcm"]).items
    assert bad.reasons[0].startswith("x.dcm: The header is damaged")
