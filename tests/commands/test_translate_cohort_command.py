from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands_support import NETWORK, ball_volume, tiny_facts

from medgan.cohort import CaseEntry, Manifest
from medgan.cohort.manifest import digest_of
from medgan.commands import translate_cohort
from medgan.formats import read_volume, write_volume
from medgan.geometry import Grid
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.bundle import ModelBundle
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator
from medgan.seeding import torch_generator
from medgan.volume import Quantity

FIXED = ("--precision", "float32")


def scans(folder: Path, count: int = 3) -> list[Path]:
    grid = Grid.axis_aligned((20, 20, 18), spacing=(3, 3, 3))
    return [write_volume(ball_volume(grid, radius_mm=20 + n), folder / f"scan{n}.nii.gz") for n in range(count)]


@pytest.fixture
def cases(tmp_path) -> Path:
    """A table of three scans, the second of which is not there."""
    folder = tmp_path / "data"
    folder.mkdir()
    scans(folder)
    (folder / "scan1.nii.gz").unlink()
    table = folder / "cases.csv"
    table.write_text("case_id,path\na,scan0.nii.gz\nb,scan1.nii.gz\nc,scan2.nii.gz\n")
    return table


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory) -> Path:
    network = ResidualGenerator(**NETWORK)
    initialize(network, torch_generator(2))
    folder = tmp_path_factory.mktemp("models") / "other"
    ModelBundle.write(folder, facts=tiny_facts(), weights=network.state_dict(), card="x")
    return folder


def summary(folder="out") -> dict[str, dict[str, str]]:
    return {row["case_id"]: row for row in csv.DictReader((Path(folder) / "summary.csv").read_text().splitlines())}


def test_one_failed_case_does_not_stop_the_others(medgan, cases, tiny_bundle):
    outcome = medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED)
    assert outcome.code == 3, outcome.err
    for name in ("a_sct.nii.gz", "a_sct.json", "a_sct.png", "c_sct.nii.gz", "translation.manifest/manifest.json"):
        assert (Path("out") / name).is_file()
    assert not list(Path("out").glob("b_*"))
    rows = summary()
    assert [rows[case]["status"] for case in "abc"] == ["translated", "failed", "translated"]
    assert "scan1.nii.gz" in rows["b"]["reason"]
    assert rows["a"]["domain"] == "outside"
    assert rows["a"]["warning"].startswith("Warning: this image is outside the domain")
    assert "2 translated, 0 kept from before, 1 failed; 2 outside the domain" in outcome.out
    assert "failed: b: " in outcome.out
    assert "translating: 3 of 3" in outcome.err
    assert str(cases.parent) not in outcome.out + outcome.err + (Path("out") / "summary.csv").read_text()


def test_the_bits_are_those_of_a_single_call(medgan, cases, tiny_bundle):
    medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED)
    medgan("translate", cases.parent / "scan0.nii.gz", "--model", tiny_bundle, "--out", "one.nii.gz", *FIXED)
    one, two = (read_volume(f, quantity=Quantity.HOUNSFIELD).array for f in ("one.nii.gz", "out/a_sct.nii.gz"))
    assert np.array_equal(one, two)


def test_started_again_it_keeps_what_is_done_and_tries_what_failed(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out")
    assert medgan(*command).code == 3
    before = Path("out/a_sct.nii.gz").stat().st_mtime_ns
    scans(cases.parent / "..")
    shutil.copy(cases.parent.parent / "scan1.nii.gz", cases.parent)
    Path("out/c_sct.nii.gz").unlink()  # killed before its last file
    outcome = medgan(*command, "--json")
    assert outcome.code == 0, outcome.err
    assert [case["status"] for case in outcome.json["cases"]] == ["kept", "translated", "translated"]
    assert outcome.json["cases"][0]["warning"]
    assert Path("out/a_sct.nii.gz").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["model", "uncertainty", "precision"])
def test_other_settings_are_refused(medgan, cases, tiny_bundle, other_bundle, change):
    assert medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED).code == 3
    changed = {
        "model": ("--model", other_bundle, *FIXED),
        "uncertainty": ("--model", tiny_bundle, "--uncertainty", *FIXED),
        "precision": ("--model", tiny_bundle, "--precision", "bfloat16"),
    }[change]
    outcome = medgan("translate", "--manifest", cases, "--out", "out", *changed)
    assert outcome.code == 2
    assert "was begun with other settings" in outcome.err
    assert {"model": "weights_sha256"}.get(change, change) in outcome.err
    assert summary()["a"]["status"] == "translated"


