"""Blocks are claimed by one, finished in one step, and taken over from the dead."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from medgan.errors import FormatError, OutputError
from medgan.inference import block_manifest, block_work
from medgan.inference.block_manifest import CLAIMS, DONE, HEADER, BlockManifest
from medgan.inference.block_owner import Owner
from medgan.inference.block_work import Event, Rules, attempted, order_of, take

FACTS = {"model": "m", "block_zyx": [64, 64, 64]}


@pytest.fixture
def manifest(tmp_path) -> BlockManifest:
    return BlockManifest.opened(tmp_path / "out.manifest", FACTS)


def dead_owner() -> dict[str, object]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {**Owner.this_process().as_dict(), "pid": process.pid}


def plant(
    manifest: BlockManifest, name: str, owner: dict[str, object], *, run: str = "other", age_s: float = 0
) -> Path:
    path = manifest.folder / CLAIMS / name
    path.write_text(json.dumps({"run": run, "owner": owner}))
    os.utime(path, (time.time() - age_s,) * 2)
    return path


class TestClaims:
    def test_one_of_two_gets_a_block(self, manifest):
        claim = manifest.claim("0-0-0", run="a")
        assert claim is not None
        assert manifest.claim("0-0-0", run="b") is None
        assert manifest.state("0-0-0", run="b") == "running"
        assert manifest.claim("0-0-1", run="b") is not None

    def test_finished_is_finished_for_all(self, manifest):
        claim = manifest.claim("0-0-0", run="a")
        claim.finish({"voxels": 5})
        assert manifest.state("0-0-0", run="b") == "done"
        assert manifest.claim("0-0-0", run="b") is None
        assert manifest.done_keys() == {"0-0-0"}
        assert manifest.done_facts("0-0-0") == {"run": "a", "voxels": 5}
        assert os.listdir(manifest.folder / CLAIMS) == []
        manifest.forget("0-0-0")
        assert manifest.claim("0-0-0", run="b") is not None

    def test_failed_is_tried_again_so_often_in_a_run_and_anew_in_another(self, manifest):
        for number in range(3):
            assert manifest.state("0-0-0", run="a") == "pending"
            manifest.claim("0-0-0", run="a").fail(f"reason {number}")
        assert manifest.claim("0-0-0", run="a") is None
        assert manifest.state("0-0-0", run="a") == "failed"
        assert manifest.failure("0-0-0") == "reason 2"
        assert manifest.state("0-0-0", run="b") == "pending"
        assert manifest.claim("0-0-0", run="b", tries=1) is not None

    def test_released_is_as_if_never_begun(self, manifest):
        manifest.claim("0-0-0", run="a").release()
        assert manifest.state("0-0-0", run="a", tries=1) == "pending"
        assert manifest.failure("0-0-0") is None

    def test_the_dead_are_taken_over_at_once_on_their_machine(self, manifest):
        plant(manifest, "0-0-0.1", dead_owner())
        assert manifest.state("0-0-0", run="a") == "pending"
        assert "ended from outside" in manifest.failure("0-0-0")
        claim = manifest.claim("0-0-0", run="a")
        assert claim.path.name == "0-0-0.2"
        claim.finish({})
        assert os.listdir(manifest.folder / CLAIMS) == []

    def test_a_number_given_to_a_later_process_is_not_the_owner(self, manifest):
        plant(manifest, "0-0-0.1", {**Owner.this_process().as_dict(), "started": "1"})
        assert manifest.claim("0-0-0", run="a") is not None
        plant(manifest, "0-0-1.1", Owner.this_process().as_dict(), age_s=10_000)
        assert manifest.claim("0-0-1", run="a") is None, "a living process keeps its block however long it takes"

    def test_another_machine_s_claim_lasts_as_long_as_its_lease(self, manifest):
        there = {**Owner.this_process().as_dict(), "host": "elsewhere"}
        plant(manifest, "0-0-0.1", there, age_s=block_manifest.LEASE_S - 30)
        plant(manifest, "0-0-1.1", there, age_s=block_manifest.LEASE_S + 30)
        assert manifest.claim("0-0-0", run="a") is None
        assert manifest.claim("0-0-1", run="a") is not None

    def test_a_claim_is_renewed_while_its_block_is_worked_on(self, manifest):
        claim = manifest.claim("0-0-0", run="a")
        os.utime(claim.path, (1.0, 1.0))
        with claim.renewed(every_s=0.01):
            time.sleep(0.2)
        assert claim.path.stat().st_mtime > 1e9

    @pytest.mark.parametrize(("age_s", "state"), [(0, "running"), (1000, "pending")])
    def test_half_a_claim_counts_for_the_lease(self, manifest, age_s, state):
        path = plant(manifest, "0-0-0.1", {})
        path.write_text('{"run": "a", "ow')
        os.utime(path, (time.time() - age_s,) * 2)
        assert manifest.state("0-0-0", run="a") == state

    def test_of_many_processes_one_gets_each_block(self, manifest):
        program = (
            "import sys; from pathlib import Path; from medgan.inference.block_manifest import BlockManifest\n"
            "manifest = BlockManifest(Path(sys.argv[1])); input()\n"
            "print(*(key for key in map(str, range(60)) if manifest.claim(key, run='r') is not None)); input()"
        )
        command = [sys.executable, "-c", program, str(manifest.folder)]
        workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in "abc"]
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        # All live until the last has looked, or it would take over what the first ones claimed.
        taken = [key for worker in workers for key in worker.stdout.readline().split()]
        for worker in workers:
            worker.communicate("end\n", timeout=60)
        assert sorted(taken) == sorted(map(str, range(60)))

    def test_a_full_disk_leaves_no_claim(self, manifest, monkeypatch):
        def full(descriptor, *rest, **options):
            os.close(descriptor)
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(block_manifest.os, "fdopen", full)
        with pytest.raises(OutputError, match=r"out\.manifest cannot be written: the disk is full"):
            manifest.claim("0-0-0", run="a")
        assert os.listdir(manifest.folder / CLAIMS) == []


class TestHeader:
    def test_the_same_facts_open_it_again(self, manifest):
        manifest.claim("0-0-0", run="a").finish({})
        again = BlockManifest.opened(manifest.folder, FACTS)
        assert again.done_keys() == {"0-0-0"}
        assert [path.name for path in manifest.folder.parent.iterdir()] == ["out.manifest"]

    def test_other_facts_are_refused_each_by_name(self, manifest):
        with pytest.raises(OutputError) as caught:
            BlockManifest.opened(manifest.folder, {"model": "n", "precision": "float32"})
        text = str(caught.value)
        assert "out.manifest was begun with other settings" in text
        assert "model was 'm', now 'n'" in text
        assert "precision was None, now 'float32'" in text
        assert "block_zyx was [64, 64, 64], now None" in text
        assert str(manifest.folder.parent) not in text

    @pytest.mark.parametrize("content", [None, "{", "[]", '{"format": 99, "facts": {}}', '{"facts": {}}'])
    def test_foreign_ones_are_refused(self, tmp_path, content):
        folder = tmp_path / "out.manifest"
        folder.mkdir()
        if content is not None:
            (folder / HEADER).write_text(content)
        with pytest.raises(OutputError, match=r"out\.manifest is no manifest of blocks that this version"):
            BlockManifest.opened(folder, FACTS)

    def test_no_place_for_it(self, tmp_path):
        with pytest.raises(OutputError, match="its folder does not exist"):
            BlockManifest.opened(tmp_path / "nowhere" / "out.manifest", FACTS)

    def test_two_may_make_it_at_once(self, manifest, monkeypatch):
        monkeypatch.setattr(Path, "exists", lambda path: False)
        with pytest.raises(OutputError, match="cannot be written"):
            block_manifest._made(manifest.folder, FACTS)
        monkeypatch.undo()
        block_manifest._made(manifest.folder, {"model": "later"})
        assert manifest.facts == FACTS
        assert [path.name for path in manifest.folder.parent.iterdir()] == ["out.manifest"]

    def test_removed_it_is_gone_whole_and_asks_for_nothing(self, manifest):
        claim = manifest.claim("0-0-0", run="a")
        manifest.remove()
        manifest.remove()
        assert list(manifest.folder.parent.iterdir()) == []
        assert not manifest.is_there
        assert manifest.claim("0-0-1", run="a") is None
        assert manifest.done_keys() == set()
        with pytest.raises(OutputError):
            claim.finish({})

    def test_a_damaged_record_is_named(self, manifest):
        (manifest.folder / DONE / "0-0-0").write_text("{")
        with pytest.raises(OutputError, match="no sound record that 0-0-0 is done"):
            manifest.done_facts("0-0-0")


class TestOwner:
    def test_alive_dead_and_elsewhere(self):
        assert Owner.this_process().is_alive() is True
        assert Owner.read(dead_owner()).is_alive() is False
        assert replace(Owner.this_process(), host="elsewhere").is_alive() is None

    def test_a_dead_child_that_nobody_waited_for_is_dead(self):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        owner = replace(Owner.this_process(), pid=process.pid, started=_started(process.pid))
        assert owner.is_alive() is True
        process.kill()
        deadline = time.monotonic() + 10
        while owner.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert owner.is_alive() is False
        process.stdin.close()
        process.wait()


def _started(pid: int) -> str:
    return re.split(r"\) ", Path(f"/proc/{pid}/stat").read_text())[1].split()[19]


class TestWork:
    def rules(self, **changes) -> Rules:
        return Rules(**{"run": "r", "tries": 3, "waits": False, **changes})

    def test_all_that_nobody_does_is_done_and_failures_come_again_at_the_end(self, manifest):
        seen, events = [], []
        busy = manifest.claim("c", run="other")

        def do(key):
            seen.append(key)
            if key == "a" and seen.count("a") < 3:
                raise FormatError("not yet")
            return {"voxels": 1}

        take(manifest, ["a", "b", "c", "d"], do, rules=self.rules(), tell=events.append)
        assert seen == ["a", "b", "d", "a", "a"]
        assert manifest.done_keys() == {"a", "b", "d"}
        assert manifest.state("c", run="r") == "running"
        assert [event.kind for event in events if event.key == "a"] == ["begun", "failed"] * 2 + ["begun", "done"]
        busy.release()

    def test_one_that_always_fails_stops_nothing(self, manifest):
        def do(key):
            if key == "a":
                raise RuntimeError("secret path")
            return {}

        take(manifest, ["a", "b"], do, rules=self.rules(), tell=lambda event: None)
        assert manifest.state("a", run="r") == "failed"
        assert manifest.failure("a") == "Internal failure (RuntimeError); please report it."
        assert manifest.is_done("b")

    def test_a_full_disk_stops_a_worker_after_three_in_a_row(self, manifest):
        events: list[Event] = []

        def do(key):
            raise OutputError("the disk is full")

        take(manifest, [f"{n}" for n in range(20)], do, rules=self.rules(), tell=events.append)
        assert [event.key for event in events if event.kind == "begun"] == ["0", "1", "2"]
        assert events[-1].kind == "stopped"
        assert events[-1].reason == "the disk is full"
        assert manifest.state("7", run="r") == "pending"

    def test_a_worker_waits_for_what_others_do_and_takes_it_over(self, manifest, monkeypatch):
        other = manifest.claim("a", run="other")
        naps = []

        def nap(seconds):
            naps.append(seconds)
            other.path.write_text(json.dumps({"run": "other", "owner": dead_owner()}))

        monkeypatch.setattr(block_work.time, "sleep", nap)
        take(manifest, ["a"], lambda key: {}, rules=self.rules(waits=True), tell=lambda event: None)
        assert naps == [block_work.POLL_S]
        assert manifest.is_done("a")

    def test_out_of_memory_is_said(self, manifest):
        def do(key):
            raise MemoryError

        event = attempted(manifest.claim("a", run="r"), do, lambda event: None)
        assert "not enough memory: use fewer --workers" in event.reason

    def test_an_interrupted_block_is_given_back(self, manifest):
        def do(key):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            attempted(manifest.claim("a", run="r"), do, lambda event: None)
        assert os.listdir(manifest.folder / CLAIMS) == []

    def test_the_order_begins_with_the_own_share(self):
        assert order_of("abcdefg", 3, 3) == ["c", "f", "a", "b", "d", "e", "g"]
        assert order_of("ab", 1, 1) == ["a", "b"]
