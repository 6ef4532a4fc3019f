"""The import rule holds in every file, and would be noticed if it did not."""

from __future__ import annotations

import textwrap

import pytest
from import_rule import ALLOWED, LIBRARY, REPOSITORY, library_files, violations

import medgan

PUBLIC = medgan._PUBLIC


def test_no_file_breaks_the_import_rule():
    broken = []
    for path, module, is_package in library_files():
        name = path.relative_to(REPOSITORY).as_posix()
        broken += violations(path.read_text(), module, file=name, is_package=is_package, public=PUBLIC)
    assert not broken, "\n".join(broken)


def test_the_walk_sees_the_library():
    modules = {module for _, module, _ in library_files()}
    assert {"medgan", "medgan.geometry", "medgan.geometry.grid", "medgan.volume.resample", "medgan.errors"} <= modules


def test_every_package_is_in_the_rule():
    packages = {p.parent.name for p in LIBRARY.glob("*/__init__.py")}
    assert packages <= set(ALLOWED), f"not in the import rule: {sorted(packages - set(ALLOWED))}"


def test_the_rule_has_no_cycle():
    seen: set[str] = set()

    def reach(package: str, trail: tuple[str, ...]) -> None:
        assert package not in trail, " -> ".join((*trail, package))
        if package not in seen:
            for below in ALLOWED.get(package, ()):
                reach(below, (*trail, package))
            seen.add(package)

    for package in ALLOWED:
        reach(package, ())


def check(source: str, module: str, *, is_package: bool = False) -> list[str]:
    return violations(textwrap.dedent(source), module, file="bad.py", is_package=is_package, public=PUBLIC)


@pytest.mark.parametrize(
    ("source", "module", "line"),
    [
        ("import medgan.volume", "medgan.geometry.grid", 1),
        ("import medgan.volume as v", "medgan.geometry.grid", 1),
        ("from medgan.volume import Volume", "medgan.geometry.grid", 1),
        ("from medgan import volume", "medgan.geometry.grid", 1),
        ("from medgan import Volume", "medgan.geometry.grid", 1),
        ("from medgan.volume.volume import Volume", "medgan.geometry.grid", 1),
        ("from ..volume import Volume", "medgan.geometry.grid", 1),
        ("from .. import volume", "medgan.geometry.grid", 1),
        ("\ndef f():\n    from medgan.volume import Volume\n", "medgan.geometry.grid", 3),
        ("if True:\n    import medgan.volume\n", "medgan.geometry.grid", 2),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from medgan.volume import Volume",
            "medgan.geometry.grid",
            3,
        ),
        ("from importlib import import_module\nimport_module('medgan.volume')", "medgan.geometry.grid", 2),
        ("import importlib\nimportlib.import_module('medgan.volume')", "medgan.geometry.grid", 2),
        ("import medgan", "medgan.geometry.grid", 1),
        ("from medgan.preprocessing import recipe", "medgan.evaluation.intensity", 1),
        ("from medgan.phantoms import head", "medgan.cohort.case", 1),
        ("from medgan.geometry import Grid", "medgan.networks.unet", 1),
        ("from medgan.methods import cyclegan", "medgan.training.loop", 1),
        ("from medgan.inference import bundle", "medgan.patches.layout", 1),
        ("from medgan.inference import bundle", "medgan.reporting.report", 1),
        ("from medgan.explanation import attribution", "medgan.reporting.report", 1),
        ("from medgan.commands import train", "medgan.inference.bundle", 1),
        ("from medgan.formats import read_volume", "pipelines.mr_to_ct", 1),
        ("import pipelines.mr_to_ct", "medgan.commands.study", 1),
        ("from medgan.formats import read_volume", "medgan.cli", 1),
        ("import torch", "medgan.evaluation.intensity", 1),
        ("def f():\n    import torch.nn", "medgan.evaluation.intensity", 2),
        ("from monai.metrics import DiceMetric", "medgan.evaluation.overlap", 1),
        ("from torch import nn", "medgan.reporting.report", 1),
        ("x = 1", "medgan.newcomer.thing", 1),
    ],
)
def test_a_bad_module_is_caught_with_file_and_line(source, module, line):
    found = check(source, module)
    assert len(found) == 1
    assert found[0].startswith(f"bad.py:{line}: ")


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from medgan.geometry.box import Box\nfrom .box import Box\nfrom . import box", "medgan.geometry.grid"),
        ("from medgan.errors import GeometryError\nfrom medgan import __version__", "medgan.geometry.grid"),
        ("from medgan import Grid, geometry", "medgan.volume.volume"),
        ("import numpy\nimport medical_things.volume", "medgan.geometry.grid"),
        ("import torch\nfrom medgan.networks import unet", "medgan.methods.cyclegan"),
        ("from medgan.volume import Volume\nfrom medgan.networks import unet\nimport torch", "medgan.patches.sampler"),
        ("from medgan.explanation.explanation import Explanation", "medgan.reporting.report"),
        ("def verb():\n    from medgan.commands.train import train", "medgan.cli"),
        ("from medgan.commands.train import train", "pipelines.mr_to_ct"),
    ],
)
def test_a_good_module_passes(source, module):
    assert check(source, module) == []


def test_the_sentence_names_importer_imported_and_what_is_allowed():
    (sentence,) = check("from medgan.formats import read_volume", "medgan.volume.volume")
    assert sentence == (
        "bad.py:1: 'volume' imports medgan.formats.read_volume, but may only import "
        "errors, geometry, runs, seeding, settings."
    )


def test_the_command_line_imports_commands_inside_functions_only():
    (sentence,) = check("from medgan.commands import train", "medgan.cli")
    assert "at module level: import inside the function" in sentence
    assert check("if TYPE_CHECKING:\n    from medgan.commands import train", "medgan.cli") == []


def test_relative_imports_in_a_package_start_at_the_package():
    assert check("from .grid import Grid", "medgan.geometry", is_package=True) == []
    (sentence,) = check("from ..volume import Volume", "medgan.geometry", is_package=True)
    assert "medgan.volume.Volume" in sentence
