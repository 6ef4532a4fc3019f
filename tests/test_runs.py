"""A run folder appears whole, is continued by its own configuration only, and says nothing of who ran it."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from pathlib import Path

import pytest

from medgan import runs
from medgan.errors import OutputError
from medgan.runs import Run, machine

CONFIG = "seed: 1\nname: ü\r\n"


def opened(folder: Path, config: str = CONFIG, manifest: str = "ab", **environment: object) -> Run:
    return Run.opened(folder, config_text=config, manifest_digest=manifest, environment=environment)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class TestOpened:
    def test_a_new_folder_holds_everything(self, tmp_path):
        run = opened(tmp_path / "runs" / "limb", device="cpu", threads=2)
        assert sorted(contents(run.folder)) == ["config.yaml", "environment.json", "manifest_lock.json", "status.json"]
        assert (run.folder / "config.yaml").read_bytes() == CONFIG.encode()
        assert (run.environment["device"], run.environment["threads"]) == ("cpu", 2)
        assert run.manifest_digest == "ab"
        assert run.status == {"status": "started"}
        assert os.listdir(tmp_path / "runs") == ["limb"], "the temporary folder is gone"

    def test_the_same_configuration_continues_and_keeps_what_it_began_with(self, tmp_path):
        first = opened(tmp_path / "limb", threads=2)
        first.set_status("training", step=7)
        (first.part("checkpoints") / "step_7.pt").write_bytes(b"weights")
        before = contents(first.folder)
        again = opened(tmp_path / "limb", threads=8)
        assert again == first
        assert contents(again.folder) == before
        assert again.environment["threads"] == 2
        assert again.status == {"status": "training", "step": 7}

    @pytest.mark.parametrize("config", ["seed: 2\n", CONFIG + "\n", CONFIG.replace("\r\n", "\n"), ""])
    def test_another_configuration_is_refused(self, tmp_path, config):
        before = contents(opened(tmp_path / "limb").folder)
        with pytest.raises(OutputError, match=r"Run limb was started with another configuration \(see its config.yaml"):
            opened(tmp_path / "limb", config)
        assert contents(tmp_path / "limb") == before

    def test_another_manifest_is_refused(self, tmp_path):
        opened(tmp_path / "limb")
        with pytest.raises(OutputError, match="Run limb was started with another manifest: choose another folder"):
            opened(tmp_path / "limb", manifest="cd")

    @pytest.mark.parametrize("content", [None, "config.yaml", "manifest_lock.json", "letter.txt"])
    def test_what_is_no_run_folder_is_refused_and_left_alone(self, tmp_path, content):
        folder = tmp_path / "mine"
        folder.mkdir()
        if content is not None:
            (folder / content).write_text(CONFIG)
        before = contents(folder)
        with pytest.raises(OutputError, match="mine exists and is no run folder: choose another with --out") as caught:
            opened(folder)
        assert contents(folder) == before
        assert str(tmp_path) not in str(caught.value)

    def test_a_file_in_its_place_is_refused(self, tmp_path):
        (tmp_path / "mine").write_text("a letter")
        with pytest.raises(OutputError, match="mine exists and is no run folder"):
            opened(tmp_path / "mine")
        assert (tmp_path / "mine").read_text() == "a letter"

    @pytest.mark.parametrize("text", ["{", "[]", "{}"])
    def test_a_damaged_lock_is_refused(self, tmp_path, text):
        (opened(tmp_path / "limb").folder / "manifest_lock.json").write_text(text)
        with pytest.raises(OutputError, match=r"Run limb has a damaged manifest_lock.json"):
            opened(tmp_path / "limb")

    def test_a_start_that_fails_leaves_nothing(self, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(runs, "machine", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                opened(tmp_path / "limb")
        assert os.listdir(tmp_path) == []
        opened(tmp_path / "limb")

    def test_a_start_that_loses_a_race_is_refused(self, tmp_path, monkeypatch):
        real = runs.machine

        def other_starts_meanwhile():
            with monkeypatch.context() as patch:
                patch.setattr(runs, "machine", real)
                opened(tmp_path / "limb", "seed: 2\n")
            return real()

        monkeypatch.setattr(runs, "machine", other_starts_meanwhile)
        with pytest.raises(OutputError, match="Run folder limb cannot be made: "):
            opened(tmp_path / "limb")
        assert os.listdir(tmp_path) == ["limb"]
        assert (tmp_path / "limb" / "config.yaml").read_text() == "seed: 2\n"


class TestStatus:
    def test_the_last_one_counts(self, tmp_path):
        run = opened(tmp_path / "limb")
        run.set_status("training", step=1)
        run.set_status("stopped", reason="ü")
        assert run.status == {"status": "stopped", "reason": "ü"}
        assert len(contents(run.folder)) == 4

    def test_a_killed_write_leaves_the_status_before(self, tmp_path, monkeypatch):
        run = opened(tmp_path / "limb")
        run.set_status("training", step=1)

        def killed(self, target):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                run.set_status("training", step=2)
        assert run.status == {"status": "training", "step": 1}
        run.set_status("training", step=3)
        assert run.status["step"] == 3


def test_a_part_is_made_once(tmp_path):
    run = opened(tmp_path / "limb")
    assert run.part("previews") == run.part("previews") == run.folder / "previews"
    assert (run.folder / "previews").is_dir()


def test_the_machine_is_described_without_host_or_user(tmp_path):
    found = machine()
    assert set(found) == {"processor", "cores", "system", "python", "versions"}
    assert found["cores"] == os.cpu_count()
    assert found["processor"]
    assert found["versions"]["numpy"][0].isdigit()
    text = json.dumps(opened(tmp_path / "limb").environment)
    private = {
        socket.gethostname(),
        os.uname().nodename,
        getpass.getuser(),
        str(Path.home()),
        os.getcwd(),
        str(tmp_path),
    }
    assert not [word for word in private if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)]
