"""Training of a segmentation-enhanced CycleGAN (``method: secgan``) on stacks of sections or volumes of a cohort."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medgan.commands.secgan_settings import SecganExperiment, VolumeData
from medgan.commands.training_session import (
    TrainingRequest,
    finished_result,
    opened_run,
    status_kept,
    written_result,
)

if TYPE_CHECKING:
    from medgan.commands.train_secgan_choice import Score
    from medgan.commands.train_secgan_segmenter import FrozenSegmenter
    from medgan.inference.bundle import ModelBundle
    from medgan.runs import Run


@dataclass(frozen=True)
class Domains:
    """What a training needs of its two domains.

    Parameters
    ----------
    digest : str
        Of the data.
    require : callable
        Refuses a segmenter that does not fit.
    prepare : callable
        From the run to ``batches(step, attempt)``.
    score : callable
        From segmenter and device to what scores a state, None where there is no validation.
    facts : callable
        From the run to what the bundle says beside the common facts.
    """

    digest: str
    require: Callable[[FrozenSegmenter], None]
    prepare: Callable[[Run], Any]
    score: Callable[[FrozenSegmenter, str], Score | None]
    facts: Callable[[Run], dict[str, Any]]


def train_secgan(request: TrainingRequest) -> dict[str, Any]:
    """Train a SECGAN, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data, segmenter or run folder are refused; DivergenceError if a loss is not finite or the polarity stays
        wrong after three restarts.
    """
    from medgan.commands.train_secgan_choice import CandidateObserver
    from medgan.commands.train_secgan_segmenter import frozen_segmenter
    from medgan.commands.training_observers import ProgressObserver, TensorBoardObserver
    from medgan.methods.secgan import secgan
    from medgan.networks.form import preferred_form
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: SecganExperiment = request.experiment
    console, settings, rhythm = request.console, experiment.secgan, experiment.rhythm
    domains = _volumes(request, experiment.data) if isinstance(experiment.data, VolumeData) else _stacks(request)
    # A segmenter that does not fit is refused before there is a run folder.
    tried = frozen_segmenter(experiment, request.config, device="cpu", precision="float32")
    if tried is not None:
        domains.require(tried)
    run = opened_run(request, domains.digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished
    began = run.environment
    precise, device = began["precision"]["precision"], began["device"]
    segmenter = frozen_segmenter(experiment, request.config, device=device, precision=precise)
    with status_kept(run):
        batches = domains.prepare(run)
        score = None
        if experiment.selection is not None and segmenter is not None:
            score = domains.score(segmenter, device)
        run.set_status("training")
        console.notice(
            f"training {experiment.model.name}, segmentation {settings.segmentation}, on {device} in {precise} "
            f"({began['precision']['reason']})"
        )
        with console.progress("training") as advance:
            observers: list[Any] = [
                ProgressObserver(advance, settings.steps),
                TensorBoardObserver(run.part("tensorboard")),
            ]
            if score is not None and experiment.selection is not None:
                every = experiment.selection.every
                folder = run.part("candidates")
                observers.append(CandidateObserver(folder, every=every, steps=settings.steps, score=score))
            method = secgan() if segmenter is None else secgan(segmenter.module, channels=segmenter.channels)
            state = run_loop(
                method,
                settings,
                batches=batches,
                folder=request.folder,
                loop=LoopSettings(
                    steps=settings.steps,
                    save_every=rhythm.save_every,
                    observe_every=_observed_every(experiment),
                    keep_last=rhythm.keep_last,
                    keep_every=rhythm.keep_every,
                    prefetch=rhythm.prefetch,
                ),
                seed=experiment.seed,
                device=device,
                precision=precise,
                form=preferred_form(device, precise),
                guard=_guard(experiment),
                observers=observers,
            )
        bundle, chosen = _exported(run, request, domains, state)
        result = written_result(
            run, model=bundle.facts.name, weights_sha256=bundle.facts.weights_sha256, steps=state.step
        )
        result |= {"chosen": chosen}
        (run.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    run.set_status("finished", steps=state.step)
    return result


def _observed_every(experiment: SecganExperiment) -> int:
    """Return the largest rhythm at which every step that observers wait for is seen."""
    from math import gcd

    every = experiment.rhythm.observe_every
    return every if experiment.selection is None else gcd(every, experiment.selection.every)


def _guard(experiment: SecganExperiment) -> Any:
    from medgan.training.monitors import PolarityGuard

    if experiment.guard is None:
        return None
    guard = experiment.guard
    steps = tuple(range(guard.first, guard.last + 1, guard.every))
    return PolarityGuard(expected_polarity=guard.expected_polarity, check_steps=steps)


def _stacks(request: TrainingRequest) -> Domains:
    from medgan.commands.em_data import em_study, gray_tables_for
    from medgan.commands.train_secgan_segmenter import require_stack_segmenter

    experiment: SecganExperiment = request.experiment
    data, patch = experiment.data, experiment.patch
    study = em_study(data, config=request.config, data_root=request.data_root)  # type: ignore[arg-type]
    halo = generator_halo(experiment)

    def prepare(run: Run) -> Any:
        from medgan.patches.em_batches import secgan_batches
        from medgan.patches.em_sampler import EmSampler

        unlabeled, _ = gray_tables_for(study, experiment.matching)
        shape, ranged = patch.shape_ijk, experiment.input_range  # type: ignore[union-attr]
        return secgan_batches(
            labeled=EmSampler(study.labeled, shape, experiment.augment, ranged),
            unlabeled=EmSampler(unlabeled, shape, experiment.augment, ranged),
            seed=experiment.seed,
            size=patch.batch,  # type: ignore[union-attr]
        )

    def score(segmenter: FrozenSegmenter, device: str) -> Score | None:
        from medgan.commands.train_secgan_choice import stack_score

        if study.validation is None:
            return None
        tile = patch.tile_ijk  # type: ignore[union-attr]
        return stack_score(experiment, segmenter, study.validation, device=device, tile=tile, halo=halo)

    def facts(run: Run) -> dict[str, Any]:
        _, counts = gray_tables_for(study, experiment.matching)
        return {
            "task": "em_contrast",
            "voxel_size_zyx_nm": list(study.voxel_size_zyx_nm),
            "input_range": list(experiment.input_range),
            "tile": list(patch.tile_ijk),  # type: ignore[union-attr]
            "halo": list(halo),
            "matching": experiment.matching,
            "reference_counts": counts,
        }

    def require(segmenter: FrozenSegmenter) -> None:
        require_stack_segmenter(segmenter, experiment, study)

    return Domains(study.digest, require, prepare, score, facts)


def generator_halo(experiment: SecganExperiment) -> tuple[int, int, int]:
    """Return the voxels that a generator needs on each side, along x, y, z."""
    generator = experiment.secgan.generator
    across = sum(kernel - 1 for kernel in generator.section_kernels or (3,) * generator.depth)
    return 2 * generator.depth, 2 * generator.depth, across


def _volumes(request: TrainingRequest, data: VolumeData) -> Domains:
    from medgan.commands.cohort_data import fitted_recipe, opened_cohort, prepared_cases, training_entries
    from medgan.commands.train_secgan_segmenter import require_tissue_segmenter
    from medgan.preprocessing.recipe import Recipe

    experiment: SecganExperiment = request.experiment
    phantoms = request.phantoms or request.folder.with_name(f"{request.folder.name}_phantoms")
    cohort = opened_cohort(data.cohort, request.config, request.data_root, phantoms, request.console)
    unlabeled, labeled = training_entries(cohort.manifest, source=data.cohort.source, target=data.cohort.target)
    target_recipe = Recipe(tuple(data.recipe.target))
    intensity: Any = target_recipe.intensity_map
    found: dict[str, Any] = {}

    def prepared(run: Run) -> tuple[Any, Any, Any]:
        """Return the source recipe and the prepared cases of both domains; made once."""
        if not found:
            store = request.store or run.part("prepared")
            recipe = fitted_recipe(
                Recipe(tuple(data.recipe.source)), cohort.manifest, cohort.root, domain=data.cohort.source
            )
            found["recipe"] = recipe
            for name, entries, one in (("unlabeled", unlabeled, recipe), ("labeled", labeled, target_recipe)):
                found[name] = prepared_cases(
                    entries, cohort.root, recipe=one, store_root=store, console=request.console
                )
        return found["recipe"], found["labeled"], found["unlabeled"]

    def samplers(run: Run) -> tuple[Any, Any]:
        from medgan.patches.augment import AugmentSettings
        from medgan.patches.sampler import PatchSampler

        _, of_labeled, of_unlabeled = prepared(run)
        shape, sampling = data.patch.shape, data.sampling
        return (
            PatchSampler(of_labeled, shape, AugmentSettings(flip_axes=sampling.flip_axes), sampling.focus),
            PatchSampler(
                of_unlabeled, shape, AugmentSettings(flip_axes=sampling.flip_axes, gain=sampling.gain), sampling.focus
            ),
        )

    def prepare(run: Run) -> Any:
        from medgan.patches.em_batches import secgan_batches

        of_labeled, of_unlabeled = samplers(run)
        return secgan_batches(labeled=of_labeled, unlabeled=of_unlabeled, seed=experiment.seed, size=data.patch.batch)

    def score(segmenter: FrozenSegmenter, device: str) -> Score | None:
        import numpy as np
        import torch

        from medgan.commands.train_secgan_choice import volume_score
        from medgan.patches.augment import AugmentSettings
        from medgan.patches.sampler import PatchSampler
        from medgan.seeding import numpy_generator

        plain = PatchSampler(found["labeled"], data.patch.shape, AugmentSettings(), data.sampling.focus)
        generator = numpy_generator(experiment.seed, "selection")
        count = experiment.selection.patches if experiment.selection is not None else 1
        images = np.stack([plain.drawn(generator).image for _ in range(count)])[:, None]
        return volume_score(segmenter, torch.from_numpy(images))

    def facts(run: Run) -> dict[str, Any]:
        from medgan.commands.cohort_data import read_case
        from medgan.inference.domain_check import TrainedDomain, fingerprint_of

        recipe, _, of_unlabeled = prepared(run)
        prints = [
            fingerprint_of(source=read_case(entry, cohort.root).image, prepared=case)
            for entry, case in zip(unlabeled, of_unlabeled)
        ]
        return {
            "task": "translation",
            "source": {"domain": data.cohort.source, "modality": data.cohort.source.upper(), "quantity": "mr_signal"},
            "target": {"domain": data.cohort.target, "modality": data.cohort.target.upper(), "quantity": "hounsfield"},
            "recipe": recipe.as_json(),
            "target_knots": [list(knot) for knot in intensity.knots],
            "patch": {"shape": list(data.patch.inference_shape or data.patch.shape), "overlap": data.patch.overlap},
            "trained_domain": TrainedDomain(cases=tuple(prints)),
        }

    def require(segmenter: FrozenSegmenter) -> None:
        stages = [stage for stage in data.recipe.target if stage.stage == "respace"]
        spacing = stages[0].spacing_mm if stages else (1.0, 1.0, 1.0)
        knots = intensity.knots
        require_tissue_segmenter(segmenter, domain=data.cohort.target, knots=knots, spacing_mm=spacing)

    return Domains(cohort.manifest.digest, require, prepare, score, facts)


def _exported(run: Run, request: TrainingRequest, domains: Domains, state: Any) -> tuple[ModelBundle[Any], Any]:
    """Write the generator from the unlabeled to the labeled domain as a bundle; return it and the chosen candidate."""
    from medgan.commands.train_secgan_choice import chosen_candidate
    from medgan.inference.bundle import ModelBundle
    from medgan.reporting.model_card import render_model_card

    experiment: SecganExperiment = request.experiment
    model, settings = experiment.model, experiment.secgan
    best = chosen_candidate(run.folder / "candidates")
    chosen, weights = best if best is not None else (None, state.generator_weights("unlabeled_to_labeled"))
    special = domains.facts(run)
    kernels = settings.generator.section_kernels
    words = {
        "none": "no segmenter (a CycleGAN)",
        "mask": "a discriminator of segmentations alone",
        "both": "a discriminator of segmentation and image together",
        "separate": "one discriminator of images and one of segmentations",
    }[settings.segmentation]
    facts: dict[str, Any] = {
        "name": model.name,
        "trained_anatomy": model.trained_anatomy,
        "network": {
            "name": "valid_residual_generator",
            "settings": {
                "depth": settings.generator.depth,
                "width": settings.generator.width,
                "section_kernels": None if kernels is None else list(kernels),
                "noise_channels": settings.generator.noise_channels,
                "head": settings.generator.head,
                "padding": "reflect" if special["task"] == "translation" else "valid",
            },
        },
        "training": {
            "method": experiment.method,
            "config_sha256": request.config_sha256,
            "manifest_sha256": domains.digest,
            "steps": state.step if chosen is None else chosen["step"],
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
        **special,
    }
    results = []
    if chosen is not None:
        results.append(
            {"method": model.name, "measure": "round trip (chosen by it)", "value": round(chosen["score"], 4), "n": 1,
             "unit": "bit VOI" if special["task"] == "em_contrast" else "1 - Dice", "data": "labeled validation"}
        )  # fmt: skip
    card = render_model_card(
        {
            "name": model.name,
            "task": "Translation of an unlabeled contrast to a labeled one, unpaired",
            "trained_anatomy": model.trained_anatomy,
            "intended_use": model.intended_use,
            "not_for": model.not_for,
            "license": model.license,
            "training_data": [{"name": model.data, "license": model.data_license, "citation": model.data_citation}],
            "recipe": [
                f"SECGAN with {words}; {state.step} steps, seed {experiment.seed}; gray values matched first: "
                f"{experiment.matching}.",
                f"VALID residual generators of depth {settings.generator.depth}, width {settings.generator.width}; "
                f"cycle weights {settings.weights.cycle_labeled:g} (labeled) and {settings.weights.cycle_unlabeled:g}.",
            ],
            "results": results,
            "limits": model.limits,
        }
    )
    return ModelBundle.write(run.folder / "bundle", facts=facts, weights=weights, card=card), chosen
