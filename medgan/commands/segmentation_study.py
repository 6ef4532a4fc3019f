"""A study of segmentation arms: which trainings it holds, and the steps that prepare, train and predict.

Every step leaves finished files behind and is skipped where they are there. What follows has files of its own:
:mod:`medgan.commands.segmentation_evaluation` and :mod:`medgan.commands.segmentation_study_report`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medgan.commands.study import Study
from medgan.errors import CohortError, SettingsError

if TYPE_CHECKING:
    from medgan.cohort import Case
    from medgan.commands.cohort_data import Cohort
    from medgan.commands.segmentation_data import StudyEntry
    from medgan.commands.segmentation_settings import SegmentationExperiment

Part = Literal["table", "ablation", "curve"]
DEFAULT_FOLDS = 4
"""Of a study whose configuration states none."""


@dataclass(frozen=True)
class Job:
    """One training of a study.

    Attributes
    ----------
    name : str
        Of its folder.
    part : {"table", "ablation", "curve"}
    arm : str
    fold : int or None
        None in the curve.
    train, seed : int or None
        Training subjects and seed, in the curve.
    overrides : tuple of str
        Settings that make the study's configuration this training's.
    """

    name: str
    part: Part
    arm: str
    overrides: tuple[str, ...]
    fold: int | None = None
    train: int | None = None
    seed: int | None = None


def segmentation_experiment(study: Study, overrides: Sequence[str] = ()) -> SegmentationExperiment:
    """Return the checked configuration of a study, or of one of its jobs.

    Raises
    ------
    SettingsError
        If it is not valid, or trains something else.
    """
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.commands.training_settings import read_experiment

    experiment, _ = read_experiment(study.config, (*study.overrides, *overrides))
    if not isinstance(experiment, SegmentationExperiment):
        raise SettingsError(
            f"This study trains by method adversarial_segmentation: {study.config.name} asks for {experiment.method}."
        )
    return experiment


def jobs_of(experiment: SegmentationExperiment) -> tuple[Job, ...]:
    """Return the trainings of a study: fold by fold all arms, then the ablation, then the small-data curve.

    Notes
    -----
    Without ``data.folds`` there are :data:`DEFAULT_FOLDS`.
    """
    data, wanted = experiment.data, experiment.study
    folds, dealt = data.folds or DEFAULT_FOLDS, () if data.folds else (f"data.folds={DEFAULT_FOLDS}",)
    jobs: list[Job] = [
        Job(
            f"{arm}_fold{fold}",
            "table",
            arm,
            (f"adversarial_segmentation.arm={arm}", *dealt, f"data.fold={fold}"),
            fold=fold,
        )
        for fold in range(folds)
        for arm in wanted.arms
    ]
    if wanted.ablation_channels:
        channels = [channel.model_dump(mode="json") for channel in (*data.channels, *wanted.ablation_channels)]
        arm = wanted.ablation_arm
        for fold in range(folds):
            changed: tuple[str, ...] = (
                f"adversarial_segmentation.arm={arm}",
                *dealt,
                f"data.fold={fold}",
                f"data.channels={json.dumps(channels)}",
            )
            jobs.append(Job(f"ablation_{arm}_fold{fold}", "ablation", arm, changed, fold=fold))
    for seed in wanted.curve_seeds:
        for train in wanted.curve_train:
            for arm in wanted.arms:
                given = (
                    f"adversarial_segmentation.arm={arm}",
                    f"seed={seed}",
                    "data.folds=null",
                    f"data.curve.train={train}",
                    f"data.curve.validation={wanted.curve_validation}",
                    f"data.curve.test={wanted.curve_test}",
                )
                jobs.append(Job(f"curve_{arm}_{train}_seed{seed}", "curve", arm, given, train=train, seed=seed))
    return tuple(jobs)


def opened(study: Study, experiment: SegmentationExperiment) -> tuple[Cohort, tuple[StudyEntry, ...]]:
    """Return the cohort of a study with the rows of every case; phantoms are drawn first."""
    from medgan.commands.segmentation_data import opened_studies, study_entries

    cohort = opened_studies(experiment.data, study.config, study.data_root, study.folder / "phantoms", study.console)
    return cohort, study_entries(cohort.manifest, experiment.data)


def prepare_step(study: Study) -> None:
    """Prepare all studies, and refuse a deal that leaves a group of subjects without the focus class."""
    from medgan.commands.segmentation_data import labeled_study, prepared_studies, subject_deal
    from medgan.commands.train_segmentation import require_focus

    study.folder.mkdir(parents=True, exist_ok=True)
    experiment = segmentation_experiment(study)
    checked = set()
    for job in jobs_of(experiment):
        one = segmentation_experiment(study, job.overrides)
        cohort, entries = opened(study, one)
        key = (job.part, job.fold, job.train, job.seed)
        if key in checked:
            continue
        checked.add(key)
        cases = prepared_studies(
            entries, cohort.root, experiment=one, store_root=study.folder / "prepared", console=study.console
        )
        deal = subject_deal(entries, one.data, seed=one.seed)
        for role, subjects in (("training", deal.train), ("validation", deal.validation), ("test", deal.test)):
            chosen = [labeled_study(case, one) for case in cases if case.subject_id in subjects]
            require_focus(chosen, one.data.classes.index(one.data.focus), role=role, focus=one.data.focus)


def train_step(study: Study) -> None:
    """Train the jobs of the table and of the ablation into ``runs``."""
    _train(study, [job for job in jobs_of(segmentation_experiment(study)) if job.part != "curve"])


def curve_step(study: Study) -> None:
    """Train the jobs of the small-data curve into ``runs``."""
    _train(study, [job for job in jobs_of(segmentation_experiment(study)) if job.part == "curve"])


def _train(study: Study, jobs: Sequence[Job]) -> None:
    """Train some jobs, one after the other; the checkpoints of a finished one are removed."""
    from medgan.commands.train import train

    for done, job in enumerate(jobs):
        run = study.folder / "runs" / job.name
        if not (run / "result.json").is_file():
            study.console.notice(f"training {done + 1} of {len(jobs)}: {job.name}")
            train(
                study.config,
                data_root=study.data_root,
                out=run,
                phantoms=study.folder / "phantoms",
                store=study.folder / "prepared",
                overrides=(*study.overrides, *job.overrides),
                device=study.device,
                precision=study.precision,
                threads=study.threads,
                console=study.console,
            )
        shutil.rmtree(run / "checkpoints", ignore_errors=True)


def held_out_entries(study: Study, job: Job) -> tuple[SegmentationExperiment, list[StudyEntry], Path]:
    """Return a job's configuration, the rows of its test cases, and the data root.

    Raises
    ------
    CohortError
        If the job has no test case.
    """
    from medgan.commands.segmentation_data import subject_deal

    experiment = segmentation_experiment(study, job.overrides)
    cohort, entries = opened(study, experiment)
    deal = subject_deal(entries, experiment.data, seed=experiment.seed)
    chosen = [entry for entry in entries if entry.subject_id in deal.test]
    if not chosen:
        raise CohortError(f"Training {job.name} needs test subjects: its deal has none.")
    return experiment, chosen, cohort.root


def cases_of(study: Study, experiment: SegmentationExperiment, entries: Sequence[StudyEntry], root: Path) -> list[Case]:
    """Return the prepared cases of some rows, from the study's store."""
    from medgan.commands.segmentation_data import prepared_studies

    return prepared_studies(
        entries, root, experiment=experiment, store_root=study.folder / "prepared", console=study.console
    )


