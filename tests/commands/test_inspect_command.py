from __future__ import annotations

import json

import numpy as np
import pytest
from commands_support import ball_volume
from dicom_phantoms import coded, mr, series_of

from medgan.formats import write_volume
from medgan.geometry import Grid
from medgan.phantoms.dicom_companions import JunkFiles, Localizer, OtherObject, SecondSeries
from medgan.phantoms.dicom_folder import write_archive, write_file_set, write_series
from medgan.phantoms.dicom_geometry_faults import GantryTilt, MissingSlice, OnePosition

KEYS = {
    "index",
    "name",
    "kind",
    "modality",
    "shape",
    "spacing",
    "spacing_unit",
    "orientation",
    "affine",
    "verdict",
    "reasons",
    "files",
    "subject_id",
    "case_id",
}


def test_one_good_series_exits_0_and_says_everything(medgan, tmp_path):
    series = series_of(Localizer(), OtherObject(), JunkFiles())
    write_series(series, tmp_path / "in")
    outcome = medgan("inspect", tmp_path / "in", "--json")
    assert outcome.code == 0
    (item,) = outcome.json["items"]
    assert set(item) == KEYS
    assert (item["index"], item["name"], item["modality"], item["verdict"]) == (1, "ct_series01", "CT", "accepted")
    assert item["shape"] == list(series.truth[0].shape)
    np.testing.assert_allclose(item["spacing"], series.truth[0].grid.spacing, atol=1e-6)
    assert item["spacing_unit"] == "mm"
    assert item["orientation"] == "LPS"
    assert np.shape(item["affine"]) == (4, 4)
    assert (item["reasons"], item["files"]) == ([], len(series.slices))
    assert {each["kind"] for each in outcome.json["other"]} == {"localizer", "report"}
    assert (outcome.json["usable"], outcome.json["refused"]) == (1, 0)


def test_some_refused_exits_3_with_every_key_there(medgan, tmp_path):
    write_series(series_of(), tmp_path / "good")
    write_series(series_of(MissingSlice(), seed=8), tmp_path / "bad")
    outcome = medgan("inspect", tmp_path, "--json")
    assert outcome.code == 3
    refused = next(item for item in outcome.json["items"] if item["verdict"] == "refused")
    assert set(refused) == KEYS
    assert refused["affine"] is None
    assert refused["shape"] is None
    assert "--allow-gap" in refused["reasons"][0]


def test_nothing_usable_exits_2(medgan, tmp_path):
    write_series(series_of(OnePosition()), tmp_path / "one")
    outcome = medgan("inspect", tmp_path / "one", "--json")
    assert (outcome.code, len(outcome.json["items"])) == (2, 1)
    (tmp_path / "empty").mkdir()
    outcome = medgan("inspect", tmp_path / "empty")
    assert (outcome.code, outcome.out) == (2, "No image was found.\n")


def test_lines_for_people(medgan, tmp_path):
    write_series(series_of(Localizer(), GantryTilt()), tmp_path / "in")
    outcome = medgan("inspect", tmp_path / "in")
    first, reason, other = outcome.out.splitlines()
    assert first.split()[:4] == ["1", "ct_series01", "corrected", "dicom_series"]
    assert "tilted by 15.0 degrees" in reason
    assert other == "other: localizer (CT), 3 files"
    assert "reading headers" in outcome.err
    assert medgan("inspect", tmp_path / "in", "--quiet").err == ""


def test_several_paths_of_every_kind_are_numbered_through(medgan, tmp_path):
    archive = write_archive(series_of(seed=1), tmp_path / "a.zip")
    directory = write_file_set(series_of(seed=2), tmp_path / "set")
    grid = Grid.axis_aligned((8, 8, 8), spacing=(2, 2, 2))
    nifti = write_volume(ball_volume(grid, radius_mm=6), tmp_path / "scan.nii.gz")
    items = medgan("inspect", archive, directory, nifti, "--json").json["items"]
    assert [item["index"] for item in items] == [1, 2, 3]
    assert [item["name"] for item in items] == ["ct_series01", "ct_series02", "scan"]
    assert items[2]["modality"] is None


def test_a_missing_path_is_one_sentence_without_its_folder(medgan, tmp_path):
    outcome = medgan("inspect", tmp_path / "absent", "--json")
    assert outcome.code == 2
    assert outcome.json["error"]["message"] == "absent does not exist: check the name and the folder."
    assert str(tmp_path) not in outcome.err


def test_a_damaged_archive_is_refused_and_one_sentence_for_a_verb(medgan, tmp_path, tiny_bundle):
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    outcome = medgan("inspect", tmp_path / "a.zip", "--json")
    assert outcome.code == 2
    assert outcome.json["items"][0]["reasons"] == ["a.zip is a damaged zip archive: copy it again."]
    outcome = medgan("translate", tmp_path / "a.zip", "--model", tiny_bundle, "--quiet")
    assert (outcome.code, outcome.err) == (2, "medgan: a.zip is a damaged zip archive: copy it again.\n")


def body_series(tmp_path, *faults, seed: int = 3):
    grid = Grid((24, 26, 22), np.diag([-3.0, -3.0, 3.0, 1.0]))
    series = series_of(*faults, volume=ball_volume(grid, radius_mm=28), seed=seed)
    write_series(series, tmp_path / "study")
    return series, tmp_path / "study"


