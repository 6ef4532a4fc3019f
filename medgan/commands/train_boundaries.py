"""Training of a segmenter (``method: boundaries``): boundaries or affinities in stacks, or a tissue in volumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

from medgan.commands.boundary_settings import BoundaryExperiment, TissueData
from medgan.commands.training_session import (
    TrainingRequest,
    finished_result,
    opened_run,
    status_kept,
    written_result,
)

if TYPE_CHECKING:
    from medgan.commands.em_data import EmStudy, KnownStack
    from medgan.inference.bundle import ModelBundle
    from medgan.methods.boundary_segmentation import BoundaryState
    from medgan.runs import Run


def train_boundaries(request: TrainingRequest) -> dict[str, Any]:
    """Train a segmenter, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.training_observers import ProgressObserver, TensorBoardObserver
    from medgan.methods.table import METHODS
    from medgan.networks.form import preferred_form
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: BoundaryExperiment = request.experiment
    console, settings, rhythm = request.console, experiment.boundaries, experiment.rhythm
    if isinstance(experiment.data, TissueData):
        digest, prepare, finish = _tissue(request, experiment.data)
    else:
        digest, prepare, finish = _stacks(request)
    run = opened_run(request, digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished
    began = run.environment
    precise, device = began["precision"]["precision"], began["device"]
    with status_kept(run):
        batches = prepare(run)
        run.set_status("training")
        console.notice(f"training {experiment.model.name} on {device} in {precise} ({began['precision']['reason']})")
        with console.progress("training") as advance:
            state = run_loop(
                METHODS[experiment.method],
                settings,
                batches=batches,
                folder=request.folder,
                loop=LoopSettings(
                    steps=settings.steps,
                    save_every=rhythm.save_every,
                    observe_every=rhythm.observe_every,
                    keep_last=rhythm.keep_last,
                    keep_every=rhythm.keep_every,
                    prefetch=rhythm.prefetch,
                ),
                seed=experiment.seed,
                device=device,
                precision=precise,
                form=preferred_form(device, precise),
                observers=[
                    ProgressObserver(advance, settings.steps),
                    TensorBoardObserver(run.part("tensorboard")),
                ],
            )
        bundle = finish(run, state)
        result = written_result(
            run, model=bundle.facts.name, weights_sha256=bundle.facts.weights_sha256, steps=state.step
        )
    run.set_status("finished", steps=state.step)
    return result


Prepare = Callable[["Run"], Any]
Finish = Callable[["Run", "BoundaryState"], "ModelBundle[Any]"]


def _stacks(request: TrainingRequest) -> tuple[str, Prepare, Finish]:
    """Return the digest of the stacks, what makes batches of them, and what makes a bundle of the trained state."""
    from medgan.commands.em_data import em_study

    experiment: BoundaryExperiment = request.experiment
    data: Any = experiment.data
    study = em_study(data, config=request.config, data_root=request.data_root)

    def prepare(run: Run) -> Any:
        from medgan.patches.em_batches import boundary_batches
        from medgan.patches.em_sampler import EmSampler

        patch: Any = experiment.patch
        sampler = EmSampler(study.labeled, patch.shape_ijk, experiment.augment, experiment.input_range)
        return boundary_batches(
            sampler=sampler,
            offsets_ijk=experiment.boundaries.offsets_ijk,
            background=experiment.background,
            seed=experiment.seed,
            size=patch.batch,
        )

    return study.digest, prepare, partial(_finish_stacks, request, study)


def _finish_stacks(request: TrainingRequest, study: EmStudy, run: Run, state: BoundaryState) -> ModelBundle[Any]:
    experiment: BoundaryExperiment = request.experiment
    network, patch = state.segmenter, experiment.patch
    granularity = network.granularity
    # A margin of whole pooling steps keeps the lattice of the coarse levels where it is; its default is half of what
    # the network could see at most (a free choice: what lies farther changes a logit little).
    wanted = experiment.halo_zyx[::-1] if experiment.halo_zyx is not None else tuple(r // 2 for r in network.reach)
    facts: dict[str, Any] = {
        **_common_facts(request, study.digest, state),
        "task": "boundaries",
        "network": _network_facts(experiment),
        "voxel_size_zyx_nm": list(study.voxel_size_zyx_nm),
        "input_range": list(experiment.input_range),
        "tile": [-(-t // g) * g for t, g in zip(patch.tile_ijk, granularity)] if patch is not None else [],
        "halo": [-(-h // g) * g for h, g in zip(wanted, granularity)],
        "offsets": [list(offset) for offset in experiment.boundaries.offsets_ijk],
        "watershed": experiment.watershed.model_dump(),
    }
    results: list[dict[str, Any]] = []
    if experiment.tuning is not None and study.validation is not None:
        facts["watershed"], results = _tuned(request, run, facts, state, study.validation)
    return _written(run, request, facts, state, results, cases=len(study.labeled))


def _tuned(
    request: TrainingRequest, run: Run, facts: dict[str, Any], state: BoundaryState, known: KnownStack
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Choose the watershed by variation of information on validation labels; return it and the card's rows."""
    from medgan.evaluation.instances import instance_scores, overlaps
    from medgan.inference.tilewise import run_tilewise
    from medgan.inference.watershed import instances_of
    from medgan.methods.boundary_segmentation import ProbabilitySegmenter

    experiment: BoundaryExperiment = request.experiment
    tuning: Any = experiment.tuning
    box = central_box(known.image.grid.shape, tuning.extent_zyx[::-1])
    state.segmenter.load_state_dict(state.weights())
    probabilities = run_tilewise(
        ProbabilitySegmenter(state.segmenter).eval(),
        known.image,
        box,
        tile=tuple(facts["tile"]),
        halo=tuple(facts["halo"]),
        input_range=experiment.input_range,
        device=run.environment["device"],
    )
    truth = known.instances.read(box).array
    offsets, spacing = experiment.boundaries.offsets_ijk, known.image.grid.spacing
    if experiment.watershed.kind == "mutex":
        trials = [{"bias": bias} for bias in tuning.bias]
    else:
        names = ("threshold", "seed_distance_nm", "agglomeration")
        trials = [dict(zip(names, values)) for values in product(*(getattr(tuning, name) for name in names))]
    found = []
    with request.console.progress("choosing the watershed") as advance:
        for done, trial in enumerate(trials, start=1):
            settings = experiment.watershed.model_copy(update=trial)
            labels = instances_of(probabilities, offsets=offsets, spacing=spacing, settings=settings)
            scores = instance_scores(overlaps(result=labels, reference=truth))
            found.append({**trial, **scores.as_dict()})
            advance(done, len(trials))
    best = min(found, key=lambda each: each["voi"])
    (run.folder / "watershed.json").write_text(json.dumps({"chosen": best, "tried": found}, indent=1) + "\n")
    place = f"validation, {' x '.join(map(str, box.shape))} voxels, which the watershed was chosen on"
    rows = [
        {"method": request.experiment.model.name, "measure": name, "value": round(best[key], 4), "unit": unit,
         "n": 1, "data": place}
        for name, key, unit in (("VOI", "voi", "bit"), ("adapted Rand error", "adapted_rand_error", ""))
    ]  # fmt: skip
    chosen = experiment.watershed.model_copy(update={key: best[key] for key in trials[0]})
    return chosen.model_dump(), rows


def central_box(shape: tuple[int, int, int], extent: Any) -> Any:
    """Return the middle of a volume, of an extent or of what there is of it."""
    from medgan.geometry import Box

    start = [max((n - e) // 2, 0) for n, e in zip(shape, extent)]
    stop = [min(s + e, n) for s, e, n in zip(start, extent, shape)]
    return Box(tuple(start), tuple(stop))


def _tissue(request: TrainingRequest, data: TissueData) -> tuple[str, Prepare, Finish]:
    """The same for volumes of a cohort, whose target is a threshold."""
    from medgan.commands.cohort_data import opened_cohort, prepared_cases
    from medgan.preprocessing.recipe import Recipe

    experiment: BoundaryExperiment = request.experiment
    phantoms = request.phantoms or request.folder.with_name(f"{request.folder.name}_phantoms")
    cohort = opened_cohort(data.cohort, request.config, request.data_root, phantoms, request.console)
    entries = cohort.manifest.select(split="train", domain=data.domain)
    recipe = Recipe(tuple(data.recipe)).fitted(())
    intensity: Any = recipe.intensity_map

    def prepare(run: Run) -> Any:
        import numpy as np

        from medgan.patches.augment import AugmentSettings
        from medgan.patches.em_batches import threshold_batches
        from medgan.patches.sampler import PatchSampler

        store = request.store or run.part("prepared")
        cases = prepared_cases(entries, cohort.root, recipe=recipe, store_root=store, console=request.console)
        augment = AugmentSettings(flip_axes=data.sampling.flip_axes)
        above = float(intensity.forward(np.array([data.above]))[0])
        sampler = PatchSampler(cases, data.patch.shape, augment, data.sampling.focus)
        return threshold_batches(sampler=sampler, above=above, seed=experiment.seed, size=data.patch.batch)

    def finish(run: Run, state: BoundaryState) -> ModelBundle[Any]:
        spacing = next(
            (stage.spacing_mm for stage in data.recipe if stage.stage == "respace"),
            (1.0, 1.0, 1.0),
        )
        facts = {
            **_common_facts(request, cohort.manifest.digest, state),
            "task": "tissue",
            "network": _network_facts(experiment),
            "domain": data.domain,
            "modality": data.domain.upper(),
            "tissue": data.tissue,
            "knots": [list(knot) for knot in intensity.knots],
            "spacing_mm": list(spacing),
            "patch": list(data.patch.inference_shape or data.patch.shape),
        }
        return _written(run, request, facts, state, [], cases=len(entries))

    return cohort.manifest.digest, prepare, finish


def _common_facts(request: TrainingRequest, digest: str, state: BoundaryState) -> dict[str, Any]:
    experiment: BoundaryExperiment = request.experiment
    model = experiment.model
    return {
        "name": model.name,
        "trained_anatomy": model.trained_anatomy,
        "training": {
            "method": experiment.method,
            "config_sha256": request.config_sha256,
            "manifest_sha256": digest,
            "steps": state.step,
            "seed": experiment.seed,
            "data": model.data,
            "data_license": model.data_license,
        },
        "license": model.license,
        "intended_use": model.intended_use,
    }


def _network_facts(experiment: BoundaryExperiment) -> dict[str, Any]:
    settings = experiment.boundaries
    kernels = settings.network.section_kernels
    return {
        "name": "boundary_unet",
        "settings": {
            "out_channels": settings.out_channels,
            "width": settings.network.width,
            "section_pools": list(settings.network.section_pools),
            "section_kernels": None if kernels is None else list(kernels),
        },
    }


def _written(
    run: Run,
    request: TrainingRequest,
    facts: dict[str, Any],
    state: BoundaryState,
    results: list[dict[str, Any]],
    *,
    cases: int,
) -> ModelBundle[Any]:
    from medgan.inference.bundle import ModelBundle
    from medgan.reporting.model_card import render_model_card

    experiment: BoundaryExperiment = request.experiment
    model, settings = experiment.model, experiment.boundaries
    kind = f"affinities to {len(settings.offsets_zyx)} neighbors" if settings.offsets_zyx else "boundaries"
    if facts["task"] == "tissue":
        kind = f"{facts['tissue']}, defined by a threshold"
    card = render_model_card(
        {
            "name": model.name,
            "task": f"Segmentation: {kind}",
            "trained_anatomy": model.trained_anatomy,
            "intended_use": model.intended_use,
            "not_for": model.not_for,
            "license": model.license,
            "training_data": [
                {"name": model.data, "license": model.data_license, "citation": model.data_citation, "cases": cases}
            ],
            "recipe": [
                f"3-D U-Net of width {settings.network.width} with {len(settings.network.section_pools)} levels, no "
                f"normalization; {state.step} steps, seed {experiment.seed}."
            ],
            "results": results,
            "limits": model.limits,
        }
    )
    return ModelBundle.write(run.folder / "bundle", facts=facts, weights=state.weights(), card=card)
