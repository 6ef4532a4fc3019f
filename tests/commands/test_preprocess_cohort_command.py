"""``medgan preprocess`` on a cohort: a store that survives anything, and a report of what was refused."""

from __future__ import annotations

import csv
import errno
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgan.cohort import Manifest
from medgan.cohort.case_store import CaseStore
from medgan.cohort.manifest import digest_of
from medgan.commands.cohort_data import fitted_recipe, read_case
from medgan.commands.console import Console
from medgan.commands.phantom_cohort import phantom_cohort
from medgan.commands.training_settings import PhantomSettings
from medgan.inference.block_manifest import BlockManifest
from medgan.preprocessing.recipe import Recipe

REPOSITORY = Path(__file__).parents[2]
SMOKE = REPOSITORY / "configs/mr_to_ct/smoke.yaml"
SOURCE = [{"stage": "body_mask"}, {"stage": "mr_percentiles", "percentiles": [20, 99]}]
TARGET = [{"stage": "body_mask"}, {"stage": "couch"}, {"stage": "hu_window"}]
CONFIG = """
data: {manifest: phantoms/phantoms.yaml}
recipe:
  source: [{stage: body_mask}, {stage: mr_percentiles, percentiles: [20, 99]}]
  target: [{stage: body_mask}, {stage: couch}, {stage: hu_window}]
"""


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """Phantoms of four subjects: two train MR, one trains CT, one tests both."""
    folder = tmp_path_factory.mktemp("cohort") / "phantoms"
    settings = PhantomSettings(
        kind="limb", source_train=2, target_train=1, validation=0, test=1, shape=(30, 30, 12), spacing_mm=(8, 8, 14)
    )
    phantom_cohort(folder, settings, console=Console(quiet=True))
    return folder


@pytest.fixture
def config(drawn, tmp_path) -> Path:
    """A configuration beside its phantoms, which a test may damage."""
    folder = tmp_path / "study" / "phantoms"
    folder.mkdir(parents=True)
    for file in drawn.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "study" / "limbs.yaml"
    path.write_text(CONFIG)
    return path


def manifest_of(config: Path) -> Manifest:
    return Manifest.read(config.parent / "phantoms" / "phantoms.yaml")


