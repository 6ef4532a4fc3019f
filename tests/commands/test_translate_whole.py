"""``medgan translate --whole``: where it is recorded, repeated and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands_support import ball_volume

from medgan.formats import read_volume, write_volume
from medgan.geometry import Grid
from medgan.inference import whole_volume
from medgan.volume import Quantity

FIXED = ("--precision", "float32")


def test_the_sidecar_says_how_and_the_bits_repeat(medgan, mr_file, tiny_bundle):
    for folder, options in {"patches": (), "one": ("--whole",), "two": ("--whole",)}.items():
        outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--out", folder, *FIXED, *options)
        assert outcome.code == 0, outcome.err
    facts = {f: json.loads((Path(f) / "scan_sct.json").read_text()) for f in ("patches", "one", "two")}
    assert [facts[f]["whole"] for f in facts] == [False, True, True]
    assert facts["one"]["patches"] == {"all": 1, "skipped_outside_body": 0}
    patches, one, two = (read_volume(Path(f) / "scan_sct.nii.gz", quantity=Quantity.HOUNSFIELD).array for f in facts)
    assert np_equal(one, two)
    assert not np_equal(one, patches)


def np_equal(one, two) -> bool:
    return bool((one == two).all())


def test_too_little_memory_is_refused_and_nothing_is_written(medgan, mr_file, tiny_bundle, monkeypatch):
    monkeypatch.setattr(whole_volume, "available_bytes", lambda device: 2**20)
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--whole", "--json")
    assert outcome.code == 2
    assert "GiB of memory" in outcome.json["error"]["message"]
    assert "Leave out --whole" in outcome.json["error"]["message"]
    assert list(Path().iterdir()) == []
    assert medgan("translate", mr_file, "--model", tiny_bundle).code == 0


@pytest.fixture
def table(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    write_volume(ball_volume(Grid.axis_aligned((20, 20, 18), spacing=(3, 3, 3)), radius_mm=20), folder / "a.nii.gz")
    cases = folder / "cases.csv"
    cases.write_text("case_id,path\na,a.nii.gz\n")
    return cases


def test_a_cohort_repeats_the_mode_it_was_begun_with(medgan, table, tiny_bundle):
    command = ("translate", "--manifest", table, "--model", tiny_bundle, "--out", "out", *FIXED)
    assert medgan(*command, "--whole").code == 0
    assert json.loads(Path("out/a_sct.json").read_text())["whole"] is True
    refused = medgan(*command)
    assert refused.code == 2
    assert "whole was True, now False" in refused.err
    assert "1 kept from before" in medgan(*command, "--whole").out


def test_a_stack_refuses_it(medgan, tiny_bundle):
    Path("stack.zarr").mkdir()
    outcome = medgan("translate", "stack.zarr", "--model", tiny_bundle, "--whole")
    assert outcome.code == 2
    assert "--whole" in outcome.err
    assert "stack.zarr is a stack" in outcome.err
