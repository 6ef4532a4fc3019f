"""Training of classifiers and translators of radiographs through ``medgan train``: bundles, measures, restarts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medgan.commands.chest_data import chest_data
from medgan.commands.console import Console
from medgan.commands.train import train
from medgan.commands.train_counterfactual import flips_of
from medgan.commands.training_settings import read_experiment
from medgan.errors import SettingsError
from medgan.inference.classifier import open_classifier
from medgan.inference.plane_translator import open_plane_translator

CONFIGS = Path(__file__).parents[2] / "configs" / "chest_xray_counterfactuals"
QUIET = Console(quiet=True)
DATA = ("data.train=16", "data.validation=8", "data.test=12", "data.size=32")
CLASSIFIER = (
    *DATA, "classification.steps=12", "classification.width=3", "classification.stages=3", "sampling.batch=6",
    "rhythm.save_every=4", "rhythm.observe_every=4", "rhythm.validate_every=4",
)  # fmt: skip
CYCLEGAN = "counterfactual.cyclegan"
TRANSLATOR = (
    *DATA, f"{CYCLEGAN}.steps=4", f"{CYCLEGAN}.generator.width=2", f"{CYCLEGAN}.generator.blocks=1",
    f"{CYCLEGAN}.discriminator.width=2", "sampling.batch=2", "rhythm.save_every=2", "rhythm.observe_every=2",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(config: str, out: Path, *overrides: str) -> dict:
    return train(
        CONFIGS / config, out=out, overrides=overrides, device="cpu", precision="float32", threads=1, console=QUIET
    )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classifier") / "run"
    trained("classifier_phantom.yaml", folder, *CLASSIFIER)
    return folder


@pytest.fixture(scope="module")
def translator(tmp_path_factory, classifier) -> Path:
    folder = tmp_path_factory.mktemp("translator") / "run"
    judges = (f"classifier={classifier}/bundle", f"second_classifier={classifier}/bundle")
    trained("translator_phantom.yaml", folder, *TRANSLATOR, *judges)
    return folder


def test_a_classifiers_run_holds_bundle_and_measures(classifier):
    evaluation = json.loads((classifier / "evaluation.json").read_text())
    assert evaluation["unit_of_intervals"] == "subject"
    for split, count in (("validation", 8), ("test", 12)):
        found = evaluation[split]
        assert found["images"] == count
        assert found["auc"]["low"] <= found["auc"]["value"] <= found["auc"]["high"]
        assert 0 <= found["ece"] <= 1
    assert [json.loads(line)["step"] for line in (classifier / "validation.jsonl").read_text().splitlines()] == [
        4,
        8,
        12,
    ]
    opened = open_classifier(classifier / "bundle")
    assert opened.class_names == ("no lesion", "lesion")
    assert opened.results == evaluation
    assert opened.module.temperature == evaluation["temperature"]
    assert opened.domain.input_size == (32, 32)
    card = (classifier / "bundle" / "MODEL_CARD.md").read_text()
    assert "area under the ROC curve" in card
    assert "Trained on phantoms only" in card


def test_what_was_measured_is_what_the_bundle_does(classifier):
    experiment, _ = read_experiment(CONFIGS / "classifier_phantom.yaml", CLASSIFIER)
    test = chest_data(experiment.data, base=CONFIGS, data_root=None).splits["test"]
    called = open_classifier(classifier / "bundle").probabilities(test.images).argmax(1)
    accuracy = json.loads((classifier / "evaluation.json").read_text())["test"]["accuracy"]
    assert (called == test.labels).mean() == pytest.approx(accuracy)


def test_a_finished_training_is_not_repeated(classifier):
    before = (classifier / "metrics.jsonl").stat().st_mtime_ns
    again = trained("classifier_phantom.yaml", classifier, *CLASSIFIER)
    assert (classifier / "metrics.jsonl").stat().st_mtime_ns == before
    assert again["steps"] == 12


def test_stopped_and_continued_gives_the_weights_of_the_whole(classifier, tmp_path, monkeypatch):
    from medgan.commands import training_observers

    class Stop(training_observers.ProgressObserver):
        def __call__(self, seen):
            if seen.step == 8:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training_observers, "ProgressObserver", Stop)
        with pytest.raises(KeyboardInterrupt):
            trained("classifier_phantom.yaml", tmp_path / "run", *CLASSIFIER)
    continued = trained("classifier_phantom.yaml", tmp_path / "run", *CLASSIFIER)
    assert continued["weights_sha256"] == json.loads((classifier / "result.json").read_text())["weights_sha256"]


def test_a_translators_run_holds_both_directions_and_its_shares(translator):
    evaluation = json.loads((translator / "evaluation.json").read_text())
    assert set(evaluation["directions"]) == {"no lesion -> lesion", "lesion -> no lesion"}
    for found in evaluation["directions"].values():
        assert found["queries"] == 6
        assert found["correct"] <= 6
        assert found["flips"]["total"] == found["correct"]
        # The same classifier as second opinion follows every flip.
        assert found["second_follows"]["count"] == found["flips"]["count"]
    opened = open_plane_translator(str(translator / "bundle"))
    assert opened.classes == ("no lesion", "lesion")
    assert opened.asked.weight == 2.0
    assert (translator / "pairs.png").stat().st_size > 1000
    assert "Classifier term: weight 2" in (translator / "bundle" / "MODEL_CARD.md").read_text()


def test_the_classifier_term_is_in_the_losses_only_with_a_weight(translator, classifier, tmp_path):
    losses = json.loads((translator / "metrics.jsonl").read_text().splitlines()[0])
    assert losses["class_target"] > 0
    trained(
        "translator_phantom.yaml", tmp_path / "plain", *TRANSLATOR, f"classifier={classifier}/bundle",
        "second_classifier=null", "counterfactual.classifier_weight=0",
    )  # fmt: skip
    losses = json.loads((tmp_path / "plain" / "metrics.jsonl").read_text().splitlines()[0])
    assert "class_target" not in losses
    assert open_plane_translator(str(tmp_path / "plain" / "bundle")).asked is None


def test_flips_count_only_what_was_right_before(classifier, translator):
    experiment, _ = read_experiment(CONFIGS / "classifier_phantom.yaml", CLASSIFIER)
    data = chest_data(experiment.data, base=CONFIGS, data_root=None)
    judge, made = open_classifier(classifier / "bundle"), open_plane_translator(str(translator / "bundle"))

    class Always:
        """Translates into an image that the classifier calls the target."""

        def translated(self, images, *, toward):
            train = data.splits["train"]
            p = judge.probabilities(train.images)[:, data.classes.index(toward)]
            return np.repeat(train.images[p.argmax()][None], len(images), 0)

    found = flips_of(Always(), data, judge)["directions"]
    for source, name in enumerate(("no lesion -> lesion", "lesion -> no lesion")):
        images = data.splits["test"].of_class(source)
        right = (judge.probabilities(images.images).argmax(1) == source).sum()
        assert found[name]["correct"] == right
        train = data.splits["train"].images
        can = judge.probabilities(train).argmax(1)
        assert found[name]["flips"]["count"] == (right if (can == 1 - source).any() else 0)
    nothing = flips_of(
        type("Nothing", (), {"translated": lambda self, images, *, toward: images})(), data, judge
    )["directions"]  # fmt: skip
    assert all(one["flips"]["count"] == 0 for one in nothing.values())
    counted = [one for one in nothing.values() if one["correct"]]
    assert counted
    assert all(one["error_to_twin"] == one["error_of_no_change"] for one in counted)
    assert made.classes == data.classes


def test_a_classifier_of_other_classes_is_refused(classifier, tmp_path):
    with pytest.raises(SettingsError, match=r"must tell no lesion from lesion on images of .40, 40."):
        trained(
            "translator_phantom.yaml", tmp_path / "x", *TRANSLATOR, "data.size=40", f"classifier={classifier}/bundle"
        )


@pytest.mark.parametrize(
    ("config", "override", "words"),
    [
        ("classifier_phantom.yaml", "classification.classes=3", "must be 2, 1 and 2"),
        ("classifier_phantom.yaml", "data.kind=mnist", "data"),
        ("classifier_phantom.yaml", "data.trian=4", "trian is not a setting. Did you mean 'train'"),
        ("classifier_phantom.yaml", "classification.widht=4", "Did you mean 'width'"),
        ("translator_phantom.yaml", f"{CYCLEGAN}.spatial_dims=3", "spatial_dims must be 2"),
        ("translator_phantom.yaml", "sampling.augment.shift=-1", "at least 0"),
    ],
)
def test_impossible_settings_are_refused(config, override, words, tmp_path):
    with pytest.raises(SettingsError, match=words):
        trained(config, tmp_path / "x", override)
