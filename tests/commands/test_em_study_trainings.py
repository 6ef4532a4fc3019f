"""What a study's report says of its trainings, from the files that they leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from medgan.commands.em_study import study_settings, trainings
from medgan.commands.em_study_trainings import training_sections
from medgan.commands.study import Study
from medgan.reporting import charts
from medgan.reporting.sections import FigureSection, TableSection

CONFIG = Path(__file__).parents[2] / "configs" / "em_contrast" / "study_smoke.yaml"


def sections_of(folder: Path, *overrides: str):
    study = Study(
        config=CONFIG, folder=folder, data_root=None, overrides=overrides,
        device="cpu", precision="float32", threads=1, console=None,  # type: ignore[arg-type]
    )  # fmt: skip
    settings = study_settings(study)
    return {one.title: one for one in training_sections(study, settings, list(trainings(settings)))}


@pytest.fixture
def restarted(tmp_path) -> Path:
    """Return a study whose first training was restarted once: ten steps, an inversion, four steps."""
    rows = [{"event": "losses", "attempt": 0, "step": s, "total": 9.0} for s in range(1, 11)]
    rows.append({"event": "guard", "attempt": 0, "step": 10, "correlation": -0.5, "violated": True})
    rows += [{"event": "losses", "attempt": 1, "step": s, "total": 1.0} for s in range(1, 5)]
    rows.append({"event": "guard", "attempt": 1, "step": 4, "correlation": 0.75, "violated": False})
    folder = tmp_path / "runs" / "none_seed4"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "result.json").write_text(json.dumps({"chosen": {"step": 4}}))
    return tmp_path


def test_curves_are_those_of_the_last_attempt(restarted, monkeypatch):
    drawn = []
    draw = charts.training_curves
    monkeypatch.setattr(charts, "training_curves", lambda rows, **k: drawn.append(list(rows)) or draw(rows, **k))
    figures = {title: one for title, one in sections_of(restarted).items() if isinstance(one, FigureSection)}
    assert list(figures) == ["Curves: CycleGAN, seed 4, attempt 2"]
    assert [row["total"] for row in drawn[0]] == [1.0] * 4


def test_an_inversion_and_the_chosen_step_stand_in_the_table(restarted):
    events = sections_of(restarted)["Polarity and choice of checkpoints"]
    assert isinstance(events, TableSection)
    assert [tuple(row) for row in events.rows] == [
        ("none_seed4", "+0.75", "step 10 of attempt 1", "4"),
        ("separate_seed4", "–", "none", "–"),
    ]


def test_settings_are_complete_and_name_what_differs(tmp_path):
    rows = dict(sections_of(tmp_path)["Settings"].rows)
    assert rows["secgan.segmentation"] == "CycleGAN: none; SECGAN, separate: separate"
    assert rows["data.shape_zyx"] == "40, 40, 40"
    assert rows["model.name"] == "smoke-neurite-secgan"
    assert "seed" not in rows
    assert dict(sections_of(tmp_path, "steps=7")["Settings"].rows)["secgan.steps"] == "7" != rows["secgan.steps"]


def test_nothing_is_drawn_before_anything_ran(tmp_path):
    assert list(sections_of(tmp_path)) == ["Polarity and choice of checkpoints", "Settings"]
