"""DICOM radiographs: one photometric interpretation is the negative of the other, and refusals say why."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from radiograph_phantoms import gradient, gray_table, write_dicom

from medgan.errors import FormatError
from medgan.formats.radiograph import read_radiograph
from medgan.volume import Quantity

FIRST = {"PhotometricInterpretation": "MONOCHROME1"}
WINDOW = {"WindowCenter": 1800, "WindowWidth": 2500}


def read(tmp_path: Path, stored=None, **tags):
    path = tmp_path / "im.dcm"
    path.unlink(missing_ok=True)
    return read_radiograph(write_dicom(path, gradient() if stored is None else stored, **tags))


@pytest.mark.parametrize(
    "tags", [{}, WINDOW, {"RescaleSlope": 2, "RescaleIntercept": -100}], ids=["bare", "window", "scale"]
)
@pytest.mark.parametrize("syntax", ["little", "implicit", "big"])
def test_the_same_stored_values_under_both_tags_are_negatives(tmp_path, tags, syntax):
    plain = read(tmp_path, syntax=syntax, **tags).radiograph.array
    other = read(tmp_path, syntax=syntax, **tags, **FIRST).radiograph.array
    assert np.array_equal(plain, -other)
    assert plain[0, 0] < plain[-1, -1]


@pytest.mark.parametrize("kind", ["u2", "i2"])
def test_inverted_stored_values_under_the_other_tag_are_one_radiograph(tmp_path, kind):
    stored = gradient() if kind == "u2" else (gradient(top=4095).astype("i4") - 2048).astype("i2")
    ends = 4095 if kind == "u2" else -1
    plain = read(tmp_path, stored).radiograph.array
    other = read(tmp_path, (ends - stored.astype("i4")).astype(kind), **FIRST).radiograph.array
    assert np.array_equal(plain, other)
    # With a window, mirrored as the values are.
    tags = {"WindowCenter": 700, "WindowWidth": 1500}
    mirrored = {"WindowCenter": ends + 1 - 700, "WindowWidth": 1500}
    plain = read(tmp_path, stored, **tags).radiograph.array
    other = read(tmp_path, (ends - stored.astype("i4")).astype(kind), **mirrored, **FIRST).radiograph.array
    np.testing.assert_allclose(plain, other, atol=1e-6)
    assert np.ptp(plain) > 1


def test_the_real_pair_holds_the_same_pixels_and_is_read_as_negatives(shared_data):
    folder = shared_data / "cxr" / "dicom"
    second = read_radiograph(next(folder.glob("1.2.276.*.dcm")))
    first = read_radiograph(folder / "Fake_MONOHR1.dcm")
    assert np.array_equal(second.radiograph.array, -first.radiograph.array)
    assert second.radiograph.array.shape == (1024, 1024)
    assert second.radiograph.spacing_mm == (0.168, 0.168)
    # Bone and heart are bright: the middle of the chest is brighter than the lungs beside it.
    array = second.radiograph.array
    assert array[300:600, 480:560].mean() > array[300:600, 250:400].mean()
    assert any("loss" in notice for notice in second.notices)


def test_the_real_windowed_one_is_inverted_about_the_window(shared_data):
    file = read_radiograph(shared_data / "cxr" / "dicom" / "gdcm-CR-MONO1-10-chest.dcm")
    assert [stage["stage"] for stage in file.stages] == ["stored", "window", "inversion"]
    assert file.stages[1]["center"] == 550
    assert file.stages[1]["function"] == "LINEAR"
    assert file.radiograph.array[200, 220] > file.radiograph.array[200, 120]
    assert file.radiograph.spacing_mm is None


def test_values_stages_and_provenance_are_recorded(tmp_path):
    file = read(tmp_path, RescaleSlope=2, RescaleIntercept=-10, **WINDOW, VOILUTFunction="SIGMOID", **FIRST)
    assert file.radiograph.quantity is Quantity.NORMALIZED
    assert [stage["stage"] for stage in file.stages] == ["stored", "rescale", "window", "inversion"]
    assert file.stages[2] == {
        "stage": "window", "center": 1800.0, "width": 2500.0, "function": "SIGMOID", "range": [0.0, 1.0],
    }  # fmt: skip
    steps = file.radiograph.provenance.steps
    assert [step.parameters["stage"] for step in steps] == ["stored", "rescale", "window", "inversion"]
    assert len(file.radiograph.provenance.sources) == 1


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_function_of_a_window_is_honored(tmp_path, function):
    stored = gradient()
    found = read(tmp_path, stored, WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function).radiograph.array
    x = stored.astype(float)
    expected = {
        "LINEAR": np.clip((x - 1999.5) / 999 + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((x - 2000) / 1000 + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (x - 2000) / 1000)),
    }[function]
    np.testing.assert_allclose(found, 2 * expected - 1, atol=1e-6)


@pytest.mark.parametrize("syntax", ["little", "implicit", "big"])
def test_tables_come_before_windows_and_scales(tmp_path, syntax):
    stored = gradient(top=255)
    modality = gray_table(np.arange(256) * 4, bits=10)
    interest = gray_table(np.arange(1024) // 8, bits=8)
    file = read(
        tmp_path, stored, syntax=syntax, ModalityLUTSequence=modality, VOILUTSequence=interest, RescaleSlope=9,
        RescaleIntercept=0, WindowCenter=1, WindowWidth=2,
    )  # fmt: skip
    assert [stage["stage"] for stage in file.stages] == ["stored", "modality table", "table of interest"]
    expected = (stored.astype(int) * 4 // 8) / 255 * 2 - 1
    np.testing.assert_allclose(file.radiograph.array, expected, atol=1e-6)
    assert any("1 more table(s) or window(s)" in notice for notice in file.notices)


def test_a_table_for_signed_values_starts_below_zero(tmp_path):
    stored = np.array([[-3, -1, 0, 2]], dtype="i2").repeat(4, 0)
    file = read(tmp_path, stored, VOILUTSequence=gray_table([0, 50, 100, 150, 200], first=-2, bits=8))
    np.testing.assert_allclose(file.radiograph.array[0], np.array([0, 50, 100, 200]) / 127.5 - 1, atol=1e-6)


def test_long_tables_before_the_pixels_are_read_to_their_end(tmp_path):
    table = gray_table(np.minimum(np.arange(65536), 4095), bits=12)
    file = read(tmp_path, VOILUTSequence=table)
    np.testing.assert_allclose(file.radiograph.array, gradient() / 4095 * 2 - 1, atol=1e-6)


@pytest.mark.parametrize(
    ("photometric", "shape", "is_inverted"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", None, False),
    ],
)
def test_an_inversion_is_applied_once_however_it_is_said(tmp_path, photometric, shape, is_inverted):
    file = read(tmp_path, PhotometricInterpretation=photometric, PresentationLUTShape=shape)
    stages = [stage["stage"] for stage in file.stages]
    assert stages.count("inversion") == int(is_inverted)
    assert (file.radiograph.array[0, 0] > file.radiograph.array[-1, -1]) == is_inverted
    contradicts = (photometric, shape) in {("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")}
    assert bool(file.notices) == contradicts


def test_the_first_of_several_windows_is_used_and_named(tmp_path):
    file = read(tmp_path, WindowCenter=[1000, 2000], WindowWidth=[500, 900])
    assert file.stages[-1]["center"] == 1000
    assert "The first of 2 windows was used: center 1000, width 500." in file.notices


@pytest.mark.parametrize(
    ("tags", "spacing", "source", "words"),
    [
        ({"PixelSpacing": [0.2, 0.3]}, (0.2, 0.3), "PixelSpacing", None),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "PixelSpacing", "at the detector"),
        ({"PixelSpacing": [0.19, 0.19], "ImagerPixelSpacing": [0.2, 0.2]}, (0.19, 0.19), "PixelSpacing", "calibrated"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, (0.2, 0.2), "ImagerPixelSpacing", "at the detector"),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            (0.16, 0.16), "ImagerPixelSpacing / magnification", "divided by the stated magnification of 1.25",
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, 0.1), "NominalScannedPixelSpacing", "scanned film"),
        ({"PixelSpacing": [0, 0]}, None, None, None),
        ({}, None, None, None),
    ],
)  # fmt: skip
def test_spacing_and_where_it_is_from(tmp_path, tags, spacing, source, words):
    file = read(tmp_path, **tags)
    assert file.radiograph.spacing_mm == (None if spacing is None else pytest.approx(spacing))
    assert file.spacing_source == source
    assert any(words in notice for notice in file.notices) if words else not file.notices


def test_padding_is_black_also_where_values_are_inverted(tmp_path):
    stored = gradient()
    stored[0] = 4000
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        file = read(tmp_path, stored, PhotometricInterpretation=photometric, PixelPaddingValue=4000)
        assert (file.radiograph.array[0] == -1).all()
        assert any("padding" in notice for notice in file.notices)


@pytest.mark.parametrize(
    ("tags", "words"), [({"ViewPosition": "LL"}, "frontal"), ({"PatientOrientation": ["R", "F"]}, "shown as stored")]
)
def test_views_that_are_not_frontal_are_said(tmp_path, tags, words):
    assert any(words in notice for notice in read(tmp_path, **tags).notices)
    assert not read(tmp_path, ViewPosition="PA", PatientOrientation=["L", "F"]).notices
    assert read(tmp_path, ViewPosition="PA").view == "PA"
    assert read(tmp_path, ViewPosition="DOE JANE").view is None


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "slice of a MR volume"),
        ({"Modality": "SEG", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "segmentation"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "holds colors"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"Rows": None}, "Rows and Columns"),
        ({"BitsStored": 17}, "contradict"),
        ({"Rows": 400}, "truncated"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "RescaleSlope must be a number other than 0"),
        ({"WindowCenter": 5, "WindowWidth": 0}, "width of at least 1"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "SPLINE"}, "SPLINE"),
    ],
)
def test_what_is_no_radiograph_is_refused_with_its_name(tmp_path, tags, words):
    with pytest.raises(FormatError, match=words) as refusal:
        read(tmp_path, **tags)
    assert "im.dcm" in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (gray_table([1, 2, 3], bits=4), "8 to 16 bits"),
        (gray_table([1, 2, 300], bits=8), "entries below 256"),
    ],
)
def test_tables_that_are_not_whole_are_refused(tmp_path, table, words):
    with pytest.raises(FormatError, match=words):
        read(tmp_path, VOILUTSequence=table)


def test_a_patients_name_in_the_file_name_is_not_repeated(tmp_path):
    path = write_dicom(tmp_path / "doe_jane.dcm", gradient(), PatientName="Doe^Jane", Rows=None)
    with pytest.raises(FormatError) as refusal:
        read_radiograph(path)
    assert "doe" not in str(refusal.value).lower()
    good = write_dicom(tmp_path / "doe_2.dcm", gradient(), PatientName="Doe^Jane")
    assert read_radiograph(good).name == "radiograph"


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing" * 100)
    with pytest.raises(FormatError, match="begins like none of them"):
        read_radiograph(tmp_path / "a.dcm")
    with pytest.raises(FormatError, match="is a folder"):
        read_radiograph(tmp_path)
    with pytest.raises(FormatError, match=r"b\.dcm"):
        read_radiograph(tmp_path / "b.dcm")


@pytest.mark.parametrize("seed", range(12))
def test_damaged_bytes_are_refused_or_read_but_never_crash(tmp_path, seed):
    random = np.random.default_rng(seed)
    path = write_dicom(tmp_path / "x.dcm", gradient(), **WINDOW, VOILUTSequence=gray_table(np.arange(4096), bits=12))
    data = bytearray(path.read_bytes())
    for _ in range(12):
        data[int(random.integers(132, 1500))] = int(random.integers(256))
    path.write_bytes(bytes(data))
    array = np.zeros(1)
    with suppress(FormatError):
        array = read_radiograph(path).radiograph.array
    assert -1 <= array.min() <= array.max() <= 1
