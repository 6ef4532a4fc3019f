from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from medgan.commands.console import Console
from medgan.commands.train import train
from medgan.errors import CohortError, OutputError, SettingsError
from medgan.inference.bundle import ModelBundle
from medgan.training.draw_ahead import drawn_ahead

SMOKE = Path(__file__).parents[2] / "configs" / "mr_to_ct" / "smoke.yaml"
QUIET = Console(quiet=True)
SHORT = ("cyclegan.steps=6", "cyclegan.warm_start.steps=2", "rhythm.save_every=2", "rhythm.preview_every=6")


def trained(folder: Path, phantoms: Path, *overrides: str) -> dict:
    return train(
        SMOKE,
        out=folder,
        phantoms=phantoms,
        overrides=(*SHORT, *overrides),
        device="cpu",
        precision="float32",
        threads=1,
        console=QUIET,
    )


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cohort") / "phantoms"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Path:
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("runs") / "whole"
    trained(folder, phantoms)
    torch.set_num_threads(threads)
    return folder


def test_the_run_folder_holds_everything(finished):
    names = {p.name for p in finished.iterdir()}
    wanted = {"config.yaml", "environment.json", "manifest_lock.json", "metrics.jsonl", "status.json", "result.json"}
    assert wanted | {"checkpoints", "previews", "prepared", "tensorboard", "bundle"} == names
    assert json.loads((finished / "status.json").read_text())["status"] == "finished"
    assert [p.name for p in (finished / "previews").iterdir()] == ["step_000006.png"]
    assert list((finished / "tensorboard").iterdir())
    steps = [json.loads(line)["step"] for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[-1] == 6


def test_the_bundle_carries_recipe_domain_and_card(finished):
    bundle = ModelBundle.load(finished / "bundle")
    assert bundle.facts.training.steps == 6
    assert len(bundle.facts.trained_domain.cases) == 2
    standard = bundle.facts.recipe[-1]["standard"]
    assert len(standard) == 2
    assert standard[1] == pytest.approx(0.8)
    assert "Nothing has been measured yet." in bundle.card
    assert "table of intensities" in bundle.card


def test_stopped_and_continued_gives_the_weights_of_the_whole(finished, phantoms, tmp_path, monkeypatch):
    from medgan.commands import training_observers

    class Stop(training_observers.ProgressObserver):
        def __call__(self, seen):
            if seen.step == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(training_observers, "ProgressObserver", Stop)
    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        trained(folder, phantoms)
    assert json.loads((folder / "status.json").read_text())["status"] == "interrupted"
    monkeypatch.undo()
    result = trained(folder, phantoms)
    assert result["weights_sha256"] == json.loads((finished / "result.json").read_text())["weights_sha256"]
    kept = [p / "metrics.jsonl" for p in (folder, finished)]
    assert kept[0].read_text() == kept[1].read_text()


def test_batches_that_a_thread_draws_give_the_same_training(finished, phantoms, tmp_path, monkeypatch):
    from medgan.training import loop

    last_steps = []

    def noted(batches, *, last_step):
        last_steps.append(last_step)
        return drawn_ahead(batches, last_step=last_step)

    monkeypatch.setattr(loop, "drawn_ahead", noted)
    folder = tmp_path / "ahead"
    result = trained(folder, phantoms, "rhythm.prefetch=true")
    assert last_steps == [6]
    assert result["weights_sha256"] == json.loads((finished / "result.json").read_text())["weights_sha256"]
    assert (folder / "metrics.jsonl").read_text() == (finished / "metrics.jsonl").read_text()


def test_a_finished_run_is_not_repeated(finished, phantoms):
    before = (finished / "bundle" / "weights.safetensors").stat().st_mtime_ns
    assert trained(finished, phantoms)["steps"] == 6
    assert (finished / "bundle" / "weights.safetensors").stat().st_mtime_ns == before


def test_another_configuration_in_the_same_folder_is_refused(finished, phantoms):
    with pytest.raises(OutputError, match="another configuration"):
        trained(finished, phantoms, "seed=4")


def test_phantoms_of_another_configuration_are_refused(phantoms, finished, tmp_path):
    with pytest.raises(CohortError, match="must be those of the configuration"):
        trained(tmp_path / "run", phantoms, "data.phantoms.seed=6")


def test_a_manifest_that_is_absent_is_refused(tmp_path):
    text = SMOKE.read_text()
    start, end = text.index("  phantoms:"), text.index("recipe:")
    file = tmp_path / "c.yaml"
    file.write_text(text[:start] + "  manifest: nowhere.yaml\n" + text[end:])
    with pytest.raises(CohortError, match=r"nowhere\.yaml"):
        train(file, out=tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def test_a_manifest_and_phantoms_together_are_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(SMOKE.read_text().replace("  source: mr", "  manifest: x.yaml\n  source: mr"))
    with pytest.raises(SettingsError, match="one of the two"):
        train(file, out=tmp_path / "run", console=QUIET)


def test_a_recipe_without_a_body_mask_is_refused(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(SMOKE.read_text().replace("    - {stage: body_mask}\n", "", 1))
    with pytest.raises(SettingsError, match="body_mask"):
        train(file, out=tmp_path / "run", console=QUIET)
