"""The commands of docs/out_of_core.md are run, the job script by the shell that a batch system would use."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from em_stacks import voxels, whole, write_contrast_model, write_stack

PAGE = (Path(__file__).parents[2] / "docs/out_of_core.md").read_text()
PLACES = ("translated.zarr", "local.zarr", "array.zarr")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[list[str]]:
    return [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.startswith(program)]


@pytest.fixture
def work(medgan) -> Path:
    """The reader's folder, in which the fixture ``medgan`` runs."""
    write_stack(Path("stack.zarr"))
    group = zarr.open_group("volume.zarr", mode="w")
    array = voxels(Path("stack.zarr")).transpose(2, 1, 0)
    raw = group.create_array("raw", shape=array.shape, dtype=array.dtype, chunks=(40, 40, 40))
    raw[:] = array
    raw.attrs["resolution"] = [10, 10, 10]
    write_contrast_model(Path("contrast"))
    return Path.cwd()


def test_every_command_gives_the_bits_of_the_whole(medgan, work):
    expected = whole(Path("contrast"), Path("stack.zarr"))
    for _, *arguments in commands("medgan"):
        if "--scheduler" not in arguments:
            assert medgan(*arguments, "--device", "cpu").code == 0
    (script,) = blocks("bash")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_COUNT": "2",
    }
    for task in ("2", "1"):
        variables = {**environment, "SLURM_ARRAY_TASK_ID": task}
        outcome = subprocess.run(["bash"], input=script, env=variables, cwd=work, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome.stderr
    for place in PLACES:
        np.testing.assert_array_equal(voxels(Path(place)), expected)


def test_the_job_script_asks_for_the_tasks_that_it_counts():
    (script,) = blocks("bash")
    assert script.startswith("#!/bin/bash\n#SBATCH")
    assert re.search(r"^#SBATCH --array=1-\d+$", script, re.MULTILINE)


def test_the_options_of_dask_s_programs_exist():
    pytest.importorskip("distributed")
    for _, program, *arguments in commands("dask"):
        module = f"distributed.cli.dask_{program}"
        text = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True).stdout
        for option in (each for each in arguments if each.startswith("--")):
            assert option in text


def test_the_program_for_a_batch_system_compiles():
    (program,) = blocks("python")
    compile(program, "out_of_core.md", "exec")