def contents(store: Path) -> dict[str, bytes]:
    return {str(p.relative_to(store)): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def with_digest_of_what_is_there(config: Path, name: str) -> None:
    """Let the manifest mean the file as it now is."""
    folder = config.parent / "phantoms"
    whole = manifest_of(config)
    entries = tuple(replace(e, sha256=digest_of(folder / e.path)) if e.path == name else e for e in whole.entries)
    for file in (folder / "phantoms.yaml", folder / "phantoms.csv"):
        file.unlink()
    replace(whole, entries=entries).write(folder / "phantoms.yaml")


class TestStore:
    def test_all_splits_of_both_domains_are_in_the_store(self, medgan, config):
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json")
        assert outcome.code == 0, outcome.err
        facts, manifest, root = outcome.json, manifest_of(config), config.parent / "phantoms"
        assert (facts["accepted"] + facts["corrected"], facts["refused"]) == (5, 0)
        assert [(r["case_id"], r["domain"]) for r in facts["rows"]] == [
            (e.case_id, e.domain) for domain in ("mr", "ct") for e in manifest.select(domain=domain)
        ]
        for domain, stages in (("mr", SOURCE), ("ct", TARGET)):
            # The digest that a training looks for: that of the recipe fitted on the training split.
            fitted = fitted_recipe(Recipe.from_json(stages), manifest, root, domain=domain)
            assert facts["recipes"][domain]["digest"] == fitted.digest
            store = CaseStore(Path("store"), fitted.digest)
            assert facts["recipes"][domain]["folder"] == store.folder.name
            entries = manifest.select(domain=domain)
            assert list(store.keys()) == sorted(f"{e.case_id}.{domain}" for e in entries)
            for entry in entries:
                by_hand, prepared = fitted(read_case(entry, root)), store.read(f"{entry.case_id}.{domain}")
                assert np.array_equal(prepared.image.array, by_hand.image.array)
                assert np.array_equal(prepared.label("body").array, by_hand.label("body").array)
                assert prepared.image.provenance == by_hand.image.provenance

    def test_the_bits_do_not_depend_on_the_number_of_processes(self, medgan, config):
        assert medgan("preprocess", config, "--out", "one", "--jobs", 1).code == 0
        assert medgan("preprocess", config, "--out", "two", "--jobs", 2).code == 0
        one, two = contents(Path("one")), contents(Path("two"))
        assert one == two
        assert len(one) == 5 + 2 + 2

    def test_shards_prepare_the_same_store_and_leave_to_others_what_they_do(self, medgan, config):
        assert medgan("preprocess", config, "--out", "one", "--workers", 1).code == 0
        assert medgan("preprocess", config, "--out", "two", "--shard", "2/2").code == 0
        assert contents(Path("one")) == contents(Path("two"))
        command = ("preprocess", config, "--out", "one", "--shard", "1/2", "--json")
        manifest = BlockManifest.opened(
            Path("one/ingest_limbs.manifest").resolve(), {"kind": "cases of a prepared cohort"}
        )
        name = next(path for path in Path("one").rglob("limb_002.ct.npz"))
        key = f"{name.parent.name}.limb_002.ct"
        claim = manifest.claim(key, run="elsewhere")
        outcome = medgan(*command)
        assert outcome.code == 0
        assert len(outcome.json["rows"]) == 4
        assert manifest.is_there
        claim.release()
        assert len(medgan(*command).json["rows"]) == 5
        assert not manifest.is_there

    def test_started_again_it_writes_no_case_again(self, medgan, config):
        first = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json").json
        cases = {p: p.stat().st_mtime_ns for p in Path("store").rglob("*.npz")}
        next(iter(cases)).unlink()
        leftover = next(iter(cases)).with_name(".partial-12ab34cd-x.npz")
        leftover.write_bytes(b"half")
        os.utime(leftover, (1, 1))
        again = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json").json
        now = {p: p.stat().st_mtime_ns for p in Path("store").rglob("*.npz")}
        assert set(now) == set(cases)
        assert sum(now[p] != cases[p] for p in now) == 1
        assert again == first
        assert not leftover.exists()

    def test_a_training_finds_what_was_prepared(self, medgan, config, monkeypatch):
        from medgan.commands import cohort_data

        assert medgan("preprocess", config, "--out", "store", "--jobs", 1).code == 0
        manifest, root = manifest_of(config), config.parent / "phantoms"
        fitted = fitted_recipe(Recipe.from_json(SOURCE), manifest, root, domain="mr")
        monkeypatch.setattr(cohort_data, "read_case", None)
        cases = cohort_data.prepared_cases(
            manifest.select(split="train", domain="mr"),
            root,
            recipe=fitted,
            store_root=Path("store"),
            console=Console(quiet=True),
        )
        assert len(cases) == 2

    def test_a_training_s_configuration_draws_its_phantoms(self, medgan):
        outcome = medgan("preprocess", SMOKE, "--out", "store", "--jobs", 1, "--set", "data.phantoms.test=1", "--json")
        assert outcome.code == 0, outcome.err
        assert len(outcome.json["rows"]) == 2 + 2 + 2 + 2
        assert (Path("store_phantoms") / "phantoms.yaml").is_file()

    def test_the_source_s_recipe_alone(self, medgan, config):
        config.write_text(CONFIG[: CONFIG.index("  target")])
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json")
        assert {row["domain"] for row in outcome.json["rows"]} == {"mr"}


class TestRefused:
    def damaged(self, config):
        """One file is cut, one is absent, one is another one."""
        folder = config.parent / "phantoms"
        cut, absent = folder / "limb_001_mr.nii.gz", folder / "limb_003_ct.nii.gz"
        cut.write_bytes(cut.read_bytes()[:500])
        with_digest_of_what_is_there(config, cut.name)
        absent.unlink()
        other = folder / "limb_003_mr.nii.gz"
        other.write_bytes((folder / "limb_000_mr.nii.gz").read_bytes())

    def test_a_refused_image_never_stops_the_others(self, medgan, config):
        self.damaged(config)
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1)
        assert outcome.code == 3
        lines = outcome.out.splitlines()
        assert lines[0].endswith("3 refused")
        assert lines[-1] == "store/ingest_limbs.html"
        reasons = {line.split()[1]: line for line in lines[1:-1]}
        assert "limb_001_mr.nii.gz" in reasons["limb_001"]
        assert len([line for line in lines if line.startswith("refused: limb_003")]) == 2
        assert sorted(p.stem for p in Path("store").rglob("*.npz")) == ["limb_000.mr", "limb_002.ct"]
        assert "reading what the recipe is fitted on" in outcome.err
        assert str(config.parent) not in outcome.out + outcome.err

    def test_the_report_says_what_became_of_each(self, medgan, config):
        self.damaged(config)
        facts = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json").json
        with Path(facts["report"]["csv"]).open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [(r["case_id"], r["domain"], r["verdict"]) for r in rows] == [
            ("limb_000", "mr", "accepted"),
            ("limb_001", "mr", "refused"),
            ("limb_003", "mr", "refused"),
            ("limb_002", "ct", "corrected"),
            ("limb_003", "ct", "refused"),
        ]
        assert rows[1]["reasons"]
        assert rows[1]["shape"] == rows[1]["prepared_digest"] == ""
        assert rows[0]["shape"] == "30 x 30 x 12"
        assert rows[0]["spacing"] == "8 x 8 x 14"
        assert "of couch or devices" in rows[3]["reasons"]
        page = Path(facts["report"]["html"]).read_text()
        assert "data:image/png;base64," in page
        assert "http" not in page.split("<body>")[1]
        for words in ("limb_001 (mr, train)", "limb_003 (ct, test)", "there is no such file", "Corrected"):
            assert words in page
        assert str(config.parent) not in page

    def test_repaired_it_is_prepared(self, medgan, config, drawn):
        absent = config.parent / "phantoms" / "limb_002_ct.nii.gz"
        absent.unlink()
        assert medgan("preprocess", config, "--out", "store", "--jobs", 1).code == 3
        absent.write_bytes((drawn / absent.name).read_bytes())
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json")
        assert (outcome.code, outcome.json["refused"]) == (0, 0)

    def test_all_refused(self, medgan, config):
        config.write_text(CONFIG.replace("percentiles: [20, 99]", "percentiles: [99]"))
        for file in (config.parent / "phantoms").glob("*.nii.gz"):
            file.unlink()
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--json")
        assert outcome.code == 2
        assert outcome.json["refused"] == 5
        assert Path("store/ingest_limbs.html").is_file()

    def test_nothing_to_fit_on(self, medgan, config):
        for file in (config.parent / "phantoms").glob("*_mr.nii.gz"):
            file.unlink()
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1)
        assert outcome.code == 2
        assert "A recipe is fitted on training images: none of 2 can be used" in outcome.err

    def test_a_bug_in_one_case_is_a_row_too(self, medgan, config, monkeypatch):
        from medgan.commands import cohort_data

        def read(entry, root):
            if entry.case_id == "limb_002":
                raise ZeroDivisionError
            return read_case(entry, root)

        monkeypatch.setattr(cohort_data, "read_case", read)
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1)
        assert outcome.code == 3
        assert "limb_002 (ct): Internal failure (ZeroDivisionError); please report it." in outcome.out

    def test_a_case_of_another_file_and_a_damaged_one(self, medgan, config):
        assert medgan("preprocess", config, "--out", "store", "--jobs", 1).code == 0
        damaged = next(Path("store").rglob("limb_002.ct.npz"))
        damaged.write_bytes(damaged.read_bytes()[:-200])
        outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1)
        assert outcome.code == 3
        assert "limb_002.ct.npz is damaged" in outcome.out


