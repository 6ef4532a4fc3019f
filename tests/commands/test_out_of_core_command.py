"""``medgan translate`` on a stack: the bits of the whole, whoever works, in whatever order, and after any kill."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaozarrs
import zarr
from em_stacks import SHAPE, voxels, whole, write_contrast_model, write_stack

from medgan.commands import out_of_core_store, out_of_core_workers
from medgan.commands.out_of_core_hands import Hands
from medgan.errors import SettingsError
from medgan.formats import ome_zarr_write
from medgan.formats.chunked import open_chunked
from medgan.inference.block_manifest import CLAIMS, BlockManifest
from medgan.inference.block_owner import Owner
from medgan.inference.block_translation import BlockTranslation, WrittenBlocks

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ONE = ("--device", "cpu", "--workers", "1")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """A folder with raw.zarr, a model, another model, and expected.npy: the stack translated in one piece."""
    folder = tmp_path_factory.mktemp("stacks")
    write_stack(folder / "raw.zarr")
    write_contrast_model(folder / "model")
    write_contrast_model(folder / "other", seed=2)
    np.save(folder / "expected.npy", whole(folder / "model", folder / "raw.zarr"))
    return folder


@pytest.fixture
def translate(medgan, given):
    def run(*arguments, source="raw.zarr", model="model", out="out.zarr"):
        image = given / source if isinstance(source, str) else source
        return medgan("translate", image, "--model", given / model, "--out", out, *arguments)

    return run


def assert_complete(given: Path, out: str | Path = "out.zarr") -> None:
    np.testing.assert_array_equal(voxels(Path(out)), np.load(given / "expected.npy"))
    assert not Path(f"{out}.partial").exists()
    assert not Path(f"{out}.manifest").exists()
    assert not list(Path(out).rglob("*.partial"))


def damage(store: Path, key: str = "0/c/1/1/0") -> bytes:
    """Spoil a chunk and return what it was; its blocks are 1-1-0 and those whose halo reaches into it."""
    path = store / key
    before = path.read_bytes()
    path.write_bytes(b"\0" * 20)
    return before


class TestBits:
    def test_the_store_is_a_synthetic_ome_zarr_on_the_grid_of_the_source(self, translate, given):
        outcome = translate("--json", *ONE)
        assert outcome.code == 0, outcome.err
        assert outcome.json["complete"]
        assert outcome.json["blocks"] == outcome.json["translated"] == 1
        assert outcome.json["voxels_per_second"] > 0
        assert outcome.json["output"] == "out.zarr"
        yaozarrs.validate_zarr_store("out.zarr")
        result, source = open_chunked("out.zarr"), open_chunked(given / "raw.zarr")
        assert result.grid.same_as(source.grid)
        assert result.provenance.is_synthetic
        assert result.array.dtype == np.uint8
        assert dict(zarr.open_group("out.zarr", mode="r").attrs)["medgan"]["provenance"]["steps"][-1]["matching"]
        assert_complete(given)

    @pytest.mark.parametrize("block", ["64,64,64", "64,128,128", "128,64,128"])
    def test_any_block_size_gives_them(self, translate, given, block):
        outcome = translate("--block", block, *ONE)
        assert outcome.code == 0, outcome.err
        assert "translating blocks: 0 of" in outcome.err
        assert "voxels a second" in outcome.err
        assert_complete(given)

    def test_two_workers_give_them(self, translate, given):
        outcome = translate("--block", "64,64,64", "--workers", "2", "--device", "cpu", "--json")
        assert outcome.code == 0, outcome.err
        assert (outcome.json["blocks"], outcome.json["translated"]) == (8, 8)
        assert_complete(given)

    def test_shards_give_them_in_any_order_and_the_last_one_completes(self, translate, given):
        manifest = Path("out.zarr.manifest")
        plan = []
        for shard in ("2/3", "3/3", "1/3"):
            outcome = translate("--block", "64,64,64", "--shard", shard, "--json")
            assert outcome.code == 0, outcome.err
            plan.append((outcome.json["translated"], outcome.json["complete"], manifest.exists()))
        # The first takes its share, then what is left; the others find it complete.
        assert plan == [(8, True, False), (0, True, False), (0, True, False)]
        assert_complete(given)

    def test_two_shards_at_once_share(self, given, tmp_path):
        command = [
            sys.executable,
            "-m",
            "medgan",
            "translate",
            str(given / "raw.zarr"),
            "--model",
            str(given / "model"),
        ]
        command += ["--out", "out.zarr", "--block", "64,64,64", "--json", "--quiet", "--shard"]
        calls = [
            subprocess.Popen([*command, f"{n}/2"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
            for n in (1, 2)
        ]
        facts = [json.loads(call.communicate(timeout=120)[0]) for call in calls]
        assert [call.returncode for call in calls] == [0, 0]
        assert sum(each["translated"] for each in facts) == 8
        assert any(each["complete"] for each in facts)
        assert_complete(given, tmp_path / "out.zarr")

    def test_without_matching_and_from_sixteen_bits(self, medgan, tmp_path):
        write_contrast_model(tmp_path / "plain", matching="none", reference_counts=None, input_range=[0, 65535])
        array = np.random.default_rng(0).integers(0, 60000, SHAPE[::-1]).astype(np.uint16)
        store = zarr.create_array(str(tmp_path / "raw.zarr"), shape=array.shape, dtype=array.dtype, chunks=(30, 30, 30))
        store[:] = array
        stack = (tmp_path / "raw.zarr", "--model", tmp_path / "plain", "--voxel-size", "10,10,10")
        assert medgan("translate", *stack, "--out", "a.zarr", "--block", "64,64,64", *ONE).code == 0
        assert medgan("translate", *stack, "--out", "b.zarr", *ONE).code == 0
        assert voxels(Path("a.zarr")).dtype == np.uint16
        np.testing.assert_array_equal(voxels(Path("a.zarr")), voxels(Path("b.zarr")))


class TestKills:
    def start(self, given, folder, *arguments) -> subprocess.Popen:
        command = [
            sys.executable,
            "-m",
            "medgan",
            "translate",
            str(given / "raw.zarr"),
            "--model",
            str(given / "model"),
        ]
        return subprocess.Popen(
            [*command, "--out", "out.zarr", "--block", "64,64,64", "--device", "cpu", *arguments],
            cwd=folder,
            env=ENVIRONMENT,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def until(self, condition, process=None) -> None:
        deadline = time.monotonic() + 120
        while not condition() and time.monotonic() < deadline:
            assert process is None or process.poll() is None, "it was too fast to be killed"
            time.sleep(0.002)
        assert condition()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_killed_it_goes_on_to_the_same_bits(self, translate, given, workers):
        process = self.start(given, Path.cwd(), "--workers", str(workers))
        manifest = BlockManifest(Path("out.zarr.manifest"))
        blocks = [f"{z}-{y}-{x}" for z in (0, 1) for y in (0, 1) for x in (0, 1)]
        self.until(lambda: manifest.done_keys() & set(blocks), process)
        process.kill()
        process.wait()
        assert Path("out.zarr.partial").is_dir()
        assert not Path("out.zarr").exists()
        time.sleep(1.5)  # workers that lost the call that started them end within a second
        done = len(manifest.done_keys() & set(blocks))
        assert 1 <= done <= 8, "workers may end what is left before they notice that the call is gone"
        outcome = translate("--json", *ONE)
        assert outcome.code == 0, outcome.err
        assert outcome.json["translated"] == 8 - done, "what was finished is not done again, and the block size is kept"
        assert_complete(given)

    def test_a_worker_that_is_killed_is_replaced_and_its_block_done_again(self, translate, given, monkeypatch):
        listen, killed = out_of_core_workers._listen, []

        def murderous(worker, tell):
            def told(event):
                tell(event)
                # Whichever is the first to begin: the other may have done everything before a given one is ready.
                if event.kind == "begun" and not killed:
                    killed.append(worker.process.pid)
                    os.kill(worker.process.pid, signal.SIGKILL)
                    worker.process.join()

            listen(worker, told)

        monkeypatch.setattr(out_of_core_workers, "_listen", murderous)
        outcome = translate("--block", "64,64,64", "--workers", "2", "--device", "cpu", "--json")
        assert outcome.code == 0, outcome.err
        (sentence,) = outcome.json["events"]
        assert sentence.startswith("A worker was ended from outside ")
        assert "SIGKILL" in sentence
        assert_complete(given)

    def test_killed_while_it_prepared_or_completed(self, translate, given, monkeypatch):
        class KilledError(BaseException):
            pass

        def killed(*arguments, **options):
            raise KilledError

        for name in ("create_ome_zarr", "reopen_ome_zarr"):
            with monkeypatch.context() as patch:
                patch.setattr(out_of_core_store, name, killed)
                with pytest.raises(KilledError):
                    translate("--block", "64,64,64", *ONE)
        with monkeypatch.context() as patch:
            # All has its name, and only the manifest is still there.
            patch.setattr(BlockManifest, "remove", killed)
            with pytest.raises(KilledError):
                translate(*ONE)
        assert Path("out.zarr.manifest").is_dir()
        outcome = translate("--json", *ONE)
        assert outcome.code == 0
        assert outcome.json["translated"] == 0
        assert_complete(given)

    def test_the_claim_of_a_dead_preparation_is_taken_over(self, translate, given):
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            pass
        dead = {"run": "x", "owner": {**Owner.this_process().as_dict(), "pid": process.pid}}
        (_begun(given) / CLAIMS / "prepared.1").write_text(json.dumps(dead))
        assert translate(*ONE).code == 0
        assert_complete(given)


def _begun(given: Path) -> Path:
    """Make the manifest of a run that has not prepared anything yet, and half a store."""
    from medgan.commands.out_of_core_store import BlockStore
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.contrast_translation import ContrastTranslator

    translator = ContrastTranslator(ModelBundle.load(given / "model"))
    store = BlockStore(
        open_chunked(given / "raw.zarr"), translator, Path("out.zarr").resolve(), (64, 64, 64), "cpu", "float32"
    )
    manifest, _ = store.opened()
    store.partial.mkdir()
    return manifest.folder


class TestFailures:
    def test_a_damaged_chunk_is_named_and_the_rest_is_kept(self, translate, given, tmp_path):
        shutil.copytree(given / "raw.zarr", tmp_path / "raw.zarr")
        before = damage(tmp_path / "raw.zarr")
        outcome = translate("--block", "64,64,64", "--json", *ONE, source=tmp_path / "raw.zarr")
        assert outcome.code == 3
        facts = outcome.json
        # Gray values are matched by section, and the upper chunk spoils the upper sections; the lower blocks see the
        # two sections above them.
        assert (facts["blocks_done"], len(facts["failed"])) == (0, 8)
        assert all("0/c/1/1/0 is damaged" in each["reason"] for each in facts["failed"])
        assert not Path("out.zarr").exists()
        assert Path("out.zarr.partial").is_dir()
        (tmp_path / "raw.zarr" / "0/c/1/1/0").write_bytes(before)
        outcome = translate("--json", *ONE, source=tmp_path / "raw.zarr")
        assert outcome.code == 0, outcome.err
        assert_complete(given)

    def test_without_matching_only_blocks_that_see_the_chunk_fail(self, medgan, tmp_path):
        write_stack(tmp_path / "long.zarr", shape=(200, 64, 60))
        model = write_contrast_model(tmp_path / "plain", matching="none", reference_counts=None, tile=[16, 16, 16])
        expected = whole(model, tmp_path / "long.zarr")
        before = damage(tmp_path / "long.zarr", "0/c/0/0/3")
        command = ("translate", tmp_path / "long.zarr", "--model", model, "--out", "out.zarr")
        outcome = medgan(*command, "--block", "64,64,64", *ONE)
        assert outcome.code == 3
        lines = outcome.out.splitlines()
        assert lines[0].startswith("2 of 4 blocks done, 2 of them now at ")
        # The third block sees the damaged chunk with its halo.
        spans = ["0-0-2 (voxels 0-60, 0-64, 128-192 along z, y, x)", "0-0-3 (voxels 0-60, 0-64, 192-200 along z, y, x)"]
        for line, span in zip(lines[1:], spans):
            assert line.startswith(f"failed: block {span}: long.zarr: the chunk 0/c/0/0/3 is damaged")
        assert lines[3:] == ["What is done is kept: the same command does the missing blocks only.", "out.zarr.partial"]
        assert str(tmp_path) not in outcome.out + outcome.err
        assert outcome.err.count("block 0-0-2 ") == 3, "a block is begun three times"
        (tmp_path / "long.zarr" / "0/c/0/0/3").write_bytes(before)
        outcome = medgan(*command, "--json", *ONE)
        assert outcome.code == 0
        assert outcome.json["translated"] == 2
        np.testing.assert_array_equal(voxels(Path("out.zarr")), expected)

    def test_a_full_disk_keeps_what_is_done(self, translate, given, monkeypatch):
        put, count = ome_zarr_write.OmeZarrOutput.write, []

        def full(output, box, array):
            count.append(box)
            if len(count) > 3:
                array = _Unwritable(array)
            put(output, box, array)

        class _Unwritable(np.ndarray):
            def __new__(cls, array):
                return array.view(cls)

            def transpose(self, *axes):
                raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(ome_zarr_write.OmeZarrOutput, "write", full)
            outcome = translate("--block", "64,64,64", *ONE)
        assert outcome.code == 3
        assert len(count) == 6, "three that are written, and three refusals in a row"
        assert "3 of 8 blocks done" in outcome.out
        assert outcome.out.count("out.zarr cannot be written: the disk is full: free some space") >= 1
        assert "Not begun: " in outcome.out
        outcome = translate("--json", *ONE)
        assert outcome.code == 0
        assert outcome.json["translated"] == 5
        assert_complete(given)

    def test_a_block_that_fails_once_is_tried_again(self, translate, given, monkeypatch):
        real, failures = WrittenBlocks.__call__, []

        def shaky(blocks, key):
            if key == "1-0-1" and len(failures) < 2:
                failures.append(key)
                raise RuntimeError("now and then")
            return real(blocks, key)

        monkeypatch.setattr(WrittenBlocks, "__call__", shaky)
        outcome = translate("--block", "64,64,64", *ONE)
        assert outcome.code == 0
        assert outcome.err.count("Internal failure (RuntimeError)") == 2
        assert_complete(given)


class TestRestarts:
    @pytest.fixture
    def begun(self, translate, monkeypatch):
        """One block of eight is done."""
        real, done = WrittenBlocks.__call__, []

        def one(blocks, key):
            if done:
                raise KeyboardInterrupt
            done.append(key)
            return real(blocks, key)

        with monkeypatch.context() as patch:
            patch.setattr(WrittenBlocks, "__call__", one)
            assert translate("--block", "64,64,64", *ONE).code == 130
        assert BlockManifest(Path("out.zarr.manifest")).done_keys() == {"prepared", "0-0-0"}

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"model": "other"}, "weights_sha256 was"),
            ({"arguments": ("--precision", "bfloat16")}, "precision was 'float32', now 'bfloat16'"),
            ({"arguments": ("--block", "128,64,64")}, "block_zyx was [64, 64, 64], now [128, 64, 64]"),
            ({"source": "longer.zarr"}, "shape_zyx was [90, 70, 100], now [96, 70, 100]"),
        ],
    )
    def test_another_model_setting_or_source_is_refused(self, translate, given, begun, change, words):
        if not (given / "longer.zarr").exists():
            write_stack(given / "longer.zarr", shape=(100, 70, 96))
        outcome = translate(*ONE, *change.get("arguments", ()), **{k: v for k, v in change.items() if k != "arguments"})
        assert outcome.code == 2
        assert outcome.err.startswith("medgan: out.zarr.manifest was begun with other settings: ")
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert translate(*ONE).code == 0
        assert_complete(given)

    def test_a_foreign_manifest_is_refused(self, translate, given):
        folder = Path("out.zarr.manifest")
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        outcome = translate(*ONE)
        assert outcome.code == 2
        assert "out.zarr.manifest is no manifest of blocks" in outcome.err
        assert (folder / "notes.txt").read_text() == "mine"

    def test_a_partial_store_of_another_run_is_refused(self, translate):
        Path("out.zarr.partial").mkdir()
        outcome = translate(*ONE)
        assert outcome.code == 2
        assert "out.zarr.partial exists without out.zarr.manifest" in outcome.err

    def test_a_complete_one_is_kept_and_another_is_never_replaced_unasked(self, translate, given):
        assert translate(*ONE).code == 0
        before = Path("out.zarr/zarr.json").stat().st_mtime_ns
        outcome = translate(*ONE)
        assert outcome.code == 0
        assert "complete already" in outcome.out
        assert Path("out.zarr/zarr.json").stat().st_mtime_ns == before
        outcome = translate(*ONE, model="other")
        assert outcome.code == 2
        assert "never replaced unasked: out.zarr exists" in outcome.err
        assert translate(*ONE, "--overwrite", model="other").code == 0
        assert not np.array_equal(voxels(Path("out.zarr")), np.load(given / "expected.npy"))
        assert translate(*ONE, "--overwrite").code == 0
        assert_complete(given)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--workers", "2", "--shard", "1/2"), "--workers and --shard exclude each other"),
            (("--shard", "1/2", "--scheduler", "tcp://a:1"), "--shard and --scheduler exclude each other"),
            (("--shard", "3/2"), "--shard 3/2 does not exist: of n shards they are 1/n to n/n"),
            (("--shard", "0/2"), "--shard 0/2 does not exist"),
            (("--shard", "1/0"), "--shard 1/0 does not exist"),
            (("--shard", "a"), "--shard needs i/n, such as 1/8"),
            (("--scheduler", "a b"), "--scheduler needs an address"),
            (("--block", "1,2"), "--block needs three positive whole numbers"),
            (("--voxel-size", "40,4,4"), "the voxel size must be one"),
            (("--modality", "mr"), "--modality belongs to an image or a cohort: raw.zarr is a stack"),
            (("--member", "x"), "--member belongs to an image or a cohort"),
        ],
    )
    def test_options(self, translate, arguments, words):
        outcome = translate(*arguments)
        assert outcome.code == 2
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert list(Path().iterdir()) == []

    def test_model_and_output_are_needed(self, medgan, given):
        assert "needs a model of the task em_contrast" in medgan("translate", given / "raw.zarr", "--out", "o.zarr").err
        named = ("translate", given / "raw.zarr", "--model", given / "model")
        assert "name it by --out" in medgan(*named).err
        assert "needs a name that ends in .zarr" in medgan(*named, "--out", "o.tif").err
        wrong = medgan("translate", given / "raw.zarr", "--model", "phantom-mr-to-ct", "--out", "o.zarr")
        assert "A model for em_contrast is needed: phantom-mr-to-ct is for translation" in wrong.err
        assert list(Path().iterdir()) == []

    def test_stacks_that_do_not_fit(self, translate, tmp_path):
        write_stack(tmp_path / "coarse.zarr", nm=14)
        write_stack(tmp_path / "thin.zarr", shape=(20, 20, 4))
        assert "trained on voxels of 10 x 10 x 10 nm (z, y, x): coarse.zarr has 14 x 14 x 14 nm" in (
            translate(source=tmp_path / "coarse.zarr").err
        )
        assert "thin.zarr is smaller than the network's field of view: z has 4, needs 5" in (
            translate(source=tmp_path / "thin.zarr").err
        )
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize("matching", ["sections", "none"])
    def test_an_all_zero_source(self, medgan, tmp_path, matching):
        counts = None if matching == "none" else [0, *[1] * 255]
        write_contrast_model(tmp_path / "m", matching=matching, reference_counts=counts)
        zarr.create_array(str(tmp_path / "zero.zarr"), shape=(30, 30, 30), dtype="uint8", chunks=(30, 30, 30))
        command = ("translate", tmp_path / "zero.zarr", "--model", tmp_path / "m", "--voxel-size", "10,10,10")
        outcome = medgan(*command, "--out", "o.zarr", "--quiet", *ONE)
        assert outcome.code == 2
        assert "is all zero: there is nothing to work on" in outcome.err
        assert len(outcome.err.splitlines()) == 1
        assert list(Path().iterdir()) == []

    def test_gray_values_of_a_damaged_volume_matched_as_a_whole(self, medgan, given, tmp_path):
        shutil.copytree(given / "raw.zarr", tmp_path / "raw.zarr")
        damage(tmp_path / "raw.zarr")
        write_contrast_model(tmp_path / "m", matching="volume")
        outcome = medgan("translate", tmp_path / "raw.zarr", "--model", tmp_path / "m", "--out", "o.zarr", "-q", *ONE)
        assert outcome.code == 2
        assert "0/c/1/1/0 is damaged" in outcome.err
        assert list(Path().iterdir()) == []

    @pytest.mark.parametrize("out", ["raw.zarr", "raw.zarr/0.zarr", "raw.zarr/c/out.zarr"])
    def test_an_output_in_the_input(self, translate, given, tmp_path, out):
        shutil.copytree(given / "raw.zarr", tmp_path / "raw.zarr")
        for source in ("raw.zarr", "raw.zarr:/0"):
            outcome = translate("--overwrite", source=tmp_path / source, out=tmp_path / out)
            assert outcome.code == 2
            assert "overlaps the input raw.zarr" in outcome.err
        assert_same_files(given / "raw.zarr", tmp_path / "raw.zarr")

    def test_an_input_in_the_output(self, translate, given, tmp_path):
        (tmp_path / "box.zarr").mkdir()
        shutil.copytree(given / "raw.zarr", tmp_path / "box.zarr" / "raw.zarr")
        (tmp_path / "link.zarr").symlink_to(tmp_path / "box.zarr")
        for out in ("box.zarr", "link.zarr"):
            outcome = translate("--overwrite", source=tmp_path / "box.zarr" / "raw.zarr", out=tmp_path / out)
            assert outcome.code == 2
            assert "overlaps the input" in outcome.err

    def test_a_block_of_half_chunks_is_rounded_up_and_said(self, translate, given):
        outcome = translate("--block", "50,65,64", *ONE, "--json")
        assert outcome.code == 0
        assert "--block 50,65,64 is taken as 64,128,64: whole chunks of the output" in outcome.err
        assert outcome.json["block_zyx"] == [64, 128, 64]
        assert_complete(given)

    def test_several_processes_on_an_accelerator(self):
        assert Hands.asked(workers=1).processes("cuda", 4) == 1
        assert Hands.asked().processes("cuda", 4) == 1
        assert Hands.asked().processes("cpu", 4) == 4
        with pytest.raises(SettingsError, match="Several processes share a CPU, not cuda"):
            Hands.asked(workers=2).processes("cuda", 4)


def assert_same_files(one: Path, two: Path) -> None:
    names = [sorted(str(p.relative_to(root)) for p in root.rglob("*")) for root in (one, two)]
    assert names[0] == names[1]


def test_tasks_of_one_slurm_array_share_their_tries(monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    assert Hands.asked(shard="1/4").rules().run == Hands.asked(shard="2/4").rules().run == "slurm-17-0"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert Hands.asked(shard="1/4").rules().run == "slurm-17-1"
    assert not Hands.asked(workers=2).rules().run.startswith("slurm")
    assert not Hands.asked(shard="1/4").rules().waits


def test_a_shard_leaves_to_others_what_they_do(translate, given):
    folder = _begun(given)
    shutil.rmtree("out.zarr.partial")
    # This process lives, and works on a block.
    BlockManifest(folder).claim("0-0-1", run="elsewhere")
    outcome = translate("--shard", "1/2", "--block", "64,64,64")
    assert outcome.code == 0
    assert "7 of 8 blocks done" in outcome.out
    assert "Others work on 1 more; whoever is last completes the store." in outcome.out
    assert not Path("out.zarr").exists()


def test_a_worker_s_work_can_be_sent_to_it(given):
    import pickle

    from medgan.inference.block_grid import BlockGrid

    source = open_chunked(given / "raw.zarr")
    work = BlockTranslation(source, "model", Path("out.zarr"), Path("m"), BlockGrid(source.grid.shape, (64, 64, 64)))
    sent = pickle.loads(pickle.dumps(work))
    assert sent.blocks == work.blocks
    assert sent.source.grid.same_as(source.grid)
    assert len(pickle.dumps(work)) < 20_000
