"""Real DICOM folders: verdict and reason were written down from the raw headers before the reader was run on them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from test_real_files import READ, REFUSED

from medgan.formats.inventory import take_inventory

NASTY = "dicom_nasty/dicom2nifti_tests_data"
PROSTATE = "prostate/ProstateX_dicom/ProstateX-0000/07-07-2011"


class Expected(NamedTuple):
    kind: str
    modality: str
    shape: tuple[int, ...] | None
    verdict: str
    reasons: tuple[str, ...] = ()


HEAD = Expected("dicom_series", "MR", (256, 256, 4), "accepted")
HITACHI = Expected("dicom_series", "MR", (64, 64, 4), "accepted")
MOSAIC = Expected("dicom_mosaic", "MR", (64, 64, 35), "accepted", ("mosaic of 35 slices",))


def diffusion(number: int, b_value: int) -> Expected:
    label = f"Stack {number} of 3 in its series: b-value {b_value} s/mm2."
    return Expected("dicom_stack", "MR", (84, 128, 19), "accepted", (label,))


# Folder: items in order, kinds of other objects.
VERDICTS: dict[str, tuple[list[Expected], list[str]]] = {
    # Three 384 x 384 pictures, CSA header: 35 tiles of 64 x 64 in each. Each is a volume of its own.
    "dicom_nasty/dcm_qa_12bit/In": ([MOSAIC] * 3, []),
    # Rows point down and back (-0.242), positions advance along z only: acos(0.9703) = 14 degrees. No tilt tag.
    f"{NASTY}/failing/gantrytilting/001": (
        [Expected("dicom_series", "CT", (512, 512, 4), "corrected", ("tilted by 14.0 degrees",))],
        [],
    ),
    # Acquisitions 12 to 15 at one place: a perfusion or a biopsy, no volume.
    f"{NASTY}/failing/notavolume/001": (
        [Expected("dicom_series", "CT", None, "refused", ("two positions", "001.dcm", "004.dcm"))],
        [],
    ),
    # Two slices 1 mm apart are a (thin) volume.
    f"{NASTY}/failing/slicecount/001": ([Expected("dicom_series", "MR", (256, 256, 2), "accepted")], []),
    # z = 18.1, 23.1, 28.1, 38.1; the acquisition number changes on the way and must not hide the gap.
    f"{NASTY}/failing/sliceincrement/001": (
        [
            Expected(
                "dicom_series",
                "CT",
                None,
                "refused",
                ("5 mm everywhere except 10 mm", "IM-0001-0009-0001.dcm", "IM-0001-0010-0001.dcm", "--allow-gap"),
            )
        ],
        [],
    ),
    # Tilted by acos(0.9636) = 15.5 degrees and without its fourth slice.
    f"{NASTY}/failing/sliceincrement/002": (
        [Expected("dicom_series", "CT", None, "refused", ("evenly spaced", "IM-0001-0003.dcm", "IM-0001-0005.dcm"))],
        [],
    ),
    # One series, two planes with two slices each and pixels of 0.32 and 0.56 mm: two volumes.
    f"{NASTY}/failing/sliceorientation/001": (
        [
            Expected("dicom_stack", "MR", (288, 288, 2), "accepted", ("Stack 1 of 2",)),
            Expected("dicom_stack", "MR", (288, 288, 2), "accepted", ("Stack 2 of 2",)),
        ],
        [],
    ),
    f"{NASTY}/generic/anatomical/001": ([HEAD], []),
    f"{NASTY}/generic/anatomical/001_implicit": ([HEAD], []),
    # 28 rows of 64 columns; pixels of 6.4 mm by 4 mm; each slice has a slope and an intercept of its own.
    f"{NASTY}/generic/anatomical/002_non_isotropic": (
        [Expected("dicom_series", "MR", (64, 28, 4), "accepted")],
        [],
    ),
    f"{NASTY}/generic/compressed/001": ([HEAD], []),
    f"{NASTY}/generic/compressed_j2k/001": ([HEAD], []),
    f"{NASTY}/generic/compressed_jpeg/001": ([HEAD], []),
    f"{NASTY}/generic/compressed_jpegls/001": ([HEAD], []),
    f"{NASTY}/generic/compressed_rle/001": ([HEAD], []),
    f"{NASTY}/generic/rgb/001": (
        [Expected("dicom_series", "MR", None, "refused", ("RGB", "IM-0001-0001-0001.dcm"))],
        [],
    ),
    # Per-frame groups only, no shared ones.
    f"{NASTY}/siemens_multiframe/anatomical/001": (
        [Expected("dicom_multiframe", "MR", (256, 256, 8), "accepted")],
        [],
    ),
    f"{NASTY}/hyperfine/anatomical/001": ([Expected("dicom_multiframe", "MR", (112, 138, 8), "accepted")], []),
    # NumberOfFrames is 1 in each of four files; signed 12 bit.
    f"{NASTY}/hitachi/anatomical/001": ([HITACHI], []),
    f"{NASTY}/hitachi/anatomical/001_implicit": ([HITACHI], []),
    # The name of the file holds a word of the patient's name (dwv^PatientName): messages number it instead. This row
    # named the file when it was written down, and taught that.
    "dicom_nasty/dwv": ([Expected("dicom_series", "MR", None, "refused", ("Rows", "file 0001"))], []),
    "dicom_nasty/picai_prep": (
        [
            Expected(
                "dicom_series",
                "MR",
                None,
                "refused",
                ("3 mm everywhere except 6 mm", "1-05.dcm", "1-07.dcm", "--allow-gap"),
            )
        ],
        [],
    ),
    # A pair of secondary captures of modality CR in one series, 8 bit, JPEG baseline (which is lossy), 0.168 mm; and a
    # CR of 10 bits, inverted, whose header states no distance: projections, no volumes.
    "cxr/dicom": (
        [
            Expected("radiograph", "CR", (1024, 1024), "accepted", ("compression is lossy",)),
            Expected("radiograph", "CR", (1024, 1024), "accepted", ("compression is lossy",)),
            Expected("radiograph", "CR", (440, 440), "accepted"),
        ],
        [],
    ),
    f"{PROSTATE}/4.000000-t2tsetra-00702": ([Expected("dicom_series", "MR", (384, 384, 19), "accepted")], []),
    f"{PROSTATE}/6.000000-ep2ddifftraDYNDIST-69284": ([diffusion(1, 50), diffusion(2, 400), diffusion(3, 800)], []),
    f"{PROSTATE}/7.000000-ep2ddifftraDYNDISTADC-48780": (
        [Expected("dicom_series", "MR", (84, 128, 19), "accepted")],
        [],
    ),
    f"{PROSTATE}/8.000000-ep2ddifftraDYNDISTCALCBVAL-83202": (
        [Expected("dicom_series", "MR", (84, 128, 19), "accepted")],
        [],
    ),
    f"{PROSTATE}/9.000000-tfl3d PD reftra1.5x1.5t3-67276": (
        [Expected("dicom_series", "MR", (128, 128, 16), "accepted")],
        [],
    ),
    # The whole study: series in the order of their numbers.
    "prostate/ProstateX_dicom": (
        [
            Expected("dicom_series", "MR", (384, 384, 19), "accepted"),
            diffusion(1, 50),
            diffusion(2, 400),
            diffusion(3, 800),
            Expected("dicom_series", "MR", (84, 128, 19), "accepted"),
            Expected("dicom_series", "MR", (84, 128, 19), "accepted"),
            Expected("dicom_series", "MR", (128, 128, 16), "accepted"),
        ],
        [],
    ),
    # JPEG 2000; neither SOP class nor series UID: the folder is the series.
    "mrct/abdomen_totalsegmentator/example_ct_dicom": (
        [Expected("dicom_series", "CT", (512, 512, 20), "accepted")],
        [],
    ),
    "mrct/sts_ibsi/dicom/STS_025/CT/image": ([Expected("dicom_series", "CT", (149, 138, 47), "accepted")], []),
    "mrct/sts_ibsi/dicom/STS_025/CT/mask": ([], ["structure_set"]),
    "mrct/sts_ibsi/dicom/STS_025/MR_T1/image": ([Expected("dicom_series", "MR", (75, 55, 25), "accepted")], []),
    "mrct/sts_ibsi/dicom/STS_025/MR_T1/mask": ([], ["structure_set"]),
}


@pytest.mark.parametrize("folder", VERDICTS)
def test_folder_gets_the_verdict_that_was_written_down_before(shared_data, folder):
    path = shared_data / folder
    if not path.is_dir():
        pytest.skip(f"{path.name} is absent")
    expected, other = VERDICTS[folder]
    inventory = take_inventory([path])
    found = [item for item in inventory.items if item.kind.startswith(("dicom", "radiograph"))]
    assert [(i.kind, i.modality, i.shape, i.verdict) for i in found] == [tuple(each)[:4] for each in expected]
    for item, each in zip(found, expected):
        for words in each.reasons:
            assert words in " ".join(item.reasons)
        if item.verdict == "accepted" and item.kind == "dicom_series":
            assert item.reasons == ()
    assert [each.kind for each in inventory.other] == other


ROOTS = ("dicom_nasty", "nifti_nasty", "cxr/dicom", "prostate/ProstateX_dicom", "mrct")
GROUND_TRUTH = "_ground_truth"
"""In the names of NIfTI files that are oracles for the DICOM beside them, not scans to be judged."""


def _is_dicom(path: Path) -> bool:
    """Looked for without the reader: the magic, or a data set that begins with group 8."""
    head = path.read_bytes()[:132]
    return head[128:] == b"DICM" or head[:2] == b"\x08\x00"


def test_every_folder_with_dicom_has_a_row(shared_data):
    missing = []
    for root in ROOTS:
        folders = {path.parent for path in (shared_data / root).rglob("*") if path.is_file() and _is_dicom(path)}
        for folder in folders:
            name = folder.relative_to(shared_data)
            # A row for a folder above is enough where that is how a study is given.
            if not any(str(each) in VERDICTS for each in (name, *name.parents)):
                missing.append(str(name))
    assert missing == []


def test_every_image_file_has_a_row(shared_data):
    files = [path for root in ROOTS for path in (shared_data / root).rglob("*") if _has_image_suffix(path.name)]
    missing = []
    for path in files:
        name = path.relative_to(shared_data).as_posix()
        is_like_others = name.startswith("mrct/sts_ibsi/nifti/") or GROUND_TRUTH in path.name
        if name not in READ and name not in REFUSED and not is_like_others:
            missing.append(name)
    assert missing == []
    assert len(files) > 100


def _has_image_suffix(name: str) -> bool:
    return name.endswith((".nii", ".nii.gz", ".nhdr", ".nrrd", ".mha", ".mhd", ".hdr", ".img"))


def test_all_limbs_are_accepted_without_a_word(shared_data):
    """All twenty were written by one converter: float32, LPS, both forms equal, millimeters."""
    files = sorted((shared_data / "mrct/sts_ibsi/nifti").rglob("*.nii.gz"))
    if not files:
        pytest.skip("the limbs are absent")
    items = take_inventory(files).items
    assert len(items) == len(files) == 80
    assert {(item.kind, item.verdict, item.orientation, item.reasons) for item in items} == {
        ("nifti", "accepted", "LPS", ())
    }
    for ct, ct_mask, mr, mr_mask in zip(*[iter(items)] * 4, strict=True):
        assert ct.grid.same_as(ct_mask.grid, tolerance_voxel=1e-4)
        assert mr.grid.same_as(mr_mask.grid, tolerance_voxel=1e-4)
