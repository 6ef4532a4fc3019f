"""`medgan evaluate --instances`: every block's value and the pooled one, for people and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr

from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.geometry import Grid
from medgan.volume import LabelMap

GRID = Grid.axis_aligned((48, 10, 5), spacing=(10, 10, 40), unit="nm", frame="specimen")


@pytest.fixture
def stores(tmp_path):
    truth = np.ones(GRID.shape, dtype=np.uint64)
    truth[:, 5:] = 2
    result = truth * 2
    result[24:] += 1
    write_ome_zarr(LabelMap(truth, GRID), tmp_path / "truth.zarr")
    write_ome_zarr(LabelMap(result, GRID), tmp_path / "result.zarr")
    return tmp_path / "result.zarr", tmp_path / "truth.zarr"


def test_one_split_as_json_and_in_a_file(medgan, stores, tmp_path):
    facts = medgan("evaluate", "--instances", *stores, "--json", "--out", tmp_path / "scores.json").json
    assert facts["pooled"]["voi_split"] == pytest.approx(1)
    assert facts["pooled"]["voi_merge"] == 0
    assert 0 < facts["pooled"]["expected_run_length"] < facts["pooled"]["greatest_run_length"]
    assert json.loads((tmp_path / "scores.json").read_text()) == facts
    assert medgan("evaluate", "--instances", *stores, "--out", tmp_path / "scores.json").code == 2


def test_each_block_has_its_line_before_the_pooled_one(medgan, stores):
    outcome = medgan("evaluate", "--instances", *stores, "--block", "5,10,24")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert len(lines) == 5
    assert lines[2].split()[:4] == ["0,0,0", "to", "24,10,5", "0.000"]
    assert lines[-1].split()[:2] == ["all", "1.000"]


def test_a_voxel_size_is_given_where_the_store_is_silent(medgan, stores, tmp_path):
    truth = zarr.open_array(stores[1] / "0", mode="r")[:]
    zarr.create_array(tmp_path / "plain.zarr", data=truth)
    plain = tmp_path / "plain.zarr"
    assert "nothing says how large a voxel is" in medgan("evaluate", "--instances", plain, plain).err
    assert (
        medgan("evaluate", "--instances", plain, plain, "--voxel-size", "40,10,10", "--json").json["pooled"]["voi"] == 0
    )
    # Another voxel size than the reference states is a contradiction.
    outcome = medgan("evaluate", "--instances", plain, stores[1], "--voxel-size", "40,10,11")
    assert outcome.code == 2
    assert "voxel size must be one" in outcome.err


@pytest.mark.parametrize("text", ["4,4", "a,b,c", "0,4,4", "inf,4,4"])
def test_a_voxel_size_that_is_none_is_refused(medgan, stores, text):
    outcome = medgan("evaluate", "--instances", *stores, "--voxel-size", text)
    assert outcome.code == 2
    assert "--voxel-size needs three positive lengths" in outcome.err


def test_blocks_are_whole(medgan, stores):
    outcome = medgan("evaluate", "--instances", *stores, "--block", "1.5,4,4")
    assert outcome.code == 2
    assert "--block needs three positive whole numbers" in outcome.err