def test_translate_takes_a_folder_and_names_outputs_by_modality_and_index(medgan, tmp_path, tiny_bundle):
    series, folder = body_series(tmp_path)
    outcome = medgan("translate", folder, "--model", tiny_bundle)
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == [f"mr_series01_sct.{suffix}" for suffix in ("nii.gz", "json", "png")]
    assert "taken as MR" not in outcome.err
    facts = json.loads((tmp_path / "work" / "mr_series01_sct.json").read_text())
    assert facts["grid"]["shape"] == [24, 26, 22]
    assert len(facts["source"]["sha256"]) == 22
    np.testing.assert_allclose(facts["grid"]["affine_ras"], series.truth[0].grid.affine, atol=1e-6)


def test_translate_lists_several_series_and_takes_the_one_that_is_named(medgan, tmp_path, tiny_bundle):
    _, folder = body_series(tmp_path, SecondSeries())
    outcome = medgan("translate", folder, "--model", tiny_bundle, "--json")
    assert outcome.code == 2
    assert "--series N: 1 (MR, " in outcome.json["error"]["message"]
    assert ", 2 (MR, " in outcome.json["error"]["message"]
    assert medgan("translate", folder, "--model", tiny_bundle, "--series", 3).code == 2
    for number in (1, 2):
        outcome = medgan("translate", folder, "--model", tiny_bundle, "--series", number)
        assert outcome.code == 0, outcome.err
        assert f"mr_series0{number}_sct.nii.gz" in outcome.out


def test_translate_interpolates_a_missing_slice_when_that_is_allowed(medgan, tmp_path, tiny_bundle):
    _, folder = body_series(tmp_path, MissingSlice())
    outcome = medgan("translate", folder, "--model", tiny_bundle)
    assert outcome.code == 2
    assert "--allow-gap" in outcome.err
    outcome = medgan("translate", folder, "--model", tiny_bundle, "--allow-gap")
    assert outcome.code == 0, outcome.err
    assert "interpolated" in outcome.err
    assert "interpolate_missing_slice" in (tmp_path / "work" / "mr_series01_sct.json").read_text()


def test_translate_refuses_dicom_of_another_modality(medgan, tmp_path, tiny_bundle):
    write_series(series_of(), tmp_path / "ct")
    outcome = medgan("translate", tmp_path / "ct", "--model", tiny_bundle)
    assert outcome.code == 2
    assert "it holds CT" in outcome.err


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_tilted_series_gets_its_result_on_its_sheared_grid_or_at_right_angles(
    medgan, tmp_path, tiny_bundle, orthogonal
):
    import nibabel as nib

    series, folder = body_series(tmp_path, GantryTilt(20.0))
    option = ["--orthogonal"] if orthogonal else []
    outcome = medgan("translate", folder, "--model", tiny_bundle, *option)
    assert outcome.code == 0, outcome.err
    assert "tilted by 20.0 degrees" in outcome.err
    image = nib.load(tmp_path / "work" / "mr_series01_sct.nii.gz")
    assert int(image.header["sform_code"]) == 1
    assert int(image.header["qform_code"]) == int(orthogonal)
    columns = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    assert np.allclose(columns.T @ columns, np.eye(3), atol=1e-5) is orthogonal
    if not orthogonal:
        np.testing.assert_allclose(image.affine, series.truth[0].grid.affine, atol=1e-4)


def test_a_sheared_result_in_a_format_that_drops_shear_is_refused_before_computing(medgan, tmp_path, tiny_bundle):
    _, folder = body_series(tmp_path, GantryTilt(20.0))
    outcome = medgan("translate", folder, "--model", tiny_bundle, "--out", "ct.mha")
    assert outcome.code == 2
    assert "right angles" in outcome.err
    assert "translating" not in outcome.err
    assert list((tmp_path / "work").iterdir()) == []
    assert medgan("translate", folder, "--model", tiny_bundle, "--out", "ct.mha", "--orthogonal").code == 0


def hu_series(tmp_path, name, *faults, offset_hu: float = 0.0, seed: int = 4):
    from test_evaluate_command import ct_of

    grid = Grid((24, 24, 24), np.diag([-3.0, -3.0, 3.0, 1.0]))
    write_series(series_of(*faults, volume=ct_of(grid, offset_hu=offset_hu), seed=seed), tmp_path / name)
    return tmp_path / name


def test_evaluate_takes_dicom_for_either_image(medgan, tmp_path):
    one = hu_series(tmp_path, "one", offset_hu=15.0)
    two = hu_series(tmp_path, "two", SecondSeries(), seed=5)
    facts = medgan("evaluate", one, two, "--reference-series", 1, "--json").json
    assert facts["measures"]["mae"]["value"] == pytest.approx(15, abs=1e-3)
    assert (facts["result"], facts["reference"]) == ("ct_series01", "ct_series01")
    assert medgan("evaluate", one, two).code == 2


def test_evaluate_compares_tilted_images_at_right_angles_when_asked(medgan, tmp_path):
    one = hu_series(tmp_path, "one", GantryTilt(12.0), offset_hu=15.0)
    two = hu_series(tmp_path, "two", GantryTilt(12.0))
    facts = medgan("evaluate", one, two, "--json").json
    assert facts["measures"]["mae"]["value"] == pytest.approx(15, abs=1e-3)
    assert not facts["reference_resampled"]
    facts = medgan("evaluate", one, two, "--orthogonal", "--json").json
    assert facts["reference_resampled"]
    assert facts["measures"]["mae"]["value"] == pytest.approx(15, abs=1.0)


def test_evaluate_refuses_what_says_that_it_is_no_ct(medgan, tmp_path):
    write_series(series_of(volume=mr()), tmp_path / "mr")
    write_series(series_of(volume=coded()), tmp_path / "ct")
    outcome = medgan("evaluate", tmp_path / "mr", tmp_path / "ct")
    assert outcome.code == 2
    assert "mr_series01 says that it holds MR" in outcome.err
