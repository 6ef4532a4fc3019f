from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from commands_support import ball_volume

from medgan.commands.translate import OutputPaths
from medgan.formats import read_image, read_volume, write_volume
from medgan.geometry import Grid
from medgan.volume import Quantity, Volume

THREE = ("scan_sct.nii.gz", "scan_sct.json", "scan_sct.png")


def test_writes_volume_sidecar_and_picture_into_the_working_directory(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle)
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == list(THREE)
    assert all(Path(name).is_file() for name in THREE)
    source = read_volume(mr_file, quantity=Quantity.MR_SIGNAL)
    result = read_image(THREE[0], quantity=Quantity.HOUNSFIELD)
    assert result.volume.grid.same_as(source.grid, tolerance_voxel=1e-4)
    assert result.is_marked_synthetic
    header = nib.load(THREE[0]).header
    assert header.get_data_dtype() == np.int16
    assert b"SYNTHETIC" in header["descrip"].tobytes()
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert Path(THREE[2]).read_bytes().startswith(b"\x89PNG")


def test_outside_of_the_body_is_air(medgan, mr_file, tiny_bundle):
    assert medgan("translate", mr_file, "--model", tiny_bundle).code == 0
    result = read_volume(THREE[0], quantity=Quantity.HOUNSFIELD).array
    assert result[0, 0, 0] == -1024
    assert result[12, 13, 11] > -1024


def test_sidecar_says_what_was_done_and_no_path(medgan, mr_file, tiny_bundle):
    medgan("translate", mr_file, "--model", tiny_bundle)
    text = Path(THREE[1]).read_text()
    facts = json.loads(text)
    assert facts["synthetic"] is True
    assert facts["model"]["name"] == "tiny-mr-to-ct"
    assert facts["model"]["trained_anatomy"] == "nothing"
    assert facts["grid"]["shape"] == [24, 26, 22]
    assert set(facts["domain_check"]) == {"status", "reasons", "features"}
    assert facts["provenance"]["is_synthetic"]
    assert len(facts["source"]["sha256"][0]) == 64
    assert facts["precision"]["precision"] in ("float32", "bfloat16")
    assert str(mr_file.parent) not in text
    assert mr_file.name not in text


def test_the_same_file_gives_the_same_bits(medgan, mr_file, tiny_bundle):
    for folder in ("one", "two"):
        code = medgan("translate", mr_file, "--model", tiny_bundle, "--out", folder, "--precision", "float32").code
        assert code == 0
    one, two = (read_volume(Path(f) / THREE[0], quantity=Quantity.HOUNSFIELD).array for f in ("one", "two"))
    assert np.array_equal(one, two)


