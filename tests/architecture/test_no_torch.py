"""Below the bridge there is no torch, and `import medgan` loads next to nothing; looked at in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from import_rule import NO_TORCH, REPOSITORY, library_files

PROGRAM = """
import importlib, json, sys
modules, unwanted = json.loads(sys.argv[1])
culprits = {}
for module in modules:
    importlib.import_module(module)
    for name in unwanted:
        if name in sys.modules:
            culprits.setdefault(name, module)
print(json.dumps(culprits))
"""
HEAVY = ["torch", "monai", "SimpleITK", "pandas", "scipy", "nibabel", "matplotlib", "skimage"]


def loaded(modules: list[str], unwanted: list[str]) -> dict[str, str]:
    """Import modules in a fresh process; return each unwanted library that came, with the module that brought it."""
    command = [sys.executable, "-c", PROGRAM, json.dumps([modules, unwanted])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def torch_free_modules() -> list[str]:
    below = NO_TORCH | {"seeding", "commands"}
    modules = [m for _, m, _ in library_files() if m.startswith("medgan.") and m.split(".")[1] in below]
    return [m for m in modules if m != "medgan.__main__"]  # it runs the command line


def test_space_tower_reporting_commands_and_command_line_leave_torch_alone():
    modules = torch_free_modules()
    assert {"medgan.geometry.grid", "medgan.volume.resample", "medgan.seeding"} <= set(modules)
    assert loaded(modules, ["torch", "monai"]) == {}


@pytest.mark.parametrize("module", ["medgan", "medgan.cli"])
def test_importing_medgan_or_its_command_line_loads_nothing_heavy(module):
    assert loaded([module], HEAVY) == {}


def test_the_look_itself_sees_what_is_there():
    assert loaded(["medgan", "scipy", "medgan.errors"], ["scipy", "monai"]) == {"scipy": "scipy"}
