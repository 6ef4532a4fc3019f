"""The inventory: numbering, names, choices, and image files judged by their headers."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from dicom_phantoms import coded, mr, series_of
from stored_phantoms import SHORTS, nifti_bytes
from test_real_files import READ, REFUSED

from medgan.errors import FormatError
from medgan.formats import find_image, open_image, read_image, take_inventory, write_volume
from medgan.phantoms.dicom_companions import SecondSeries
from medgan.phantoms.dicom_folder import write_archive, write_series
from medgan.phantoms.dicom_geometry_faults import MissingSlice, OnePosition
from medgan.phantoms.dicom_header_faults import AlteredElement
from medgan.volume import Quantity

MR = Quantity.MR_SIGNAL


def test_the_voxels_of_no_file_are_read_for_an_inventory(tmp_path, monkeypatch):
    write_series(series_of(), tmp_path)

    def forbidden(self):
        raise AssertionError("content was read")

    monkeypatch.setattr("medgan.formats.stored_file.DiskFile.content", forbidden)
    (item,) = take_inventory([tmp_path]).items
    assert item.verdict == "accepted"


def test_progress_ends_with_all_files(tmp_path):
    write_series(series_of(volume=coded(shape=(3, 3, 150))), tmp_path)
    steps = []
    take_inventory([tmp_path], progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (150, 150)
    assert steps == sorted(steps)
    assert len(steps) > 1


def test_two_thousand_headers_take_seconds(tmp_path):
    """A fifth of them a fifth of that, in time of the processor: a busy machine does not count."""
    for number in range(4):
        write_series(series_of(volume=coded(shape=(3, 3, 100)), seed=number), tmp_path / str(number))
    take_inventory([tmp_path / "0"])
    start = time.process_time()
    inventory = take_inventory([tmp_path])
    assert time.process_time() - start < 1.2
    assert [item.files for item in inventory.items] == [100] * 4


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_a_scale_that_is_no_number_is_not_taken_for_none(tmp_path, keyword):
    volume = replace(mr(), array=mr().array)
    series = series_of(AlteredElement("RescaleIntercept", "0"), AlteredElement("RescaleSlope", "2"), volume=volume)
    write_series(series, tmp_path / "good")
    np.testing.assert_array_equal(open_image(tmp_path / "good").volume.array.max(), 2 * mr().array.max())
    write_series(series_of(*series.faults, AlteredElement(keyword, "nan"), volume=volume), tmp_path / "bad")
    (item,) = take_inventory([tmp_path / "bad"]).items
    assert item.verdict == "refused"
    assert "must be numbers" in item.reasons[0]


def test_one_image_is_chosen_and_several_are_listed(tmp_path):
    write_series(series_of(SecondSeries(), volume=mr()), tmp_path)
    inventory = take_inventory([tmp_path])
    with pytest.raises(FormatError) as caught:
        inventory.one()
    first, second = inventory.items
    assert str(caught.value) == (
        "The input holds 2 usable images, and one is needed: choose it with --series N: "
        f"1 (MR, {'x'.join(map(str, first.shape))}), 2 (MR, {'x'.join(map(str, second.shape))})."
    )
    assert inventory.one(2) is second
    with pytest.raises(FormatError, match="has no series 3"):
        inventory.one(3)


def test_a_stack_says_in_the_choice_what_it_is(tmp_path):
    from medgan.phantoms.dicom_stacks import SeveralBValues

    write_series(series_of(SeveralBValues(), volume=mr()), tmp_path)
    with pytest.raises(FormatError, match=r"1 \(MR, 9x7x6, b-value 50 s/mm2\), 2 \(MR, 9x7x6, b-value 400 s/mm2\)"):
        take_inventory([tmp_path]).one()


def test_a_refused_neighbor_does_not_stand_in_the_way(tmp_path):
    write_series(series_of(), tmp_path / "good")
    write_series(series_of(MissingSlice(), seed=9), tmp_path / "gap")
    inventory = take_inventory([tmp_path])
    assert inventory.one().verdict == "accepted"
    assert inventory.one().read().notices == ("1 other image is refused beside it: medgan inspect says why.",)
    assert inventory.one(1).read().notices == ()
    with pytest.raises(FormatError, match="2 usable images"):
        inventory.one(allow_gap=True)


def test_without_a_usable_image_the_reason_is_given(tmp_path):
    write_series(series_of(OnePosition()), tmp_path / "one")
    with pytest.raises(FormatError, match=r"^ct_series01: A volume needs slices at two positions"):
        open_image(tmp_path / "one")
    write_series(series_of(OnePosition(), seed=9), tmp_path / "two")
    with pytest.raises(FormatError, match=r"holds 2 images, all of them refused\. ct_series01: A volume needs"):
        open_image(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match="The folder holds no image that medgan reads"):
        open_image(tmp_path / "empty")


def test_open_image_reads_files_folders_and_archives_alike(tmp_path):
    series = series_of(volume=mr())
    write_series(series, tmp_path / "in")
    archive = write_archive(series, tmp_path / "a.zip")
    file = write_volume(series.truth[0], tmp_path / "scan.nii.gz")
    for path, name in ((tmp_path / "in", "mr_series01"), (archive, "mr_series01"), (file, "scan")):
        read = open_image(path, quantity=MR)
        assert read.name == name
        assert read.volume.shape == series.truth[0].shape
    assert open_image(file, quantity=MR, series=1).name == "scan"
    with pytest.raises(FormatError, match="has no series 2"):
        open_image(file, quantity=MR, series=2)


def test_an_image_file_that_is_found_is_judged_when_it_is_read(tmp_path):
    (tmp_path / "x.nii").write_bytes(b"nothing")
    item = find_image(tmp_path / "x.nii")
    assert (item.name, item.label, item.kind) == ("x", "x.nii", "nifti")
    with pytest.raises(FormatError, match=r"^x\.nii"):
        item.read(quantity=MR)


def test_what_values_mean_must_be_known(tmp_path):
    file = write_volume(mr(), tmp_path / "scan.nii")
    with pytest.raises(FormatError, match=r"scan\.nii: what the values of this image mean is not known"):
        open_image(file)
    write_series(series_of(AlteredElement("Modality", "PT"), volume=mr()), tmp_path / "pet")
    (item,) = take_inventory([tmp_path / "pet"]).items
    assert (item.modality, item.verdict, item.name) == ("PT", "accepted", "pt_series01")
    with pytest.raises(FormatError, match="name the quantity"):
        item.read()


@pytest.mark.parametrize("name", READ)
def test_real_image_files_are_accepted_or_corrected_as_they_are_read(shared_data, name):
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"{path.name} is absent")
    (item,) = take_inventory([path]).items
    read = read_image(path, quantity=MR)
    assert item.verdict == ("corrected" if item.reasons else "accepted")
    assert item.reasons == read.notices[: len(item.reasons)]
    assert (item.shape, item.orientation) == (read.volume.shape, READ[name][1])
    np.testing.assert_array_equal(item.affine, read.volume.grid.affine)
    assert item.name == read.name


@pytest.mark.parametrize("name", REFUSED)
def test_real_image_files_are_refused_for_the_same_reason(shared_data, name):
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"{path.name} is absent")
    (item,) = take_inventory([path]).items
    assert item.verdict == "refused"
    assert REFUSED[name] in item.reasons[0]
    assert item.shape is None
    with pytest.raises(FormatError, match=rf"^{path.name}: "):
        item.read(quantity=MR)


def test_axes_of_a_refused_file_may_be_assumed(tmp_path):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(SHORTS, sform_code=0, qform_code=0))
    (item,) = take_inventory([tmp_path / "x.nii"]).items
    assert item.verdict == "refused"
    assert item.read(quantity=MR, assume_axes=True).volume.shape == SHORTS.shape


def test_truncated_voxels_are_seen_without_reading_them(tmp_path):
    (tmp_path / "x.nii").write_bytes(nifti_bytes(SHORTS)[:-5])
    (item,) = take_inventory([tmp_path]).items
    assert item.verdict == "refused"
    assert "truncated" in item.reasons[0]


def test_a_pair_is_one_image_and_equal_stems_are_told_apart(tmp_path):
    (tmp_path / "p.hdr").write_bytes(nifti_bytes(SHORTS, pair=True))
    (tmp_path / "p.img").write_bytes(SHORTS.tobytes(order="F"))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_volume(mr(), tmp_path / folder / "scan.nii")
    items = take_inventory([tmp_path]).items
    assert [(item.name, item.files) for item in items] == [("p", 2), ("scan_02", 1), ("scan_03", 1)]


def test_image_files_in_an_archive_are_read_and_nothing_is_left_behind(tmp_path, monkeypatch):
    import zipfile

    write_volume(mr(), tmp_path / "scan.nii.gz")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "scan.nii.gz", "inside/scan.nii.gz")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (item,) = take_inventory([tmp_path / "a.zip"]).items
    assert (item.name, item.verdict) == ("scan", "accepted")
    np.testing.assert_array_equal(item.read(quantity=MR).volume.array, mr().array)
    assert list(scratch.iterdir()) == []


def test_everything_is_plain_json(tmp_path):
    write_series(replace(series_of(OnePosition()), beside=()), tmp_path)
    (item,) = take_inventory([tmp_path]).items
    assert json.loads(json.dumps(item.as_dict()))["spacing"] is None


def test_a_file_marked_as_synthetic_is_known_as_such(tmp_path):
    for fault, expected in (
        (AlteredElement("SeriesDescription", "SYNTHETIC CT by medgan"), True),
        (AlteredElement("DerivationDescription", "photosynthetic"), False),
        (AlteredElement("SyntheticData", "YES"), True),
    ):
        folder = tmp_path / str(fault)[:60].replace("/", "")
        write_series(series_of(fault), folder)
        read = open_image(folder)
        assert (read.is_marked_synthetic, read.volume.provenance.is_synthetic) == (expected, expected)
