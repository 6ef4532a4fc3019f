"""What lies beside a series, its names and archives, and the markers of identity are as planned."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from dicom_phantoms import (
    assert_values,
    read,
    series_of,
)

from medgan.errors import OutputError
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondaryCapture, SecondSeries
from medgan.phantoms.dicom_file import RawFile
from medgan.phantoms.dicom_folder import ESCAPING_NAMES, write_archive, write_series
from medgan.phantoms.dicom_header_faults import (
    OtherNames,
)
from medgan.phantoms.dicom_identity import AGE, DATE, MARKER, NUMBER, UID_ROOT, IdentityMarkers, markers_in


def test_companions_are_other_series_of_the_study():
    kinds = ("report", "structures", "document", "presentation")
    series = series_of(Localizer(), SecondaryCapture(), SecondSeries(), *(OtherObject(kind) for kind in kinds))
    beside = [read(file) for file in series.beside]
    assert {d.StudyInstanceUID for d in beside} == {series.header.study_uid}
    assert series.header.series_uid not in {d.SeriesInstanceUID for d in beside}
    assert [d.Modality for d in beside[:4]] == ["CT", "CT", "CT", "OT"]
    assert [d.ImageType[2] for d in beside[:3]] == ["LOCALIZER"] * 3
    assert len({tuple(d.ImageOrientationPatient) for d in beside[:3]}) == 3
    assert [d.Modality for d in beside[-4:]] == ["SR", "RTSTRUCT", "DOC", "PR"]
    assert np.array_equal(series.truth[1].array, series.truth[0].array + 500)


def test_junk_is_no_dicom():
    junk = series_of(JunkFiles()).beside
    assert len(junk) > 10
    for file in junk:
        assert isinstance(file, RawFile)
        assert file.data[128:132] != b"DICM"


def test_names_folders_and_archives(tmp_path):
    series = series_of(OtherNames(), JunkFiles())
    paths = write_series(series, tmp_path / "a")
    assert paths[0].relative_to(tmp_path / "a").as_posix() == "DICOM/ST000001/SE000001/IM000000"
    assert len(list((tmp_path / "a").rglob("*.*"))) > 3
    for name in ("../out.dcm", "/out.dcm"):
        with pytest.raises(OutputError, match="stays in its folder"):
            write_series(replace(series, beside=(RawFile(name, b""),)), tmp_path / "b")
    with pytest.raises(OutputError, match="same name"):
        write_series(replace(series, beside=(RawFile("x", b""), RawFile("X", b""))), tmp_path / "c")
    with zipfile.ZipFile(write_archive(series, tmp_path / "s.zip", escaping=True, links=True)) as archive:
        names = [info.orig_filename for info in archive.infolist()]
        assert set(ESCAPING_NAMES) <= set(names)
        assert (archive.getinfo("series/link.dcm").external_attr >> 28) == 0xA
        assert archive.read("series/DICOM/ST000001/SE000001/IM000000") == series.slices[0].as_bytes


def test_every_text_carries_a_marker_and_the_image_stays(tmp_path):
    series = series_of(SecondaryCapture(), OtherObject(), JunkFiles(), IdentityMarkers(is_named=True))
    assert_values(series)
    for d in [read(f) for f in series.files if not isinstance(f, RawFile)]:
        assert {"PatientName", "PatientBirthDate", "AccessionNumber", "InstitutionName", "StationName"} <= set(d.dir())
        untouched = []
        for element in d.iterall():
            text = element.value if isinstance(element.value, bytes) else str(element.value).encode()
            if (
                element.VR in ("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")
                and MARKER.encode() not in text
            ):
                untouched.append(element.keyword or element.name)
            if element.VR == "UI" and "Class" not in element.keyword and element.value:
                assert element.value.startswith(UID_ROOT)
            if element.VR == "DA":
                assert set(np.atleast_1d(element.value)) == {DATE}
        functional = {"SpecificCharacterSet", "Modality", "PhotometricInterpretation", "RescaleType", "Private Creator"}
        assert set(untouched) <= functional
        assert d.SeriesInstanceUID != d.StudyInstanceUID
    assert len({read(f).SeriesInstanceUID for f in series.slices}) == 1
    path = write_series(series, tmp_path)[0]
    assert markers_in(str(path.relative_to(tmp_path)))
    found = markers_in(path.read_bytes())
    assert {"QXZJ00100010", "QXZJ000941", UID_ROOT, DATE, AGE, NUMBER} <= set(found)
    assert markers_in("nothing of a person 12.5") == ()
    assert markers_in("Jane qxzj".encode("utf-16-le").upper()) == ("QXZJ in UTF-16",)


def test_unmarked_series_hold_no_marker():
    for file in series_of(Localizer(), OtherObject()).files:
        assert markers_in(file.as_bytes) == ()
