"""A Dask scheduler and its workers, each a process of its own as on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from em_stacks import voxels, whole, write_contrast_model, write_stack

from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Rules

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
MANIFEST = "out.zarr.manifest"


def started(stack: ExitStack, *arguments: object, folder: Path, **options: object) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-m", *map(str, arguments)], cwd=folder, env=ENVIRONMENT, **options)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


@pytest.fixture
def cluster(tmp_path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    with ExitStack() as stack:
        place = tmp_path / "scheduler.json"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "folder": tmp_path}
        command = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard")
        started(stack, *command, "--no-jupyter", "--scheduler-file", place, **quiet)
        deadline = time.monotonic() + 120
        while not (place.is_file() and place.read_text().strip().endswith("}")) and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(place.read_text())["address"]
        worker = ("distributed.cli.dask_worker", address, "--nthreads", 1, "--no-dashboard", "--no-nanny")
        folders = [tmp_path / name for name in ("w1", "w2")]
        for folder in folders:
            folder.mkdir()
        yield address, [started(stack, *worker, "--local-directory", folder, **quiet) for folder in folders]


def call(given: Path, address: str, *arguments: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "medgan",
        "translate",
        "raw.zarr",
        "--model",
        "model",
        "--out",
        "out.zarr",
        "--json",
    ]
    command += ["--scheduler", address, *arguments]
    return subprocess.Popen(
        command, cwd=given, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def given(tmp_path) -> Path:
    write_stack(tmp_path / "raw.zarr", shape=(200, 70, 130))
    write_contrast_model(tmp_path / "model")
    return tmp_path


def test_two_workers_of_a_scheduler_one_of_which_is_killed(cluster, given):
    address, workers = cluster
    run = call(given, address, "--block", "64,64,64")
    manifest = BlockManifest(given / MANIFEST)
    deadline = time.monotonic() + 200
    while len(manifest.done_keys()) < 4 and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    workers[0].send_signal(signal.SIGKILL)
    out, err = run.communicate(timeout=250)
    assert run.returncode == 0, err
    facts = json.loads(out)
    assert (facts["complete"], facts["blocks"], facts["translated"]) == (True, 24, 24)
    assert "translating blocks: 24 of 24" in err
    np.testing.assert_array_equal(voxels(given / "out.zarr"), whole(given / "model", given / "raw.zarr"))
    assert workers[0].wait(timeout=10) == -signal.SIGKILL
    assert workers[1].poll() is None


def test_a_scheduler_that_does_not_answer(given, medgan, monkeypatch):
    from medgan.commands import out_of_core_dask

    monkeypatch.setattr(out_of_core_dask, "SECONDS_TO_CONNECT", 1)
    command = ("translate", given / "raw.zarr", "--model", given / "model", "--out", "out.zarr")
    outcome = medgan(*command, "--scheduler", "tcp://127.0.0.1:9", "--quiet")
    assert outcome.code == 2
    assert "No Dask scheduler answers at tcp://127.0.0.1:9" in outcome.err


def test_without_dask_it_is_named(given, medgan, monkeypatch):
    monkeypatch.setitem(sys.modules, "medgan.commands.out_of_core_dask", None)
    command = ("translate", given / "raw.zarr", "--model", given / "model", "--out", "out.zarr")
    outcome = medgan(*command, "--scheduler", "tcp://127.0.0.1:9", "--quiet")
    assert outcome.code == 2
    assert "--scheduler needs Dask: pip install 'medgan[cluster]'." in outcome.err


class RepeatingClient:
    """Stands for Dask where a worker finished an entry and died unheard, and the entry went to another worker."""

    def __init__(self, run: str) -> None:
        self.run = run

    def nthreads(self) -> dict[str, int]:
        return {"worker": 1}

    def submit(self, _attempt, manifest, key, *arguments, **options):
        manifest.claim(key, run=self.run).finish({"voxels": 5})
        future = Mock(status="finished")
        future.result.return_value = None
        return future


@pytest.mark.parametrize(("run", "told"), [("own", ["0", "1"]), ("of another call", [])])
def test_what_a_lost_worker_had_finished_is_told_once(tmp_path, monkeypatch, run, told):
    from medgan.commands import out_of_core_dask

    monkeypatch.setattr(out_of_core_dask, "_finished", list)
    manifest, events = BlockManifest.opened(tmp_path / "m", {}), []
    lost = out_of_core_dask._worked(
        RepeatingClient(run), manifest, ["0", "1"], "plugin", Rules("own"), events.append, patience_s=1
    )
    assert sorted(event.key for event in events) == told
    assert all(event.kind == "done" and event.facts["voxels"] == 5 for event in events)
    assert lost == []
