"""``medgan preprocess``: one image or a whole cohort, by recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.errors import SettingsError

Outcome = tuple[dict[str, Any], list[str], int]
"""Facts, lines for people, and the exit code."""


def preprocess(
    source: Path | None,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    modality: str | None = None,
    onto: Path | None = None,
    series: int | None = None,
    allow_gap: bool = False,
    assume_axes: bool = False,
    data_root: Path | None = None,
    workers: int | None = None,
    shard: str | None = None,
    scheduler: str | None = None,
    overrides: Sequence[str] = (),
    list_recipes: bool = False,
    overwrite: bool = False,
    pseudonym_key: Path | None = None,
    console: Console,
) -> Outcome:
    """Prepare what ``source`` is: a YAML file is a cohort's configuration, everything else an image.

    Parameters
    ----------
    source : Path or None
    recipe, modality, onto, series, allow_gap, assume_axes, overwrite, pseudonym_key
        As for :func:`~medgan.commands.preprocess_image.preprocess_image`.
    data_root, overrides
        As for :func:`~medgan.commands.preprocess_cohort.preprocess_cohort`.
    workers, shard, scheduler
        For a cohort; see :class:`~medgan.commands.out_of_core_hands.Hands`.
    out : Path, optional
        For either.
    list_recipes : bool
        Do nothing but list the recipes that come with medgan.
    console : Console

    Raises
    ------
    MedganError
        If something is refused: an image, an output, a configuration, or an option that does not belong to the source.
    """
    if list_recipes:
        from medgan.commands.recipe_files import list_recipes as listed

        facts = listed()
        width = max(len(each["name"]) for each in facts["recipes"])
        return facts, [f"{each['name']:<{width}}  {each['description']}" for each in facts["recipes"]], 0
    if source is None:
        raise SettingsError("Name an image, or the YAML configuration of a cohort; --list-recipes names the recipes.")
    of_image = {
        "--recipe": recipe,
        "--modality": modality,
        "--onto": onto,
        "--series": series,
        "--allow-gap": allow_gap,
        "--assume-axes": assume_axes,
        "--overwrite": overwrite,
        "--pseudonym-key": pseudonym_key,
    }
    if source.suffix.lower() in (".yaml", ".yml"):
        from medgan.commands.out_of_core_hands import Hands
        from medgan.commands.preprocess_cohort import exit_code_of, lines_of, preprocess_cohort

        refuse_any(of_image, "an image", f"{source.name} is a cohort's configuration, and a store is written once")
        hands = Hands.asked(workers=workers, shard=shard, scheduler=scheduler)
        facts = preprocess_cohort(
            source, data_root=data_root, out=out, overrides=overrides, hands=hands, console=console
        )
        return facts, lines_of(facts), exit_code_of(facts)
    from medgan.commands import preprocess_image

    of_cohort = {
        "--data-root": data_root,
        "--workers": workers,
        "--shard": shard,
        "--scheduler": scheduler,
        "--set": list(overrides),
    }
    refuse_any(of_cohort, "a cohort", f"{source.name} is taken as an image; a configuration ends in .yaml")
    facts = preprocess_image.preprocess_image(
        source,
        recipe=recipe,
        out=out,
        modality=modality,
        onto=onto,
        series=series,
        allow_gap=allow_gap,
        assume_axes=assume_axes,
        overwrite=overwrite,
        pseudonym_key=pseudonym_key,
        console=console,
    )
    return facts, preprocess_image.lines_of(facts), 0


def refuse_any(options: dict[str, Any], owner: str, found: str) -> None:
    """Refuse options that belong to something else than what was asked for.

    Raises
    ------
    SettingsError
    """
    given = [name for name, value in options.items() if value]
    if given:
        raise SettingsError(f"{', '.join(given)} belongs to {owner}: {found}.")
