"""``medgan train``: from a configuration to a model bundle, restartable at every step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.errors import MedganError
from medgan.runs import Run

if TYPE_CHECKING:
    from medgan.commands.training_settings import CycleGANExperiment
    from medgan.methods.cyclegan import CycleGANState
    from medgan.preprocessing.recipe import Recipe


def train(
    config: Path,
    *,
    data_root: Path | None = None,
    out: Path | None = None,
    phantoms: Path | None = None,
    store: Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    console: Console,
) -> dict[str, Any]:
    """Train a model, or continue the training that is in the run folder.

    Parameters
    ----------
    config : Path
        Complete YAML configuration; its ``method`` decides what is trained.
    data_root : Path, optional
        Folder that the manifest's paths start from; the manifest's own folder if not given.
    out : Path, optional
        Run folder, ``runs/<model name>`` if not given.
    phantoms, store : Path, optional
        Folders for phantoms (where the configuration asks for them) and for prepared cases; beside and in the run
        folder if not given.
    overrides : sequence of str
        ``a.b=c`` settings that replace those of the file.
    device, precision : str
        ``auto`` chooses; a continued run keeps what it began with.
    threads : int, optional
        CPU threads; a continued run keeps its number, because the bits depend on it.
    console : Console

    Returns
    -------
    dict
        Run folder, bundle folder, steps, last losses.

    Raises
    ------
    MedganError
        If configuration, data or run folder are refused; DivergenceError if a loss is not finite.
    """
    import torch
    import yaml

    from medgan.commands.cohort_data import fitted_recipe, opened_cohort, prepared_cases, training_entries
    from medgan.commands.devices import resolve_device
    from medgan.commands.training_observers import Preview, ProgressObserver, TensorBoardObserver
    from medgan.commands.training_settings import read_experiment
    from medgan.methods.table import METHODS
    from medgan.networks.form import preferred_form
    from medgan.patches.augment import AugmentSettings
    from medgan.patches.sampler import PatchSampler
    from medgan.patches.unpaired import unpaired_batches
    from medgan.preprocessing.recipe import Recipe
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop
    from medgan.training.precision import resolve_precision

    experiment, values = read_experiment(config, overrides)
    folder = out or Path("runs") / experiment.model.name
    # Phantoms lie beside the run: its folder appears whole, when configuration and data are known.
    phantoms = phantoms or folder.with_name(f"{folder.name}_phantoms")
    cohort = opened_cohort(experiment.data, config, data_root, phantoms, console)
    manifest, root = cohort.manifest, cohort.root
    domains = experiment.data
    source_entries, target_entries = training_entries(manifest, source=domains.source, target=domains.target)

    chosen = resolve_device(device)
    environment = {
        "device": chosen,
        "threads": threads or torch.get_num_threads(),
        "precision": resolve_precision(precision, device=chosen).as_dict(),
    }
    text = yaml.safe_dump(values, sort_keys=False)
    run = Run.opened(folder, config_text=text, manifest_digest=manifest.digest, environment=environment)
    began = run.environment
    torch.set_num_threads(began["threads"])
    if (folder / "bundle").is_dir():
        console.notice(f"{folder.name} is finished: its bundle is there.")
        return dict(json.loads((folder / "result.json").read_text(encoding="utf-8")))

    try:
        source_recipe = fitted_recipe(Recipe(tuple(experiment.recipe.source)), manifest, root, domain=domains.source)
        target_recipe = Recipe(tuple(experiment.recipe.target))
        store = store or run.part("prepared")
        prepared = partial(prepared_cases, store_root=store, console=console, jobs=began["threads"])
        sources = prepared(source_entries, root, recipe=source_recipe)
        targets = prepared(target_entries, root, recipe=target_recipe)
        watched = manifest.select(split="validation", domain=domains.source)[:1]
        shown = prepared(watched, root, recipe=source_recipe) or sources[:1]

        sampling = experiment.sampling
        augment = AugmentSettings(flip_axes=sampling.flip_axes, gain=sampling.gain)
        plain = AugmentSettings(flip_axes=sampling.flip_axes)
        batches = unpaired_batches(
            source=PatchSampler(sources, experiment.patch.shape, augment, sampling.focus),
            # HU are absolute: a change of gain would teach wrong values.
            target=PatchSampler(targets, experiment.patch.shape, plain, sampling.focus),
            seed=experiment.seed,
            size=experiment.patch.batch,
            focal=sampling.focal,
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
                batches=batches,
                folder=folder,
                loop=LoopSettings(
                    steps=settings.steps,
                    save_every=rhythm.save_every,
                    observe_every=rhythm.observe_every,
                    keep_last=rhythm.keep_last,
                    keep_every=rhythm.keep_every,
                ),
                seed=experiment.seed,
                device=began["device"],
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
            )
        result = _finish(run, experiment, state, source_recipe, text, manifest.digest, sources, source_entries, root)
    except MedganError as error:
        run.set_status("stopped", reason=str(error))
        raise
    except KeyboardInterrupt:
        run.set_status("interrupted")
        raise
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
    experiment: CycleGANExperiment,
    state: CycleGANState,
    recipe: Recipe,
    config_text: str,
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
        experiment=experiment,
        state=state,
        recipe=recipe,
        config_text=config_text,
        manifest_digest=manifest_digest,
        fingerprints=fingerprints,
    )
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [record for record in map(json.loads, lines) if record["event"] == "losses"]
    result = {
        "run": run.folder.name,
        "bundle": str(run.folder / "bundle"),
        "model": bundle.facts.name,
        "steps": state.step,
        "weights_sha256": bundle.facts.weights_sha256,
        "last_losses": {k: v for k, v in losses[-1].items() if k not in ("event", "attempt")},
    }
    (run.folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result
