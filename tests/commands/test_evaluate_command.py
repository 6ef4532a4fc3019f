from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands_support import ball_volume

from medgan.formats import write_labels, write_volume
from medgan.geometry import Box, Grid
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((24, 24, 24), spacing=(3, 3, 3))


def ct_of(grid: Grid = GRID, *, offset_hu: float = 0.0) -> Volume:
    ball = ball_volume(grid, radius_mm=25, signal=1020.0)
    hu = np.where(ball.array > 100, ball.array - 1000 + offset_hu, -1000)
    return Volume(hu.astype(np.float32), grid, Quantity.HOUNSFIELD)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    result = write_volume(ct_of(offset_hu=15), tmp_path / "sct.nii.gz")
    return result, write_volume(ct_of(), tmp_path / "ct.nii.gz")


def test_a_constant_offset_is_the_error(medgan, pair):
    facts = medgan("evaluate", *pair, "--json").json
    assert facts["measures"]["mae"]["value"] == pytest.approx(15, abs=1e-3)
    assert facts["measures"]["me"]["value"] == pytest.approx(15, abs=1e-3)
    assert facts["measures"]["mae"]["unit"] == "HU"
    assert facts["preset"] == "corrected"
    assert "body of the reference" in facts["mask"]
    assert not facts["reference_resampled"]


def test_every_measure_states_mask_and_range(medgan, pair):
    for measure in medgan("evaluate", *pair, "--json").json["measures"].values():
        assert measure["mask"]
        assert measure["range"]


def test_lines_for_people_name_preset_mask_and_unit(medgan, pair):
    outcome = medgan("evaluate", *pair)
    assert outcome.code == 0
    assert outcome.out.startswith("preset corrected, mask: body of the reference")
    assert "15 HU" in outcome.out


@pytest.mark.parametrize("preset", ["corrected", "synthrad2023", "synthrad2025"])
def test_presets(medgan, pair, preset):
    assert medgan("evaluate", *pair, "--preset", preset, "--json").json["preset"] == preset


def test_an_unknown_preset_is_refused_with_the_known_ones(medgan, pair):
    outcome = medgan("evaluate", *pair, "--preset", "synthrad")
    assert outcome.code == 2
    assert "synthrad2025" in outcome.err


def test_a_mask_of_ones_own_counts(medgan, pair, tmp_path):
    array = np.zeros(GRID.shape, dtype=np.uint8)
    array[10:14, 10:14, 10:14] = 1
    mask = write_labels(LabelMap(array, GRID), tmp_path / "mask.nii.gz")
    facts = medgan("evaluate", *pair, "--mask", mask, "--json").json
    assert (facts["voxels"], facts["mask"]) == (64, "mask.nii.gz")


def test_an_empty_mask_is_refused(medgan, pair, tmp_path):
    mask = write_labels(LabelMap(np.zeros(GRID.shape, dtype=np.uint8), GRID), tmp_path / "mask.nii.gz")
    outcome = medgan("evaluate", *pair, "--mask", mask)
    assert outcome.code == 2
    assert "at least one voxel" in outcome.err


def test_other_grids_are_refused_with_the_displacement_and_resampled_on_demand(medgan, tmp_path, pair):
    wide = ct_of().read(Box((-3, -3, -3), (27, 27, 27)))
    reference = write_volume(
        replace(wide, array=np.where(wide.array < -1001, -1000, wide.array)), tmp_path / "wide.nii.gz"
    )
    refused = medgan("evaluate", pair[0], reference)
    assert refused.code == 2
    assert "--resample" in refused.err
    assert "24 x 24 x 24" in refused.err
    assert "30 x 30 x 30" in refused.err
    facts = medgan("evaluate", pair[0], reference, "--resample", "--json").json
    assert facts["reference_resampled"]
    assert facts["measures"]["mae"]["value"] == pytest.approx(15, abs=1e-3)


def test_images_that_do_not_overlap_are_refused(medgan, tmp_path, pair):
    far = Grid.axis_aligned((24, 24, 24), spacing=(3, 3, 3), origin=(900, 0, 0))
    reference = write_volume(ct_of(far), tmp_path / "far.nii.gz")
    outcome = medgan("evaluate", pair[0], reference, "--resample")
    assert outcome.code == 2
    assert "do not overlap" in outcome.err


def test_out_is_written_once(medgan, pair):
    assert medgan("evaluate", *pair, "--out", "m.json").code == 0
    assert json.loads(Path("m.json").read_text())["measures"]["mae"]["value"] == pytest.approx(15, abs=1e-3)
    again = medgan("evaluate", *pair, "--out", "m.json")
    assert again.code == 2
    assert "m.json" in again.err
    assert medgan("evaluate", *pair, "--out", "m.json", "--overwrite").code == 0