def test_the_precision_that_was_found_is_kept(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out")
    assert medgan(*command).code == 3
    header = Path("out/translation.manifest/manifest.json")
    before = json.loads(header.read_text())
    other = {"float32": "bfloat16", "bfloat16": "float32"}[before["facts"]["precision"]]
    header.write_text(json.dumps({**before, "facts": {**before["facts"], "precision": other}}))
    Path("out/a_sct.nii.gz").unlink()
    assert medgan(*command).code == 3
    assert json.loads(Path("out/a_sct.json").read_text())["precision"]["precision"] == other


def test_a_result_of_another_file_is_not_kept_in_silence(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out")
    medgan(*command)
    shutil.copy(cases.parent / "scan2.nii.gz", cases.parent / "scan0.nii.gz")
    assert medgan(*command).code == 3
    assert "made from another file" in summary()["a"]["reason"]
    Path("out/c_sct.json").write_text("{")
    medgan(*command)
    assert "without a sound c_sct.json" in summary()["c"]["reason"]


def test_all_failed_is_2(medgan, cases, tiny_bundle):
    cases.write_text("case_id,path\na,nothing.nii.gz\n")
    assert medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out").code == 2


def test_an_internal_failure_of_one_case_is_a_row(medgan, cases, tiny_bundle, monkeypatch):
    real = translate_cohort.translate

    def failing(file, **options):
        if file.name == "scan0.nii.gz":
            raise RuntimeError("secret path")
        return real(file, **options)

    monkeypatch.setattr(translate_cohort, "translate", failing)
    assert medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out").code == 3
    assert summary()["a"]["reason"] == "Internal failure (RuntimeError); please report it."
    assert summary()["c"]["status"] == "translated"


def test_several_processes_give_the_same_rows(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, *FIXED)
    assert medgan(*command, "--out", "out", "--jobs", "2", "--device", "cpu").code == 3
    assert medgan(*command, "--out", "alone").code == 3
    seconds = {"seconds"}
    rows = [
        {k: {n: v for n, v in row.items() if n not in seconds} for k, row in summary(f).items()}
        for f in ("out", "alone")
    ]
    assert rows[0] == rows[1]


def test_shards_share_the_cases_and_each_knows_what_the_others_did(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED, "--device", "cpu")
    assert medgan(*command, "--shard", "2/2", "--json").json["translated"] == 2
    outcome = medgan(*command, "--shard", "1/2", "--json")
    assert outcome.code == 3
    assert [case["status"] for case in outcome.json["cases"]] == ["kept", "failed", "kept"]
    assert medgan(*command, "--shard", "3/2").code == 2


def test_a_case_that_somebody_works_on_is_left_to_them(medgan, cases, tiny_bundle):
    command = ("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED, "--shard", "1/1")
    assert medgan(*command).code == 3
    manifest = BlockManifest(Path("out/translation.manifest"))
    manifest.forget("c")
    manifest.claim("c", run="elsewhere")
    outcome = medgan(*command)
    assert outcome.code == 3
    assert "Others work on 1 more; whoever is last writes" in outcome.out
    assert summary()["c"]["status"] == "running"


def test_a_foreign_manifest_is_refused(medgan, cases, tiny_bundle):
    folder = Path("out/translation.manifest")
    folder.mkdir(parents=True)
    outcome = medgan("translate", "--manifest", cases, "--model", tiny_bundle, "--out", "out", *FIXED)
    assert outcome.code == 2
    assert "translation.manifest is no manifest of blocks" in outcome.err


def test_a_release_gives_the_images_of_the_models_source_domain(medgan, tmp_path, tiny_bundle):
    files = scans(tmp_path)
    entries = tuple(
        CaseEntry(f"c{n}", f"s{n}", "test", domain, modality, quantity, files[n].name, digest_of(files[n]))
        for n, (domain, modality, quantity) in enumerate(
            [("mr", "MR", "mr_signal"), ("ct", "CT", "hounsfield"), ("mr", "MR", "mr_signal")]
        )
    )
    Manifest("t", "l", "c", "o", entries).write(tmp_path / "release.yaml")
    outcome = medgan(
        "translate", "--manifest", tmp_path / "release.yaml", "--model", tiny_bundle, "--out", "out", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert [case["case_id"] for case in outcome.json["cases"]] == ["c0", "c2"]
    assert outcome.json["cases"][0]["subject_id"] == "s0"
    # A table of the same columns gives the same images; a file that changed is refused by its digest.
    files[2].write_bytes(files[0].read_bytes())
    outcome = medgan("translate", "--manifest", tmp_path / "release.yaml", "--model", tiny_bundle, "--out", "new")
    assert outcome.code == 3
    assert "has changed since the manifest was written" in outcome.out
    again = medgan(
        "translate", "--manifest", tmp_path / "release.csv", "--model", tiny_bundle, "--out", "plain", "--json"
    )
    assert [case["case_id"] for case in again.json["cases"]] == ["c0", "c2"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case_id\na\n", "the column 'path' is missing"),
        ("case_id,path,serie\na,b,1\n", "'serie' is not a column. Did you mean 'series'?"),
        ("case_id,path\na,x.nii\nA,y.nii\n", "case A is named more than once"),
        ("case_id,path\n../a,x.nii\n", "line 2: a case_id names files and must match"),
        ("case_id,path\na,\n", "line 2: case a has no path"),
        ("case_id,path,series\na,x,0\n", "line 2: a series is counted from 1: found '0'"),
        ("case_id,path,domain\na,x,ct\n", "A cohort needs images of domain 'mr'"),
    ],
)
def test_what_is_no_list_of_images(medgan, tmp_path, tiny_bundle, text, words):
    (tmp_path / "t.csv").write_text(text)
    outcome = medgan("translate", "--manifest", tmp_path / "t.csv", "--model", tiny_bundle, "--out", "out")
    assert outcome.code == 2
    assert words in outcome.err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name an image, or a cohort by --manifest"),
        (("a.nii.gz", "--manifest", "t.csv"), "one of the two"),
        (("a.nii.gz", "--workers", "2"), "--workers belongs to a cohort or a stack"),
        (("a.nii.gz", "--block", "1,1,1"), "--block belongs to a stack"),
        (("--manifest", "t.csv", "--overwrite"), "--overwrite belongs to an image"),
        (("--manifest", "t.csv"), "pass it by --out"),
        (("--manifest", "t.csv", "--out", "o", "--member", "x"), "--uncertainty: pass both"),
    ],
)
def test_usage(medgan, tiny_bundle, arguments, words):
    outcome = medgan("translate", *arguments, "--model", tiny_bundle)
    assert outcome.code == 2
    assert words in outcome.err


class TestUncertainty:
    def test_maps_sidecar_and_picture(self, medgan, mr_file, tiny_bundle, other_bundle):
        outcome = medgan(
            "translate", mr_file, "--model", tiny_bundle, "--uncertainty", "--member", other_bundle, "--json", *FIXED
        )
        assert outcome.code == 0, outcome.err
        assert set(outcome.json["outputs"]) == {"volume", "sidecar", "picture", "uncertainty"}
        deviation = read_volume("scan_sct_uncertainty.nii.gz", quantity=Quantity.DIFFERENCE)
        assert deviation.grid.same_as(read_volume(mr_file, quantity=Quantity.MR_SIGNAL).grid)
        assert deviation.array[0, 0, 0] == 0
        facts = json.loads(Path("scan_sct.json").read_text())
        assert facts["uncertainty"]["results"] == 4
        assert facts["uncertainty"]["deviation"]["mean_in_body"] > 0
        assert facts["uncertainty"]["deviation"]["unit"] == "HU"
        assert facts["uncertainty"]["cycle_residual"] is None
        assert any("holds no generator back" in notice for notice in facts["notices"])
        assert "holds no generator back" in outcome.err
        # The maps do not change the result.
        medgan("translate", mr_file, "--model", tiny_bundle, "--out", "plain", *FIXED)
        plain, judged = (
            read_volume(f, quantity=Quantity.HOUNSFIELD).array for f in ("plain/scan_sct.nii.gz", "scan_sct.nii.gz")
        )
        assert np.array_equal(plain, judged)
        assert json.loads(Path("plain/scan_sct.json").read_text())["uncertainty"] is None
        assert Path("scan_sct.png").stat().st_size > Path("plain/scan_sct.png").stat().st_size

    def test_the_way_back_of_a_bundle_gives_the_residual(self, medgan, mr_file, tmp_path):
        networks = [ResidualGenerator(**NETWORK) for _ in range(2)]
        for seed, network in enumerate(networks):
            initialize(network, torch_generator(seed))
        there, back = (network.state_dict() for network in networks)
        facts = tiny_facts(return_network=tiny_facts()["network"])
        ModelBundle.write(tmp_path / "both", facts=facts, weights=there, card="x", return_weights=back)
        outcome = medgan("translate", mr_file, "--model", tmp_path / "both", "--uncertainty", "--out", "r.mha")
        assert outcome.code == 0, outcome.err
        assert outcome.out.split() == ["r.mha", "r.json", "r.png", "r_uncertainty.mha", "r_cycle_residual.mha"]
        residual = read_volume("r_cycle_residual.mha", quantity=Quantity.DIFFERENCE).array
        assert residual.min() == 0 < residual.max() < 2.5
        assert medgan("models", "check", tmp_path / "both").code == 0

    @pytest.mark.parametrize("existing", ["scan_sct_uncertainty.nii.gz", "scan_sct_cycle_residual.nii.gz"])
    def test_an_existing_map_is_refused_before_computing(self, medgan, mr_file, tiny_bundle, existing):
        Path(existing).write_text("mine")
        outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--uncertainty")
        assert outcome.code == 2
        assert existing in outcome.err
        assert "translating" not in outcome.err
        assert medgan("translate", mr_file, "--model", tiny_bundle).code == 0

    def test_a_model_beside_itself_is_refused_before_computing(self, medgan, mr_file, tiny_bundle):
        outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--uncertainty", "--member", tiny_bundle)
        assert outcome.code == 2
        assert "agreeing with oneself says nothing" in outcome.err
        assert list(Path().iterdir()) == []


def test_a_warning_is_one_sentence_on_stderr_and_in_the_sidecar(medgan, mr_file, tiny_bundle):
    outcome = medgan("translate", mr_file, "--model", tiny_bundle, "--json")
    (line,) = [line for line in outcome.err.splitlines() if line.startswith("Warning: ")]
    assert line.startswith("Warning: scan.nii.gz is outside the domain that tiny-mr-to-ct was trained on (nothing)")
    written = json.loads(Path("scan_sct.json").read_text())["domain_warning"]
    assert written == line.replace("scan.nii.gz", "this image")
