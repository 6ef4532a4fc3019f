"""Every command and every program shown in the README is run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medgan.commands.classifier import phantom_probes
from medgan.formats import write_volume
from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.phantoms.head import head_phantom
from medgan.phantoms.neurites import neurite_phantom
from medgan.phantoms.prostate import prostate_phantom
from medgan.seeding import numpy_generator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_the_two_commands_are_targets_of_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert shown == ["demo", "test"]
    assert set(shown) <= set(targets)


def test_only_known_programs_are_shown():
    assert {line.split()[0] for line in commands()} == {"make", "medgan", "python"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's reader has: the checkout, a scan and its CT, a small radiograph, a prostate, a stack."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("configs", "pipelines"):
        shutil.copytree(ROOT / name, folder / name)
    phantom = head_phantom(generator=numpy_generator(1, "readme"), shape=(40, 44, 36), spacing_mm=(5, 5, 6))
    write_volume(phantom.mr, folder / "volume.nii.gz")
    write_volume(phantom.ct, folder / "ct.nii.gz")
    prostate = prostate_phantom(generator=numpy_generator(1, "readme prostate"))
    for channel in ("t2w", "adc", "dwi"):
        write_volume(getattr(prostate, channel), folder / f"{channel}.nii.gz")
    neurites = neurite_phantom(generator=numpy_generator(1, "readme stack"), shape=(40, 40, 40), caliber_nm=160)
    write_ome_zarr(neurites.unlabeled, folder / "stack.zarr")
    chest = phantom_probes((28, 28))[1]
    Image.fromarray(np.rint((chest + 1) * 127.5).astype(np.uint8)).save(folder / "chest.png")
    return folder


@pytest.mark.timeout(600)
def test_every_command_works_in_the_order_shown(clone):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(clone / "cache")}
    for line in commands():
        program, *arguments = shlex.split(line)
        if program == "make":
            continue
        start = [sys.executable, "-m", "medgan"] if program == "medgan" else [sys.executable]
        outcome = subprocess.run([*start, *arguments], cwd=clone, env=environment, capture_output=True, text=True)
        assert outcome.returncode == 0, f"{line}\n{outcome.stderr}"
    assert (clone / "volume_sct.png").is_file()
    assert (clone / "chest_report" / "report.html").is_file()
    assert (clone / "studies" / "smoke" / "report.html").is_file()
    assert (clone / "translated.zarr" / "zarr.json").is_file()
    assert any((clone / "lesions").glob("*.png"))


def test_the_program_works(clone, monkeypatch):
    monkeypatch.chdir(clone)
    (program,) = blocks("python")
    exec(compile(program, "README.md", "exec"), {})
    assert (clone / "volume_ct.nii.gz").is_file()


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
