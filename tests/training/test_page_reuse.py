"""Freed tensors are used again; looked at in fresh processes, because the setting is a process's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from medgan.training.page_reuse import reuse_pages

PROGRAM = """
import resource, sys
import numpy as np
from medgan.training.page_reuse import reuse_pages
told = reuse_pages() if sys.argv[1] == "yes" else False
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(10_000_000)  # 80 MB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(told, faults())
"""


def looked(asked: str, **environment: str) -> tuple[bool, int]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "LD_"))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], capture_output=True, text=True, check=True, env={**kept, **environment}
    )
    told, count = done.stdout.split()
    return told == "True", int(count)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_large_blocks_cost_new_pages_only_once():
    told, faults = looked("yes")
    if not told:
        pytest.skip("the C library is not glibc")
    assert faults < looked("no")[1] / 10


@pytest.mark.parametrize("setting", [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.check=0"}])
def test_settings_of_the_environment_win(setting):
    assert looked("yes", **setting)[0] is False


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert reuse_pages() is False
