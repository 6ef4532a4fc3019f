"""How a run begins and is continued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from medgan.commands.console import Console
from medgan.commands.training_session import TrainingRequest, opened_run
from medgan.errors import TrainingError
from medgan.training import precision


def request(folder: Path) -> TrainingRequest:
    return TrainingRequest(
        config=Path("smoke.yaml"),
        experiment=None,
        values={"method": "cyclegan"},
        folder=folder,
        data_root=None,
        phantoms=None,
        store=None,
        device="cpu",
        precision="auto",
        threads=1,
        console=Console(quiet=True),
    )


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Return the precisions that were asked for, while the first is answered by bfloat16 and later ones by float32."""
    asked: list[str] = []

    def resolved(word: str, *, device: str) -> precision.PrecisionRecord:
        asked.append(word)
        answer = "bfloat16" if len(asked) == 1 else "float32"
        return precision.PrecisionRecord(precision=answer, reason="told so", processor="none", torch_version="0")

    monkeypatch.setattr(precision, "resolve_precision", resolved)
    return asked


def test_a_continued_run_keeps_its_precision_and_asks_no_machine_for_it(tmp_path, asked):
    began = opened_run(request(tmp_path / "run"), "m" * 64)
    assert asked == ["auto"]
    continued = opened_run(request(tmp_path / "run"), "m" * 64)
    assert asked == ["auto"]
    assert continued.environment == began.environment
    assert continued.environment["precision"]["precision"] == "bfloat16"
    opened_run(request(tmp_path / "other"), "m" * 64)
    assert asked == ["auto", "auto"]


def test_a_new_run_with_a_precision_that_does_not_exist_leaves_no_folder(tmp_path):
    with pytest.raises(TrainingError, match="found 'half'"):
        opened_run(replace(request(tmp_path / "run"), precision="half"), "m" * 64)
    assert not (tmp_path / "run").exists()