def test_json_is_one_object_on_stdout(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--json")
    assert outcome.json["outputs"]["volume"] == THREE[0]
    assert "translating" in outcome.err


def test_quiet_leaves_stderr_empty(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--quiet")
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("existing", THREE)
def test_an_existing_output_is_refused_before_computing(medgan, mr_file, tiny_bundle, existing):
    Path(existing).write_text("mine")
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--json")
    assert outcome.code == 2
    assert existing in outcome.json["error"]["message"]
    assert "--overwrite" in outcome.err
    assert "translating" not in outcome.err
    assert Path(existing).read_text() == "mine"
    assert sorted(p.name for p in Path().iterdir()) == [existing]
    assert medgan("translate", mr_file, "--model", tiny_bundle, "--overwrite").code == 0


def test_out_with_a_suffix_is_a_file_and_without_one_a_folder(medgan, mr_file, tiny_bundle):
    assert medgan("translate", mr_file, "--model", tiny_bundle, "--out", "here/ct.mha").code == 0
    assert sorted(p.name for p in Path("here").iterdir()) == ["ct.json", "ct.mha", "ct.png"]
    assert medgan("translate", mr_file, "--model", tiny_bundle, "--out", "there").code == 0
    assert sorted(p.name for p in Path("there").iterdir()) == sorted(THREE)


def test_out_with_an_unknown_suffix_is_refused(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--out", "ct.xyz")
    assert outcome.code == 2
    assert ".nii.gz" in outcome.err
    assert list(Path().iterdir()) == []


def test_output_paths_of_a_double_suffix():
    paths = OutputPaths.beside(Path("a/v.nii.gz"), out=Path("b/ct.nii.gz"), suffix="ct")
    assert [str(p) for p in (paths.volume, paths.sidecar, paths.picture)] == ["b/ct.nii.gz", "b/ct.json", "b/ct.png"]


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd"])
def test_reads_the_other_formats(medgan, tmp_path, tiny_bundle, suffix):
    grid = Grid.axis_aligned((20, 20, 20), spacing=(3, 3, 3))
    file = write_volume(ball_volume(grid, radius_mm=25), tmp_path / f"scan{suffix}")
    assert medgan("translate", file, "--model", tiny_bundle).code == 0


def test_values_typical_of_ct_are_refused_unless_declared(medgan, tmp_path, tiny_bundle):
    grid = Grid.axis_aligned((20, 20, 20), spacing=(3, 3, 3))
    ball = ball_volume(grid, radius_mm=25)
    ct = Volume(ball.array - 1000, grid, Quantity.HOUNSFIELD)
    file = write_volume(ct, tmp_path / "ct.nii.gz")
    outcome = medgan("translate", file, "--model", tiny_bundle)
    assert outcome.code == 2
    assert "--modality mr" in outcome.err
    assert list(Path().iterdir()) == []
    assert medgan("translate", file, "--model", tiny_bundle, "--modality", "ct").code == 2
    # Declared to be MR it is taken as such: all of it negative is no signal, and that is refused in its own words.
    assert "signal" in medgan("translate", file, "--model", tiny_bundle, "--modality", "mr").err


def test_the_modality_is_taken_as_the_models_with_a_notice(medgan, mr_file, tiny_bundle):
    assert "taken as MR" in medgan("translate", mr_file, "--model", tiny_bundle).err
    again = medgan("translate", mr_file, "--model", tiny_bundle, "--modality", "mr", "--overwrite")
    assert "taken as MR" not in again.err


def test_a_foreign_image_is_called_outside_of_the_domain(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--json")
    assert outcome.json["domain_check"]["status"] == "outside"
    assert "outside the domain" in outcome.err


def test_without_a_model_the_embedded_ones_are_listed(medgan, mr_file):
    outcome = medgan("translate", mr_file, "--json")
    assert outcome.code == 2
    assert "--model" in outcome.json["error"]["message"]


def test_an_unknown_model_is_refused_by_name(medgan, mr_file):
    outcome = medgan("translate", mr_file, "--model", "mr-to-ctt")
    assert outcome.code == 2
    assert "'mr-to-ctt'" in outcome.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [("--device", "tpu", "auto, cpu, cuda"), ("--precision", "int8", "float32"), ("--modality", "pet", "mr or ct")],
)
def test_unknown_choices_are_refused(medgan, mr_file, tiny_bundle, option, value, words):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, option, value)
    assert outcome.code == 2
    assert words in outcome.err


def test_a_missing_file_is_one_sentence(medgan, tmp_path, tiny_bundle):
    outcome = medgan("translate", tmp_path / "absent.nii.gz", "--model", tiny_bundle)
    assert outcome.code == 2
    assert "absent.nii.gz" in outcome.err
    assert str(tmp_path) not in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_damaged_bundle_is_refused_by_name(medgan, mr_file, tiny_bundle, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    weights = bytearray((broken / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (broken / "weights.safetensors").write_bytes(weights)
    outcome = medgan("translate", mr_file, "--model", broken)
    assert outcome.code == 2
    assert "SHA-256" in outcome.err


def test_an_oblique_sheared_source_gets_its_result_back_with_an_sform_only(medgan, tmp_path, tiny_bundle):
    affine = np.array([[3, 0.4, 0, -20], [-0.3, 3, 0.9, 7], [0, 0.2, 3.2, 4], [0, 0, 0, 1.0]])
    grid = Grid((20, 22, 18), affine)
    file = write_volume(ball_volume(grid, radius_mm=24), tmp_path / "tilted.nii.gz")
    assert medgan("translate", file, "--model", tiny_bundle).code == 0
    result = nib.load("tilted_sct.nii.gz")
    assert (int(result.header["sform_code"]), int(result.header["qform_code"])) == (1, 0)
    assert np.allclose(result.affine, affine, atol=1e-4)
