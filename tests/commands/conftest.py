from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands_support import NETWORK, Outcome, ball_volume, tiny_facts

from medgan.commands.outcome import guarded
from medgan.formats import write_volume
from medgan.geometry import Grid
from medgan.inference.bundle import ModelBundle
from medgan.networks.initialization import initialize
from medgan.networks.residual_generator import ResidualGenerator
from medgan.seeding import torch_generator


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a bundle with random weights: right in every form, wrong in every value."""
    network = ResidualGenerator(**NETWORK)
    initialize(network, torch_generator(1))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    ModelBundle.write(folder, facts=tiny_facts(), weights=network.state_dict(), card="# tiny\n")
    return folder


@pytest.fixture
def mr_file(tmp_path: Path) -> Path:
    grid = Grid.axis_aligned((24, 26, 22), spacing=(3, 3, 3), origin=(-30, 10, 5))
    return write_volume(ball_volume(grid, radius_mm=28), tmp_path / "scan.nii.gz")


@pytest.fixture
def medgan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Run the command line in this process, in a working directory and with a cache of its own."""
    from medgan.cli import app

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> Outcome:
        given = [str(a) for a in arguments]
        code = guarded(lambda: app(args=given, prog_name="medgan", standalone_mode=False), as_json="--json" in given)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run
