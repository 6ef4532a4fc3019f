"""What a cohort is prepared by: a training's configuration, or its data and recipe sections alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from medgan.commands.training_settings import DataSettings, read_experiment
from medgan.errors import SettingsError
from medgan.preprocessing.recipe import Recipe, Stage
from medgan.settings import checked, read_yaml


class DomainRecipes(BaseModel):
    """How images of each domain are prepared; without a target's recipe only the source domain is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: list[Stage] = Field(min_length=1)
    target: list[Stage] | None = None


class PreparationSettings(BaseModel):
    """The data and recipe sections of a configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataSettings
    recipe: DomainRecipes


@dataclass(frozen=True)
class Preparation:
    """Which images, and the (not yet fitted) recipe of each domain."""

    data: DataSettings
    recipes: dict[str, Recipe]


def read_preparation(path: Path, overrides: Sequence[str] = ()) -> Preparation:
    """Return what a configuration says about preparing a cohort.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    values = read_yaml(path, overrides)
    if "stages" in values:
        raise SettingsError(
            f"{path.name} is a recipe, not a cohort's configuration: pass it by --recipe with an image."
        )
    if "method" in values:
        experiment, _ = read_experiment(path, overrides)
        return _preparation(experiment.data, experiment.recipe.source, experiment.recipe.target)
    settings = checked(values, PreparationSettings, name=path.name)
    return _preparation(settings.data, settings.recipe.source, settings.recipe.target)


def _preparation(data: DataSettings, source: Sequence[Stage], target: Sequence[Stage] | None) -> Preparation:
    recipes = {data.source: Recipe(tuple(source))}
    if target is not None:
        recipes[data.target] = Recipe(tuple(target))
    return Preparation(data, recipes)
