"""Training of an unpaired translator of volumes (``method: cyclegan``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.training_session import (
    TrainingRequest,
    finished_result,
    opened_run,
    status_kept,
    written_result,
)
from medgan.runs import Run

if TYPE_CHECKING:
    from medgan.commands.training_settings import CycleGANExperiment
    from medgan.methods.cyclegan import CycleGANState
    from medgan.preprocessing.recipe import Recipe


def train_cyclegan(request: TrainingRequest) -> dict[str, Any]:
    """Train a CycleGAN on volumes, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.cohort_data import fitted_recipe, opened_cohort, prepared_cases, training_entries
    from medgan.commands.training_observers import Preview, ProgressObserver, TensorBoardObserver
    from medgan.commands.translation_prior import phantom_sampler, source_sampler
    from medgan.methods.table import METHODS
    from medgan.networks.form import preferred_form
    from medgan.patches.augment import AugmentSettings
    from medgan.patches.sampler import PatchSampler
    from medgan.patches.unpaired import unpaired_batches
    from medgan.preprocessing.recipe import Recipe
    from medgan.training.distributed import shared_out
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: CycleGANExperiment = request.experiment
    folder, console, replicas = request.folder, request.console, request.replicas
    # Phantoms lie beside the run: its folder appears whole, when configuration and data are known.
    phantoms = request.phantoms or folder.with_name(f"{folder.name}_phantoms")
    with replicas.leader_first():
        cohort = opened_cohort(experiment.data, request.config, request.data_root, phantoms, console)
    manifest, root = cohort.manifest, cohort.root
    domains = experiment.data
    source_entries, target_entries = training_entries(manifest, source=domains.source, target=domains.target)

    run = opened_run(request, manifest.digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished if replicas.leads else {}
    began = run.environment

    with status_kept(run):
        source_recipe = fitted_recipe(Recipe(tuple(experiment.recipe.source)), manifest, root, domain=domains.source)
        target_recipe = Recipe(tuple(experiment.recipe.target))
        store = request.store or run.part("prepared")
        prepared = partial(prepared_cases, store_root=store, console=console, jobs=began["threads"])
        with replicas.leader_first():
            sources = prepared(source_entries, root, recipe=source_recipe)
            targets = prepared(target_entries, root, recipe=target_recipe)
            watched = manifest.select(split="validation", domain=domains.source)[:1]
            shown = prepared(watched, root, recipe=source_recipe) or sources[:1]

        sampling = experiment.sampling
        augment = AugmentSettings(flip_axes=sampling.flip_axes, gain=sampling.gain)
        plain = AugmentSettings(flip_axes=sampling.flip_axes)
        batches = unpaired_batches(
            source=source_sampler(experiment, sources, augment),
            # HU are absolute: a change of gain would teach wrong values.
            target=PatchSampler(targets, experiment.patch.shape, plain, sampling.focus),
            seed=experiment.seed,
            size=experiment.patch.batch * replicas.size,
            focal=sampling.focal,
            phantoms=phantom_sampler(experiment, source_recipe, augment, jobs=began["threads"], console=console),
        )
        settings, rhythm, precise = experiment.method_settings(), experiment.rhythm, began["precision"]["precision"]
        run.set_status("training")
        console.notice(
            f"training {experiment.model.name} on {began['device']} in {precise} ({began['precision']['reason']})"
        )
        with console.progress("training") as advance:
            state = run_loop(
                METHODS[experiment.method],
                settings,
                batches=shared_out(batches, replicas),
                folder=folder,
                loop=LoopSettings(
                    steps=settings.steps,
                    save_every=rhythm.save_every,
                    observe_every=rhythm.observe_every,
                    keep_last=rhythm.keep_last,
                    keep_every=rhythm.keep_every,
                    prefetch=rhythm.prefetch,
                ),
                seed=experiment.seed,
                device=replicas.device_of(began["device"]),
                precision=precise,
                form=preferred_form(began["device"], precise),
                guard=_guard(experiment),
                observers=[
                    ProgressObserver(advance, settings.steps),
                    TensorBoardObserver(run.part("tensorboard")),
                    Preview(
                        folder=run.part("previews"),
                        every=rhythm.preview_every,
                        steps=settings.steps,
                        case=shown[0],
                        target_map=target_recipe.intensity_map,
                        patch=experiment.patch.inference_shape or experiment.patch.shape,
                        overlap=experiment.patch.overlap,
                        precision=precise,
                    ),
                ],
                replicas=replicas,
            )
        if not replicas.leads:
            return {}
        result = _finish(run, request, state, source_recipe, manifest.digest, sources, source_entries, root)
    run.set_status("finished", steps=state.step)
    return result


def _guard(experiment: CycleGANExperiment) -> Any:
    from medgan.training.monitors import PolarityGuard

    if experiment.guard is None:
        return None
    guard = experiment.guard
    steps = tuple(range(guard.first, guard.last + 1, guard.every))
    return PolarityGuard(expected_polarity=guard.expected_polarity, check_steps=steps)


def _finish(
    run: Run,
    request: TrainingRequest,
    state: CycleGANState,
    recipe: Recipe,
    manifest_digest: str,
    sources: Sequence[Any],
    entries: Sequence[Any],
    root: Path,
) -> dict[str, Any]:
    """Write the bundle and ``result.json`` of a finished training."""
    from medgan.commands.cohort_data import read_case
    from medgan.commands.export import export_bundle
    from medgan.inference.domain_check import fingerprint_of

    fingerprints = [
        fingerprint_of(source=read_case(entry, root).image, prepared=case) for entry, case in zip(entries, sources)
    ]
    bundle = export_bundle(
        run.folder / "bundle",
        experiment=request.experiment,
        state=state,
        recipe=recipe,
        config_sha256=request.config_sha256,
        manifest_digest=manifest_digest,
        fingerprints=fingerprints,
    )
    return written_result(run, model=bundle.facts.name, weights_sha256=bundle.facts.weights_sha256, steps=state.step)
