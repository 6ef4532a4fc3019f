"""A study of a model that is there already: nothing is trained, and its bundle stands where the chosen one would.

For a model whose training's folder is gone, such as an embedded one: its facts still say by digests which configuration
and which images it came from, so that the study can tell whether its test subjects are new to it.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from medgan.errors import CohortError, SettingsError

if TYPE_CHECKING:
    from medgan.commands.study import Part, Study
    from medgan.inference.bundle import ModelBundle

RULE = "none: the model was given, and the study trained nothing."


def model_of_study(part: Part) -> ModelBundle[Any]:
    """Return the model that the study was given, after comparing where it comes from with the study.

    Raises
    ------
    BundleError
        If there is no such model, or it translates nothing.
    SettingsError
        If the study has folds: one model would be tested on subjects that it was trained on.
    CohortError
        If the model comes from another configuration or from other images.
    """
    from medgan.inference.bundle import find_bundle

    study = part.study
    if part.fold is not None:
        raise SettingsError(
            f"One model cannot be tested by folds: {study.config.name} trains one for each. Leave --model out."
        )
    bundle = find_bundle(str(study.model), task="translation")
    training = bundle.facts.training
    for name, came_from, here in (
        ("configuration", training.config_sha256, study.config_sha256),
        ("manifest", training.manifest_sha256, part.cohort.manifest.digest),
    ):
        if came_from != here:
            raise CohortError(
                f"A study measures a model of its own configuration and images, because another one may have been "
                f"trained on the test subjects: {bundle.facts.name} comes from {name} {came_from[:12]}…, this is "
                f"{here[:12]}…. Use the configuration that it was trained with, or leave --model out and train."
            )
    return bundle


def given_choice(part: Part) -> dict[str, Any]:
    """Put the given model where a chosen checkpoint's bundle would stand; return what ``choice.json`` says of it."""
    bundle, folder = model_of_study(part), part.choice / "bundle"
    if not folder.is_dir():
        temporary = part.choice / ".bundle"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(bundle.folder, temporary)
        temporary.rename(folder)
    facts = bundle.facts
    return {"rule": RULE, "given": facts.name, "chosen_step": facts.training.steps, "checkpoints": []}


def is_given(part: Part) -> bool:
    """Tell whether the training's model was given to the study."""
    path = part.choice / "choice.json"
    return path.is_file() and "given" in json.loads(path.read_text(encoding="utf-8"))


def require_one_origin(study: Study) -> None:
    """Refuse a folder in which a model was trained where one is given, another one than before, or the reverse.

    Raises
    ------
    SettingsError
    """
    for part in study.parts():
        if not (part.choice / "choice.json").is_file():
            continue
        if is_given(part) != (study.model is not None):
            found, cure = (
                ("was given", "pass --model again") if is_given(part) else ("was trained", "leave --model out")
            )
            raise SettingsError(f"The model of study {study.folder.name} {found}: {cure}, or choose another --out.")
        if study.model is not None:
            now, before = model_of_study(part).facts.weights_sha256, part.bundle().facts.weights_sha256
            if now != before:
                raise SettingsError(
                    f"Study {study.folder.name} measures the model with weights {before[:12]}…: found {now[:12]}…. "
                    "Choose another --out."
                )
