"""The memory of a worker is that of a block, not of the volume."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("identity_blocks.py")
MARGIN_MIB = 24
"""Less than the larger volume (64 MiB), and far less than its float32 copy (256 MiB)."""


def measured(folder: Path, *numbers: int) -> dict[str, object]:
    folder.mkdir()
    outcome = subprocess.run(
        [sys.executable, str(PROGRAM), str(folder), *map(str, numbers)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    return dict(json.loads(outcome.stdout))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_eight_times_the_volume_takes_the_same_memory(tmp_path):
    small = measured(tmp_path / "small", 256, 256, 128, 64, 64, 128)
    large = measured(tmp_path / "large", 512, 512, 256, 64, 64, 128)
    assert (small["blocks"], large["blocks"]) == (16, 128)
    assert small["same"]
    assert large["same"]
    assert abs(large["peak_mib"] - small["peak_mib"]) < MARGIN_MIB
