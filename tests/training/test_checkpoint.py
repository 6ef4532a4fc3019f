"""Checkpoints: whole or not at all, refused when damaged, pruned by rule."""

from __future__ import annotations

import os

import pytest
import torch

from medgan.errors import TrainingError
from medgan.training import checkpoint


def state_of(value: float) -> dict:
    return {"step": 3, "weights": {"a": torch.full((2, 3), value)}, "pool": [torch.zeros(1)], "name": "x"}


def test_what_was_saved_is_loaded(tmp_path):
    path = checkpoint.save(tmp_path / "new", 812, state_of(1.5))
    assert path.name == "step_000812.pt"
    loaded = checkpoint.load(path)
    assert loaded["step"] == 3
    assert loaded["name"] == "x"
    assert torch.equal(loaded["weights"]["a"], torch.full((2, 3), 1.5))
    assert [file.name for file in path.parent.iterdir()] == ["step_000812.pt"]


def test_a_channels_last_tensor_keeps_its_layout(tmp_path):
    tensor = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    loaded = checkpoint.load(checkpoint.save(tmp_path, 1, {"a": tensor}))["a"]
    assert loaded.stride() == tensor.stride()


def test_latest_is_that_of_the_highest_step_and_ignores_other_files(tmp_path):
    assert checkpoint.latest(tmp_path / "absent") is None
    assert checkpoint.latest(tmp_path) is None
    for step in (5, 1_000_000, 20):
        checkpoint.save(tmp_path, step, state_of(step))
    (tmp_path / ".step_9000000.pt.77.tmp").write_bytes(b"half")
    (tmp_path / "step_9000000.pt.old").write_bytes(b"other")
    assert checkpoint.latest(tmp_path).name == "step_1000000.pt"
    assert checkpoint.saved_steps(tmp_path) == (5, 20, 1_000_000)


@pytest.mark.parametrize("position", [0, 25, 60, -10])
def test_a_flipped_bit_is_refused_by_name(tmp_path, position):
    path = checkpoint.save(tmp_path, 7, state_of(1.0))
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"step_000007\.pt") as refused:
        checkpoint.load(path)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("length", [0, 10, 40, 200])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = checkpoint.save(tmp_path, 7, state_of(1.0))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(TrainingError, match=r"step_000007\.pt"):
        checkpoint.load(path)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("should_not_exist",)


def test_a_checkpoint_cannot_run_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = checkpoint.save(tmp_path, 1, {"a": Harmful()})
    with pytest.raises(TrainingError, match=r"step_000001\.pt holds something else"):
        checkpoint.load(path)
    assert not (tmp_path / "should_not_exist").exists()


def test_a_crash_while_writing_leaves_the_earlier_file_and_no_rest(tmp_path, monkeypatch):
    path = checkpoint.save(tmp_path, 1, state_of(1.0))

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        checkpoint.save(tmp_path, 1, state_of(2.0))
    monkeypatch.undo()
    assert float(checkpoint.load(path)["weights"]["a"].max()) == 1.0
    assert [file.name for file in tmp_path.iterdir()] == ["step_000001.pt"]


def test_pruning_keeps_the_newest_and_every_kth(tmp_path):
    for step in range(10, 110, 10):
        checkpoint.save(tmp_path, step, state_of(step))
    checkpoint.prune(tmp_path, keep_last=2, keep_every=40)
    assert checkpoint.saved_steps(tmp_path) == (40, 80, 90, 100)
    checkpoint.prune(tmp_path, keep_last=1)
    assert checkpoint.saved_steps(tmp_path) == (100,)
    with pytest.raises(TrainingError, match="keep_last = 0"):
        checkpoint.prune(tmp_path, keep_last=0)
    checkpoint.save(tmp_path, 0, state_of(0))
    checkpoint.remove_other_than(tmp_path, 0)
    assert checkpoint.saved_steps(tmp_path) == (0,)
