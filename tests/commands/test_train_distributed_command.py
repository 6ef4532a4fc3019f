"""``medgan train`` by several processes: what is refused, and (slow) a real training started by torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from medgan.commands import train as train_module
from medgan.commands.console import Console
from medgan.commands.training_session import TrainingRequest, opened_run
from medgan.commands.training_settings import read_experiment
from medgan.errors import SettingsError, TrainingError
from medgan.training import distributed
from medgan.training.distributed import Replicas

SMOKE = Path(__file__).parents[2] / "configs" / "mr_to_ct" / "smoke.yaml"


def request(folder: Path) -> TrainingRequest:
    experiment, values = read_experiment(SMOKE)
    return TrainingRequest(
        config=SMOKE,
        experiment=experiment,
        values=values,
        folder=folder,
        data_root=None,
        phantoms=None,
        store=None,
        device="cpu",
        precision="float32",
        threads=1,
        console=Console(quiet=True),
    )


def test_a_run_is_continued_by_as_many_processes_as_began_it(tmp_path):
    run = opened_run(request(tmp_path / "run"), "m" * 64)
    assert run.environment["processes"] == 1
    facts = run.environment
    (run.folder / "environment.json").write_text(json.dumps({**facts, "processes": 2}))
    with pytest.raises(TrainingError, match=r"run was begun by 2 process\(es\).* found 1\."):
        opened_run(request(tmp_path / "run"), "m" * 64)
    # Runs that do not say it were made by one.
    del facts["processes"]
    (run.folder / "environment.json").write_text(json.dumps(facts))
    assert opened_run(request(tmp_path / "run"), "m" * 64).folder == run.folder


def test_methods_that_cannot_be_shared_are_refused(tmp_path, monkeypatch):
    @contextmanager
    def two():
        yield Replicas(rank=0, size=2)

    monkeypatch.setattr(distributed, "joined_replicas", two)
    monkeypatch.setattr(train_module, "REPLICATED", frozenset({"another"}))
    with pytest.raises(SettingsError, match=r"several processes is there for another: smoke.yaml asks for cyclegan"):
        train_module.train(SMOKE, out=tmp_path / "run", console=Console(quiet=True))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_one_model(tmp_path):
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "medgan"]
    options = ["--out", "run", "--device", "cpu", "--precision", "float32", "--threads", "1", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def trained(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*start, "train", str(SMOKE), *options, *more]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)

    done = trained("--set", "model.return_generator=true")
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    assert result["steps"] == 12
    run = tmp_path / "run"
    assert json.loads((run / "environment.json").read_text())["processes"] == 2
    assert len([line for line in (run / "metrics.jsonl").read_text().splitlines() if '"losses"' in line]) == 12
    assert (run / "checkpoints" / "process_1" / "step_000012.pt").is_file()
    assert (run / "bundle" / "return_weights.safetensors").is_file()
    facts = json.loads((run / "bundle" / "bundle.json").read_text())
    assert facts["flip_axes"] == [0]
    assert facts["return_network"] == facts["network"]
    # One process does not continue what two began, and two find it finished.
    alone = subprocess.run(
        [sys.executable, "-m", "medgan", "train", str(SMOKE), *options, "--set", "model.return_generator=true"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert alone.returncode == 2
    assert "was begun by 2 process(es)" in alone.stderr
    again = trained("--set", "model.return_generator=true")
    assert again.returncode == 0
    assert json.loads(again.stdout)["weights_sha256"] == result["weights_sha256"]
