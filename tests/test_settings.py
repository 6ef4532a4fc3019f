"""Configurations are read strictly: all faults at once, each with what was probably meant, and no path in a message."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from medgan.commands.training_settings import EXPERIMENTS, CycleGANExperiment, read_experiment
from medgan.errors import SettingsError
from medgan.settings import meant, read_yaml

METHODS = ", ".join(EXPERIMENTS)
CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs" / "mr_to_ct").glob("*.yaml"))
LIMBS: dict[str, Any] = yaml.safe_load(next(c for c in CONFIGS if c.stem == "sts").read_text(encoding="utf-8"))


def place_in(values: dict[str, Any], path: tuple[Any, ...]) -> Any:
    for key in path:
        values = values[key]
    return values


def with_value(*path: Any, to: Any) -> dict[str, Any]:
    """Return the real configuration with one setting changed or added."""
    values = copy.deepcopy(LIMBS)
    place_in(values, path[:-1])[path[-1]] = to
    return values


def without(*path: Any) -> dict[str, Any]:
    """Return the real configuration with one setting removed."""
    values = copy.deepcopy(LIMBS)
    del place_in(values, path[:-1])[path[-1]]
    return values


@pytest.fixture
def read(tmp_path) -> Callable[..., CycleGANExperiment]:
    """Write values as a file and read them as an experiment."""

    def written_and_read(values: Any, *overrides: str) -> CycleGANExperiment:
        (tmp_path / "limbs.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return read_experiment(tmp_path / "limbs.yaml", overrides)[0]

    return written_and_read


@pytest.fixture
def refusal(read, tmp_path) -> Callable[..., str]:
    """Return the message for values that are refused."""

    def message_for(values: Any, *overrides: str) -> str:
        with pytest.raises(SettingsError) as caught:
            read(values, *overrides)
        message = str(caught.value)
        assert "limbs.yaml" in message
        assert str(tmp_path) not in message
        assert "pydantic" not in message
        return message

    return message_for


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_configuration_of_the_project_is_valid(file):
    experiment, values = read_experiment(file)
    assert experiment.method == values["method"]
    if experiment.method == "cyclegan":
        assert experiment.method_settings().steps == values["cyclegan"]["steps"]


@pytest.mark.parametrize(
    ("path", "wrong", "meant_word"),
    [
        (("sede",), "sede", "seed"),
        (("data", "manifst"), "data.manifst", "manifest"),
        (("recipe", "sorce"), "recipe.sorce", "source"),
        (("recipe", "source", 0, "code"), "recipe.source.0.reorient.code", "codes"),
        (("recipe", "source", 1, "spacing"), "recipe.source.1.respace.spacing", "spacing_mm"),
        (("recipe", "source", 2, "closing"), "recipe.source.2.body_mask.closing", "closing_mm"),
        (("recipe", "source", 4, "percentile"), "recipe.source.4.mr_percentiles.percentile", "percentiles"),
        (("recipe", "target", 4, "knot"), "recipe.target.4.piecewise_hu.knot", "knots"),
        (("patch", "shap"), "patch.shap", "shape"),
        (("sampling", "focl"), "sampling.focl", "focal"),
        (("cyclegan", "leg_nose"), "cyclegan.leg_nose", "leg_noise"),
        (("cyclegan", "generator", "widht"), "cyclegan.generator.widht", "width"),
        (("cyclegan", "discriminator", "layer"), "cyclegan.discriminator.layer", "layers"),
        (("cyclegan", "weights", "identiy"), "cyclegan.weights.identiy", "identity"),
        (("cyclegan", "warm_start", "anchor_wieght"), "cyclegan.warm_start.anchor_wieght", "anchor_weight"),
        (("guard", "expected"), "guard.expected", "expected_polarity"),
        (("rhythm", "save_evry"), "rhythm.save_evry", "save_every"),
        (("model", "licence"), "model.licence", "license"),
    ],
)
def test_did_you_mean_at_every_level(refusal, path, wrong, meant_word):
    message = refusal(with_value(*path, to=1))
    assert f"limbs.yaml: {wrong} is not a setting. Did you mean {meant_word!r}? Known: " in message
    known = message.rpartition("Known: ")[2].rstrip(".").split(", ")
    assert meant_word in known
    assert not [name for name in known if name.startswith("_")]
    siblings = place_in(LIMBS, path[:-1]) if path[0] != "guard" else LIMBS["guard"]
    assert set(siblings) <= set(known)


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (("recipe", "source", 0), "stage, codes"),
        (("recipe", "target", 3), "stage, label, margin_mm"),
        (("recipe",), "source, target"),
        (("cyclegan", "weights"), "adversarial, cycle, identity, structure, phantoms"),
        (("sampling",), "focal, focus, flip_axes, gain"),
    ],
)
def test_only_the_settings_of_that_level_are_offered(refusal, path, known):
    assert refusal(with_value(*path, "zzz", to=1)).endswith(f"zzz is not a setting. Known: {known}.")


def test_a_word_like_no_other_gets_the_list_alone(refusal):
    message = refusal(with_value("patch", "zzz", to=1))
    assert "patch.zzz is not a setting. Known: shape, batch, inference_shape, overlap." in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (without("cyclegan", "steps"), "limbs.yaml: cyclegan.steps is missing."),
        (without("model"), "limbs.yaml: model is missing."),
        (without("recipe", "target"), "limbs.yaml: recipe.target is missing."),
        (without("recipe", "source", 1, "spacing_mm"), "limbs.yaml: recipe.source.1.respace.spacing_mm is missing."),
        (without("recipe", "source", 3, "stage"), "limbs.yaml: recipe.source.3 must say its kind: stage is missing."),
        (
            with_value("recipe", "source", 3, "stage", to="crp"),
            "limbs.yaml: recipe.source.3.stage is 'crp', which is not known. Did you mean 'crop'? Known: reorient, ",
        ),
        (with_value("recipe", "source", 3, to="crop"), "recipe.source.3"),
        (with_value("patch", "batch", to="many"), "patch.batch: Input should be a valid integer"),
        (with_value("patch", "overlap", to=1.5), "patch.overlap: Input should be less than 1: found 1.5."),
        (with_value("patch", "shape", to=[48, 0, 32]), "patch.shape.1: Input should be greater than 0: found 0."),
        (with_value("sampling", "flip_axes", to=[3]), "sampling.flip_axes.0: Input should be 0, 1 or 2: found 3."),
        (with_value("data", "phantoms", to={"kind": "foot"}), "data.phantoms.kind: Input should be 'head' or 'limb'"),
        (without("data", "manifest"), "data: give data.manifest or data.phantoms, one of the two."),
        (with_value("data", to=None), "data: Input should be a valid dictionary"),
        (with_value("cyclegan", to=3), "cyclegan: "),
        (with_value("cyclegan", "weights", "cycle", to=-1), "CycleGAN needs weights.cycle at least 0: found -1.0."),
        (with_value("cyclegan", "spatial_dims", to=2), "cyclegan.spatial_dims must be 3 to train on volumes: found 2."),
        (with_value("cyclegan", "body_mask", to=False), "cyclegan.body_mask must be true"),
        (with_value("cyclegan", "warm_start", to=3), "cyclegan.warm_start: "),
        (with_value("guard", "last", to=100), "guard.last must not be before guard.first: found 100 and 300."),
        (with_value("model", "name", to="../Limb"), "model.name: String should match pattern"),
        (with_value("recipe", "source", 0, "codes", to="XYZ"), "An orientation names one of R/L"),
        (
            with_value("recipe", "target", 4, to={"stage": "hu_window", "low_hu": 9, "high_hu": 0}),
            "recipe.target.4.hu_window: An intensity map needs two or more knots with strictly increasing values",
        ),
        (
            with_value("recipe", "source", 4, to={"stage": "mr_percentiles", "percentiles": [1, 99], "standard": [0]}),
            "standard needs one value for each of 2 percentiles: found 1.",
        ),
        (with_value("recipe", "source", 2, to={"stage": "reorient"}), "recipe.source needs the stage body_mask"),
        (with_value("recipe", "source", 4, to={"stage": "reorient"}), "recipe.source needs mr_percentiles"),
        (with_value("recipe", "target", 4, to={"stage": "reorient"}), "recipe.target needs hu_window or piecewise_hu"),
        (with_value("prior_table", to=[1, 2]), "prior_table.0: Input should be a valid tuple: found 1."),
        (with_value("prior_table", to=[[1, 2, 3], [4, 5, 6]]), "prior_table.1: Tuple should have at most 2 items"),
        (with_value("prior_table", to=[[1, 0], [0, 1]]), "rising source values"),
        (
            with_value("cyclegan", "warm_start", "knots", to=[[0, 0], [1, 1]]),
            "give prior_table or cyclegan.warm_start.k",
        ),
        (with_value("data", 1, to=2), "data.1: Keys should be strings"),
        (
            with_value("method", to="cyclgan"),
            "method must say what to train: found 'cyclgan'. Did you mean 'cyclegan'?",
        ),
        (with_value("method", to=["cyclegan"]), "method must say what to train: found ['cyclegan']."),
        (without("method"), f"method must say what to train: found None. Known: {METHODS}."),
    ],
)
def test_what_is_missing_or_wrong(refusal, values, message):
    assert message in refusal(values)


def test_all_faults_at_once(refusal):
    values = without("cyclegan", "steps")
    values |= {"sede": 1}
    values["patch"] |= {"overlap": 3, "batch": "x"}
    values["recipe"]["source"][0]["code"] = "RAS"
    values["recipe"]["target"][3]["stage"] = "crp"
    message = refusal(values)
    assert message.startswith("limbs.yaml has 6 faults:\n- ")
    for part in ("cyclegan.steps", "'seed'", "patch.overlap", "patch.batch", "'codes'", "'crop'"):
        assert part in message


class TestWhatIsKnownBeforehand:
    """A ring and phantoms correct a prior; each needs what it works on."""

    def test_emphasis_becomes_normalized(self, read):
        warm = read(LIMBS).method_settings().warm_start
        assert warm.emphasis.factor == LIMBS["bone_emphasis"]["factor"]
        assert warm.knots[0][1] < warm.emphasis.above < 1
        assert read(LIMBS).attention().share == LIMBS["bone_emphasis"]["share"]
        assert read(without("bone_emphasis")).attention() is None

    def test_the_ring_asks_for_a_table(self, read):
        assert read(LIMBS).contrast_prior() is not None
        assert read(without("cortical_ring")).contrast_prior() is None

    def test_a_ring_without_a_table_is_refused(self, refusal):
        values = without("prior_table")
        values["cyclegan"]["warm_start"]["knots"] = [[-1, 0.5], [1, -0.5]]
        assert "cortical_ring corrects a prior: give prior_table too" in refusal(values)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (without("varied_limbs"), "varied_limbs and cyclegan.weights.phantoms belong together"),
            (with_value("cyclegan", "weights", "phantoms", to=0.0), "belong together: give both or none"),
        ],
    )
    def test_what_does_not_fit_together(self, refusal, values, message):
        assert message in refusal(values)


class TestPriorTable:
    def test_it_becomes_normalized_knots(self, read):
        settings = read(with_value("prior_table", to=[[-1, -1024], [0, -160], [1, 3000]])).method_settings()
        # The ends of the target's map, and beyond it.
        assert settings.warm_start.knots == ((-1, -1), (0, pytest.approx(-0.8)), (1, 1))
        assert settings.warm_start.steps == LIMBS["cyclegan"]["warm_start"]["steps"]

    def test_without_it_the_method_keeps_its_own(self, read):
        values = without("prior_table")
        for name in ("cortical_ring", "varied_limbs", "bone_emphasis"):
            del values[name]
        del values["cyclegan"]["weights"]["phantoms"]
        values["cyclegan"]["warm_start"]["knots"] = [[-1, 0.5], [1, -0.5]]
        experiment = read(values)
        assert experiment.method_settings() == experiment.cyclegan
        assert experiment.cyclegan.warm_start.knots == ((-1, 0.5), (1, -0.5))


class TestOverrides:
    def test_values_are_read_as_yaml(self, read):
        experiment = read(
            LIMBS,
            "cyclegan.steps=7",
            "patch.shape=[8, 8, 4]",
            "guard=null",
            "model.name=short",
            "sampling.gain=0",
            "cyclegan.weights.cycle=5e-1",
        )
        assert experiment.cyclegan.steps == 7
        assert experiment.patch.shape == (8, 8, 4)
        assert experiment.guard is None
        assert experiment.model.name == "short"
        assert experiment.cyclegan.weights.cycle == 0.5
        assert experiment.cyclegan.generator.width == LIMBS["cyclegan"]["generator"]["width"], "the rest stays"

    def test_the_later_one_wins(self, read):
        assert read(LIMBS, "seed=3", "seed=4").seed == 4

    def test_overrides_are_checked_like_the_file(self, refusal):
        assert "cyclegan.stepz is not a setting. Did you mean 'steps'?" in refusal(LIMBS, "cyclegan.stepz=3")
        assert "patch.batch: Input should be a valid integer" in refusal(LIMBS, "patch.batch=x")
        assert "data.source: Input should be a valid string: found None" in refusal(LIMBS, "data.source=")

    @pytest.mark.parametrize("override", ["seed", "=3", " =3", "", "--seed"])
    def test_forms_that_are_none(self, read, override):
        with pytest.raises(SettingsError, match=r"form name=value, such as training.steps=100: found '"):
            read(LIMBS, override)

    def test_a_list_is_replaced_whole(self, refusal, read):
        assert "replace the list whole, as in name=[1,2]" in refusal(LIMBS, "recipe.source.0.codes=LPS")
        stages = "recipe.target=[{stage: body_mask}, {stage: hu_window}]"
        assert [stage.stage for stage in read(LIMBS, stages).recipe.target] == ["body_mask", "hu_window"]

    def test_a_value_that_is_no_yaml(self, refusal):
        assert "with its overrides must be settings: " in refusal(LIMBS, "patch.shape=[8")


class TestFiles:
    def refused(self, tmp_path: Path, data: bytes | str) -> str:
        file = tmp_path / "broken.yaml"
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        with pytest.raises(SettingsError) as caught:
            read_experiment(file)
        assert str(tmp_path) not in str(caught.value)
        return str(caught.value)

    def test_an_absent_file(self, tmp_path):
        with pytest.raises(SettingsError, match=r"there is no limbs.yaml\.$"):
            read_yaml(tmp_path / "limbs.yaml")

    def test_a_folder(self, tmp_path):
        with pytest.raises(SettingsError, match="there is no"):
            read_yaml(tmp_path)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ("seed: [1", "broken.yaml must be YAML: .* in line 2, column 1"),
            ("a: 1\nb: 2\na: 3\n", "broken.yaml must be YAML: found duplicate key a in line 3"),
            ("\tseed: 1", "broken.yaml must be YAML: found character .* in line 1, column 1"),
            ("a: b: c", "broken.yaml must be YAML: mapping values are not allowed .*in line 1"),
            (b"\xff\xfea", "broken.yaml must be YAML: 'utf-8' codec"),
            ("- seed: 1\n", "broken.yaml must be a mapping of settings: found a list"),
            ("3\n", "broken.yaml must be a readable YAML file: it holds a number"),
            (
                "seed: ${nope}\nmethod: cyclegan",
                "broken.yaml with its overrides must be settings: Interpolation key 'nope'",
            ),
            ("seed: ???\nmethod: cyclegan", "broken.yaml with its overrides must be settings: Missing mandatory value"),
            ("", "method must say what to train"),
            ("seed\n", "method must say what to train"),
        ],
    )
    def test_files_that_are_no_settings(self, tmp_path, data, message):
        assert re.search(message, self.refused(tmp_path, data))

    def test_no_python_object_is_made(self, tmp_path):
        assert "could not determine a constructor" in self.refused(tmp_path, "a: !!python/object/apply:os.getcwd []")

    def test_plain_values_come_back(self, tmp_path):
        (tmp_path / "a.yaml").write_text("a: {b: [1, x]}\nc: 1e3\n1: 2\n")
        assert read_yaml(tmp_path / "a.yaml", ["a.d=true"]) == {"a": {"b": [1, "x"], "d": True}, "c": 1000.0, "1": 2}


def test_meant():
    assert meant("identiy", ["cycle", "identity"]) == "Did you mean 'identity'? Known: cycle, identity."
    assert meant("zzz", ["cycle", "identity"]) == "Known: cycle, identity."