class TestOutputs:
    def test_a_full_disk_ends_it_in_one_line_and_it_goes_on_later(self, medgan, config, monkeypatch):
        save, saved = np.savez, []

        def full(stream, **arrays):
            if len(saved) == 2:
                stream.write(b"half a case")
                raise OSError(errno.ENOSPC, "No space left on device")
            saved.append(stream.name)
            save(stream, **arrays)

        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", full)
            outcome = medgan("preprocess", config, "--out", "store", "--jobs", 1, "--quiet")
        assert outcome.code == 2
        assert outcome.err.startswith("medgan: limb_003.mr.npz cannot be written: the disk is full")
        assert len(outcome.err.splitlines()) == 1
        files = [p.name for p in Path("store").rglob("*") if p.is_file()]
        assert sorted(files) == ["limb_000.mr.npz", "limb_001.mr.npz", "recipe.json", "recipe.json"]
        assert medgan("preprocess", config, "--out", "store", "--jobs", 1).code == 0

    def test_a_file_in_the_store_s_place(self, medgan, config):
        Path("store").write_text("mine")
        outcome = medgan("preprocess", config, "--out", "store")
        assert outcome.code == 2
        assert "store is a file: a folder is needed there" in outcome.err
        assert Path("store").read_text() == "mine"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "A cohort needs a store: pass the folder by --out"),
            (("--out", "s", "--recipe", "ct_limb"), "--recipe belongs to an image: limbs.yaml is a cohort's"),
            (("--out", "s", "--overwrite"), "--overwrite belongs to an image"),
            (("--out", "s", "--set", "recipe.sauce=1"), "Did you mean 'source'"),
            (("--out", "s", "--data-root", "nowhere"), "start from nowhere: there is no such folder. See --data-root"),
            (("--out", "s", "--set", "data.target=pet"), "needs images of domain 'pet': manifest"),
        ],
    )
    def test_refusals(self, medgan, config, arguments, words):
        outcome = medgan("preprocess", config, *arguments)
        assert outcome.code == 2
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert list(Path().iterdir()) == []

    def test_a_recipe_is_no_configuration(self, medgan, tmp_path):
        recipe = tmp_path / "r.yaml"
        recipe.write_text("description: x\nstages: [{stage: reorient}]\n")
        outcome = medgan("preprocess", recipe, "--out", "s")
        assert outcome.code == 2
        assert "r.yaml is a recipe, not a cohort's configuration: pass it by --recipe with an image" in outcome.err


