"""Training of a segmenter, adversarial or not (``method: adversarial_segmentation``)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.training_session import (
    TrainingRequest,
    finished_result,
    opened_run,
    status_kept,
    written_result,
)
from medgan.runs import Run

if TYPE_CHECKING:
    import torch

    from medgan.cohort import Case
    from medgan.commands.segmentation_choice import Choice
    from medgan.commands.segmentation_data import SubjectDeal
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.patches.slices import LabeledStudy

FINDINGS = "segmentation.json"
"""What a finished run reports beside ``result.json``: choice of the checkpoint, monitors, softness, temperature."""


def train_segmentation(request: TrainingRequest) -> dict[str, Any]:
    """Train one arm, or continue the training in the run folder; see :func:`medgan.commands.train.train`.

    Raises
    ------
    MedganError
        If data or run folder are refused; DivergenceError if a loss is not finite.
    """
    from medgan.commands.segmentation_data import (
        labeled_study,
        opened_studies,
        prepared_studies,
        study_entries,
        subject_deal,
    )
    from medgan.commands.training_observers import ProgressObserver, TensorBoardObserver
    from medgan.methods.table import METHODS
    from medgan.networks.form import preferred_form
    from medgan.patches.slices import SliceSampler
    from medgan.training.loop import LoopSettings
    from medgan.training.loop import train as run_loop

    experiment: SegmentationExperiment = request.experiment
    folder, console = request.folder, request.console
    phantoms = request.phantoms or folder.with_name(f"{folder.name}_phantoms")
    cohort = opened_studies(experiment.data, request.config, request.data_root, phantoms, console)
    entries = study_entries(cohort.manifest, experiment.data)
    deal = subject_deal(entries, experiment.data, seed=experiment.seed)

    run = opened_run(request, cohort.manifest.digest)
    finished = finished_result(run, console)
    if finished is not None:
        return finished
    began = run.environment
    with status_kept(run):
        store = request.store or run.part("prepared")
        wanted = [entry for entry in entries if entry.subject_id in {*deal.train, *deal.validation}]
        cases = prepared_studies(wanted, cohort.root, experiment=experiment, store_root=store, console=console)
        train, validation = (
            [labeled_study(case, experiment) for case in cases if case.subject_id in subjects]
            for subjects in (deal.train, deal.validation)
        )
        sampling, settings, rhythm = experiment.sampling, experiment.method_settings(), experiment.rhythm
        sampler = SliceSampler(
            train, settings.focus_class, neighbors=sampling.neighbors, depth=sampling.depth, augment=sampling.augment
        )
        require_focus(validation, settings.focus_class, role="validation", focus=experiment.data.focus)
        batches = sampler.batches(seed=experiment.seed, size=sampling.batch, focus_share=sampling.focus_share)
        precise, device = began["precision"]["precision"], began["device"]
        run.set_status("training")
        console.notice(f"training {experiment.model.name}, arm {settings.arm}, on {device} in {precise}")
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
                    keep_every=rhythm.choose_every,
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
        result = _finish(run, request, state, deal, validation, cases, cohort.manifest.digest)
    run.set_status("finished", steps=state.step)
    return result


def require_focus(studies: Sequence[LabeledStudy], focus_class: int, *, role: str, focus: str) -> None:
    """Refuse a group of subjects none of which has the focus class.

    Raises
    ------
    CohortError
    """
    from medgan.errors import CohortError

    if not any((study.labels == focus_class).any() for study in studies):
        raise CohortError(
            f"The {role} subjects need at least one {focus}: none of {len(studies)} has one. Deal the subjects with "
            "another data.fold_seed, or in fewer folds."
        )


def _finish(
    run: Run,
    request: TrainingRequest,
    state: Any,
    deal: SubjectDeal,
    validation: Sequence[LabeledStudy],
    cases: Sequence[Case],
    manifest_digest: str,
) -> dict[str, Any]:
    """Choose the checkpoint, fit the temperature, judge the training, and write bundle, findings and result."""
    from medgan.commands.segmentation_choice import chosen_checkpoint
    from medgan.commands.segmentation_export import export_segmenter
    from medgan.evaluation.calibration import fitted_temperature
    from medgan.formats import write_bytes
    from medgan.training.monitors_segmentation import segmentation_alarms

    experiment: SegmentationExperiment = request.experiment
    settings = experiment.method_settings()
    run.set_status("choosing")
    choice = chosen_checkpoint(run.folder / "checkpoints", validation, experiment, console=request.console)
    inside = [experiment.data.classes.index(name) for name in experiment.data.inside] or list(range(settings.classes))
    places = [np.isin(study.labels, inside) for study in validation]
    temperature = fitted_temperature(
        [p[:, place] for p, place in zip(choice.probabilities, places)],
        [study.labels[place] for study, place in zip(validation, places)],
    )
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    alarms = segmentation_alarms(
        [row for row in rows if row["event"] == "losses"], focus_class=settings.focus_class, limits=experiment.monitors
    )
    findings = {
        "arm": settings.arm,
        "seed": experiment.seed,
        "deal": asdict(deal),
        "checkpoints": choice.scores,
        "chosen_step": choice.step,
        "rule": choice.rule,
        "temperature": temperature,
        "softness": _softness(state, validation, experiment),
        "alarms": [asdict(alarm) for alarm in alarms],
    }
    if not (run.folder / FINDINGS).is_file():
        write_bytes(run.folder / FINDINGS, (json.dumps(findings, indent=1) + "\n").encode())
    bundle_folder = run.folder / "bundle"
    if not bundle_folder.is_dir():
        export_segmenter(
            bundle_folder,
            experiment=experiment,
            weights=choice.weights,
            temperature=temperature,
            config_sha256=request.config_sha256,
            manifest_digest=manifest_digest,
            steps=choice.step,
            cases=len(cases),
            results=[_validated(choice, validation, experiment)],
        )
    for alarm in alarms:
        request.console.notice(f"monitor {alarm.monitor}: {alarm.words}")
    from medgan.inference.bundle import ModelBundle

    facts = ModelBundle.load(bundle_folder).facts
    return written_result(run, model=facts.name, weights_sha256=facts.weights_sha256, steps=state.step)


def _validated(choice: Choice, studies: Sequence[LabeledStudy], experiment: SegmentationExperiment) -> dict[str, Any]:
    """Return what the card says about the validation subjects, by which the checkpoint was chosen."""
    settings, focus = experiment.method_settings(), experiment.data.focus
    slices = sum(int((study.labels == settings.focus_class).any(axis=(0, 1)).sum()) for study in studies)
    return {
        "method": f"arm {settings.arm}",
        "measure": f"mean Dice of slices with {focus}",
        "value": round(choice.scores[choice.step], 3),
        "unit": "–",
        "interval": "none: the checkpoint was chosen by this number",
        "n": f"{slices} slices of {len(studies)} cases",
        "data": "validation",
    }


def _softness(state: Any, validation: Sequence[LabeledStudy], experiment: SegmentationExperiment) -> float | None:
    """Return the discriminator's accuracy on plain against softened expert maps; None in arms without one."""
    from medgan.methods.adversarial_segmentation_terms import softness_accuracy

    if state.discriminator is None:
        return None
    settings = experiment.method_settings()
    images, labels = _slices_with(validation, settings.focus_class, experiment)
    return softness_accuracy(
        state.discriminator, images, labels, classes=settings.classes, settings=settings.discriminator
    )


def _slices_with(
    studies: Sequence[LabeledStudy], focus_class: int, experiment: SegmentationExperiment
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all slices (or one slab a study) that hold the focus class."""
    import torch

    from medgan.patches.slices import slab

    images, labels = [], []
    depth = experiment.sampling.depth
    for study in studies:
        held = np.flatnonzero((study.labels == focus_class).any(axis=(0, 1)))
        if depth is None:
            for k in held:
                images.append(slab(study.channels, int(k), neighbors=experiment.sampling.neighbors))
                labels.append(study.labels[..., k])
        elif held.size:
            places = np.clip(np.arange(depth) + int(held[0]), 0, study.labels.shape[2] - 1)
            images.append(study.channels[..., places])
            labels.append(study.labels[..., places])
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels)).long()
