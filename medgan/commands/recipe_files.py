"""Recipes by name: one YAML file each, those that come with medgan and a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from medgan.errors import SettingsError
from medgan.preprocessing.recipe import Recipe, Stage
from medgan.settings import checked, meant, read_yaml
from medgan.volume import Quantity

QUANTITY_OF = {"mr": Quantity.MR_SIGNAL, "ct": Quantity.HOUNSFIELD, "em": Quantity.EM_SIGNAL}
"""What an image of a modality measures."""


class RecipeFile(BaseModel):
    """A recipe as a file: a line that says what it is for, the modality it needs (if any), and its stages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(min_length=1)
    modality: Literal["mr", "ct", "em"] | None = None
    stages: list[Stage] = Field(min_length=1)

    @property
    def recipe(self) -> Recipe:
        """The stages; what can be fitted without cases is."""
        recipe = Recipe(tuple(self.stages))
        return recipe if recipe.learns else recipe.fitted(())


def recipe_folder() -> Path:
    """Return the folder of the recipes that come with medgan."""
    return Path(__file__).resolve().parents[1] / "recipes"


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with medgan, sorted."""
    return tuple(sorted(file.stem for file in recipe_folder().glob("*.yaml")))


def find_recipe(name_or_file: str) -> tuple[str, RecipeFile]:
    """Return name and content of a recipe that comes with medgan, or of a YAML file.

    Raises
    ------
    SettingsError
        If there is neither, or with every fault of the file at once.
    """
    if name_or_file in recipe_names():
        path = recipe_folder() / f"{name_or_file}.yaml"
    else:
        path = Path(name_or_file)
        if path.suffix.lower() not in (".yaml", ".yml"):
            raise SettingsError(
                f"A recipe is a name or a YAML file: found {path.name!r}. {meant(path.name, recipe_names())}"
            )
    return path.stem, checked(read_yaml(path), RecipeFile, name=path.name)


def list_recipes() -> dict[str, Any]:
    """Return name, description, modality, stages and digest of every recipe that comes with medgan."""
    recipes = []
    for name in recipe_names():
        _, file = find_recipe(name)
        recipes.append(
            {
                "name": name,
                "description": file.description,
                "modality": file.modality,
                "stages": [stage.stage for stage in file.stages],
                "digest": file.recipe.digest,
            }
        )
    return {"recipes": recipes}
