"""What a training of a translator knows beforehand: prior images of its sources, and pairs of phantoms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.commands.console import Console
    from medgan.commands.training_settings import CycleGANExperiment, VariedLimbs
    from medgan.patches.augment import AugmentSettings
    from medgan.patches.sampler import PatchSampler
    from medgan.preprocessing.recipe import Recipe

FloatArray = npt.NDArray[np.float32]


def source_sampler(experiment: CycleGANExperiment, sources: Sequence[Case], augment: AugmentSettings) -> PatchSampler:
    """Return the sampler of source patches, with prior images where the configuration asks for them."""
    from medgan.patches.sampler import PatchSampler
    from medgan.preprocessing.recipe import Recipe

    prior, target = experiment.contrast_prior(), Recipe(tuple(experiment.recipe.target)).intensity_map
    priors: list[FloatArray] = []
    if prior is not None and target is not None:
        priors = [target.forward(prior.expected_hu(case.image, case.label("body"))) for case in sources]
    attention = experiment.attention() if priors else None
    shape, focus = experiment.patch.shape, experiment.sampling.focus
    return PatchSampler(sources, shape, augment, focus, priors, attention)


def phantom_sampler(
    experiment: CycleGANExperiment,
    source_recipe: Recipe,
    augment: AugmentSettings,
    *,
    jobs: int,
    console: Console,
) -> PatchSampler | None:
    """Draw the phantoms of the configuration and prepare them like patients; None where it has none.

    They are drawn anew whenever a training goes on: they follow from the configuration.
    """
    from medgan.commands.parallel import each_done
    from medgan.patches.sampler import PatchSampler
    from medgan.preprocessing.recipe import Recipe

    limbs = experiment.varied_limbs
    if limbs is None:
        return None
    draw = partial(
        phantom_pair, limbs=limbs, source_recipe=source_recipe, target_recipe=Recipe(tuple(experiment.recipe.target))
    )
    pairs: dict[int, tuple[Case, FloatArray]] = {}
    with console.progress("drawing phantoms") as advance:
        for number, pair in each_done(draw, range(limbs.count), jobs=jobs):
            pairs[number] = pair
            advance(len(pairs), limbs.count)
    ordered = [pairs[number] for number in range(limbs.count)]
    return PatchSampler(
        [case for case, _ in ordered],
        experiment.patch.shape,
        augment,
        experiment.sampling.focus,
        [target for _, target in ordered],
        experiment.attention(),
    )


def phantom_pair(
    number: int, *, limbs: VariedLimbs, source_recipe: Recipe, target_recipe: Recipe
) -> tuple[Case, FloatArray]:
    """Return a prepared phantom and its normalized true target on the same grid, -1 outside the body."""
    from medgan.cohort import Case
    from medgan.phantoms.varied_limb import varied_limb
    from medgan.seeding import numpy_generator
    from medgan.volume.resample import resample

    phantom = varied_limb(
        generator=numpy_generator(limbs.seed, "varied limb", number),
        number=number,
        shape=limbs.shape,
        spacing_mm=limbs.spacing_mm,
    )
    name = f"phantom_{number:03d}"
    source = source_recipe(Case(name, name, {"mr": phantom.mr}))
    target = target_recipe(Case(name, name, {"ct": phantom.ct})).image
    aligned = np.asarray(resample(target, source.image.grid).array)
    return source, np.where(source.label("body").mask(), aligned, np.float32(-1.0))
