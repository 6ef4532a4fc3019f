"""Two real processes give the gradients of one with the double batch, stay equal, and continue to the same bits."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medgan.errors import TrainingError
from medgan.training.distributed import ALONE, Replicas, joined_replicas, share_of, shared_out

PROGRAM = Path(__file__).with_name("distributed_program.py")
_SPEC = importlib.util.spec_from_file_location("distributed_program", PROGRAM)
program = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(program)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the distance of two sets of gradients relative to their length."""
    assert one.keys() == other.keys()
    a, b = (torch.cat([g.double().flatten() for g in each.values()]) for each in (one, other))
    return float((a - b).norm() / b.norm())


def leaves(value, name="state"):
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in leaves(item, f"{name}.{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for place, item in enumerate(value) for k, v in leaves(item, f"{name}.{place}").items()}
    return {name: value}


def unequal(first, second) -> list[str]:
    one, other = leaves(first), leaves(second)
    same = lambda a, b: torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b  # noqa: E731
    return sorted(one.keys() ^ other.keys()) + [n for n in one.keys() & other.keys() if not same(one[n], other[n])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes, started by torchrun, left behind."""
    folder = tmp_path_factory.mktemp("replicas")
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(PROGRAM)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([*start, str(folder)], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def found(folder) -> list[dict]:
    return [torch.load(folder / f"process_{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_gradients_are_those_of_one_process_with_the_double_batch(found):
    alone = program.gradients_of_a_step(program.batches(1, 0), ALONE)
    for process in found:
        assert difference(process["gradients"], alone) < 1e-5
    # One process's samples alone give others: the comparison can fail.
    share = share_of(program.batches(1, 0), Replicas(rank=0, size=2))
    assert difference(program.gradients_of_a_step(share, ALONE), alone) > 0.1


def test_both_processes_have_the_same_weights_after_several_steps(found):
    first, second = ({k: v for k, v in p["whole"].items() if "pool" not in k} for p in found)
    assert first["step"] == program.SETTINGS.steps
    assert unequal(first, second) == []
    assert unequal(found[0]["whole"]["target_pool"], found[1]["whole"]["target_pool"])


def test_interrupted_training_continues_to_the_same_bits_even_where_one_process_is_a_checkpoint_behind(found):
    for process in found:
        assert unequal(process["whole"], process["halves"]) == []


def test_only_the_first_process_writes_the_metrics_and_each_its_own_checkpoints(folder):
    lines = (folder / "whole" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == program.SETTINGS.steps
    assert sorted(p.name for p in (folder / "whole" / "checkpoints").iterdir()) == [
        "process_1",
        "step_000004.pt",
        "step_000006.pt",
    ]


def test_a_loss_that_is_no_number_stops_all_processes_and_names_all_cases(found):
    for process in found:
        assert "at step 2 (cases: s0_2, t0_2, s1_2, t1_2)" in process["divergence"]


def test_another_number_of_processes_does_not_continue_a_training(found):
    assert "processes was 1, now 2" in found[0]["other_number"]


def test_a_share_is_an_equal_run_of_everything():
    batch = program.batches(3, 0)
    for rank in (0, 1):
        share = share_of(batch, Replicas(rank=rank, size=2))
        assert torch.equal(share.source, batch.source[rank : rank + 1])
        assert torch.equal(share.target_body, batch.target_body[rank : rank + 1])
        assert share.case_ids == (f"s{rank}_3", f"t{rank}_3")
    assert shared_out(program.batches, ALONE) is program.batches


def test_samples_that_cannot_be_dealt_equally():
    with pytest.raises(TrainingError, match=r"3 processes needs a multiple of 3 samples: source has 2"):
        share_of(program.batches(1, 0), Replicas(rank=0, size=3))


def test_a_state_without_optimizers_is_refused_only_with_several_processes():
    class Frozen:
        step = 0

    ALONE.connect(Frozen())
    with pytest.raises(TrainingError, match="through the optimizers of a state: Frozen has none"):
        Replicas(rank=0, size=2).connect(Frozen())


def test_alone_there_is_nothing_to_join(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_replicas() as replicas:
        assert replicas is ALONE
    assert (ALONE.device_of("cuda"), Replicas(1, 2, 1).device_of("cuda")) == ("cuda", "cuda:1")
    assert Replicas(1, 2, 1).device_of("cpu") == "cpu"


def test_several_processes_that_do_not_find_each_other(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(TrainingError, match=r"asks for 2 processes .* Start them by torchrun"), joined_replicas():
        pass