def predict_step(study: Study) -> None:
    """Predict every job's test cases into ``predictions``, for those jobs whose training is finished.

    Notes
    -----
    One file a case: ``plain`` and ``flipped`` (the mean over an image and its mirror image), class probabilities on the
    working grid without temperature, float16.
    """
    from medgan.formats import made_folder, write_with
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.segmenter import segmented
    from medgan.inference.segmenter_channels import stacked

    for job in finished_jobs(study):
        folder = study.folder / "predictions" / job.name
        experiment, entries, root = held_out_entries(study, job)
        missing = [entry for entry in entries if not (folder / f"{entry.case_id}.npz").is_file()]
        if not missing:
            continue
        made_folder(folder)
        network: Any = ModelBundle.load(study.folder / "runs" / job.name / "bundle").network()
        network.set_form("fast")
        for entry, case in zip(missing, cases_of(study, experiment, missing, root)):
            channels = stacked(case, experiment.data.channels)
            neighbors, depth = experiment.sampling.neighbors, experiment.sampling.depth
            found = {
                name: segmented(network, channels, neighbors=neighbors, depth=depth, flips=flips).astype(np.float16)
                for name, flips in (("plain", False), ("flipped", True))
            }
            path = folder / f"{entry.case_id}.npz"
            write_with(path, lambda stream, found=found: np.savez_compressed(stream, **found))  # type: ignore[misc]


def finished_jobs(study: Study) -> list[Job]:
    """Return the jobs whose training is finished."""
    jobs = jobs_of(segmentation_experiment(study))
    return [job for job in jobs if (study.folder / "runs" / job.name / "result.json").is_file()]
