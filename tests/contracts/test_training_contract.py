"""What every method owes to the loop: interrupted work ends with the bits of uninterrupted work; a NaN stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_program
from training_program import EXAMPLES, SAVE_EVERY, STEPS

from medgan.errors import DivergenceError
from medgan.methods.table import METHODS, SETTINGS
from medgan.seeding import numpy_generator
from medgan.training import checkpoint

PROGRAM = Path(training_program.__file__)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def flattened(value, name: str = "state") -> dict[str, object]:
    """Return every leaf of a nested state by its place."""
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flattened(item, f"{name}.{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for place, item in enumerate(value) for k, v in flattened(item, f"{name}.{place}").items()}
    return {name: value}


def differences(first, second) -> list[str]:
    """Return the places where two states are not equal bit for bit."""
    one, other = flattened(first), flattened(second)
    found = sorted(one.keys() ^ other.keys())
    for name in one.keys() & other.keys():
        a, b = one[name], other[name]
        same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        if not same:
            found.append(name)
    return found


class Stopped(Exception):
    pass


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_an_example_and_settings(name):
    assert name in EXAMPLES
    assert isinstance(EXAMPLES[name].settings, SETTINGS[name])
    assert not EXAMPLES.keys() - METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("stop", [STEPS // 2 + 1, STEPS // 2 - 1])
def test_half_and_half_is_the_whole(name, stop, tmp_path):
    def stopping(step, attempt):
        if step == stop:
            raise Stopped
        return EXAMPLES[name].batches(step, attempt)

    whole = training_program.run(name, tmp_path / "whole").state_dict()
    with pytest.raises(Stopped):
        training_program.run(name, tmp_path / "halves", batches=stopping)
    halves = training_program.run(name, tmp_path / "halves").state_dict()
    assert differences(whole, halves) == []

    other = training_program.run(name, tmp_path / "other", batches=lambda step, attempt: EXAMPLES[name].batches(1, 0))
    assert differences(whole, other.state_dict())  # the comparison can fail


@pytest.mark.parametrize("name", METHODS)
def test_batches_drawn_ahead_by_a_thread_give_the_same_bits(name, tmp_path):
    states = [
        training_program.run(name, tmp_path / str(prefetch), prefetch=prefetch).state_dict()
        for prefetch in (False, True)
    ]
    assert differences(*states) == []


def launched(name: str, folder: Path, last: int) -> int:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), name, str(folder), str(last)]
    return subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False).returncode


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("name", METHODS)
def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(name, tmp_path):
    random = numpy_generator(5, "kills", name)
    # One in each stretch: before the first checkpoint, between later ones with full pools, while the rates fall.
    kills = [
        int(random.integers(2, SAVE_EVERY + 1)),
        int(random.integers(SAVE_EVERY + 2, 2 * SAVE_EVERY)),
        int(random.integers(STEPS - SAVE_EVERY + 2, STEPS)),
    ]
    for kill in kills:
        assert launched(name, tmp_path / "killed", kill) == -signal.SIGKILL
    assert launched(name, tmp_path / "killed", 0) == 0
    training_program.run(name, tmp_path / "whole")

    last = checkpoint.checkpoint_path(Path("checkpoints"), STEPS)
    killed, whole = (checkpoint.load(tmp_path / which / last) for which in ("killed", "whole"))
    assert differences(whole, killed) == []
    assert (tmp_path / "killed/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


@pytest.mark.parametrize("name", METHODS)
def test_a_loss_that_is_not_finite_stops_with_step_and_case(name, tmp_path):
    with pytest.raises(DivergenceError, match=r"at step 6 \(cases: source_6, target_6\)"):
        training_program.run(name, tmp_path, batches=EXAMPLES[name].poisoned)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert checkpoint.saved_steps(tmp_path / "checkpoints") == (4,)