def test_killed_at_any_moment_it_continues_to_the_same_bits(config, tmp_path, medgan):
    # N4 takes long enough to be killed in.
    slow = CONFIG.replace(
        "{stage: mr_percentiles", "{stage: bias_field, shrink_mm: 12, iterations: 25}, {stage: mr_percentiles"
    )
    config.write_text(slow.replace("[20, 99]", "[99]"))
    store, command = tmp_path / "killed", [sys.executable, "-m", "medgan", "preprocess", str(config), "--jobs", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--out", str(store)], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120

    def finished():  # a file under its temporary name is not one
        return [file for file in store.rglob("*.npz") if not file.name.startswith(".")]

    while process.poll() is None and not finished() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL, "the command was too fast to be killed"
    assert 1 <= len(finished()) < 5
    for file in finished():
        with np.load(file, allow_pickle=False) as archive:
            assert "facts" in archive.files
    assert medgan("preprocess", config, "--out", store, "--jobs", 1).code == 0
    assert medgan("preprocess", config, "--out", tmp_path / "whole", "--jobs", 1).code == 0
    assert contents(store) == contents(tmp_path / "whole")


def test_the_store_of_real_limbs_is_read_back(medgan, shared_data, tmp_path):
    whole = Manifest.read(REPOSITORY / "data_manifests/sts_limbs.yaml")
    wanted = {"sts_035", "sts_025", "sts_024", "sts_015"}
    subset = tuple(e for e in whole.entries if e.case_id in wanted)
    assert {e.split for e in subset} == {"train", "test"}
    replace(whole, entries=subset).write(tmp_path / "limbs.yaml")
    study = (REPOSITORY / "configs/mr_to_ct/sts.yaml").read_text()
    config = tmp_path / "sts.yaml"
    config.write_text(re.sub(r"(?m)^  manifest: .*$", "  manifest: limbs.yaml", study))
    outcome = medgan("preprocess", config, "--data-root", shared_data, "--out", "store", "--jobs", 2, "--json")
    assert outcome.code == 0, outcome.err
    facts = outcome.json
    assert (len(facts["rows"]), facts["refused"]) == (len(subset), 0)
    for entry in subset:
        store = CaseStore(Path("store"), facts["recipes"][entry.domain]["digest"])
        case = store.read(f"{entry.case_id}.{entry.domain}")
        assert entry.sha256 in case.image.provenance.sources
        assert case.image.grid.spacing == pytest.approx((2, 2, 3))
        assert case.image.array.min() == -1
        assert 0.3 < case.image.array.max() <= 1
        body = case.label("body").mask()
        assert 0.2 < body.mean() < 0.98
        # Tissue in the body, nothing around it.
        assert case.image.array[body].mean() > -0.6
        assert (case.image.array[~body] == -1).all()
        row = next(r for r in facts["rows"] if (r["case_id"], r["domain"]) == (entry.case_id, entry.domain))
        assert row["prepared_digest"] == case.image.provenance.digest
