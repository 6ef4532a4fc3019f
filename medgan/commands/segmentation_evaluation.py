"""Measure the predictions of a study, case by case on the expert's own grid; files that are there are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.segmentation_study import Job, cases_of, finished_jobs, held_out_entries
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.cohort.case import Case
    from medgan.commands.segmentation_data import StudyEntry
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.evaluation.cohort_table import CohortTable
    from medgan.evaluation.detection import CaseDetections
    from medgan.inference.segmentation_facts import SegmentationFacts


def evaluate_step(study: Study) -> dict[str, list[dict[str, Any]]]:
    """Measure every finished job's test cases.

    Returns
    -------
    dict
        Job names to lists of cases, each with ``images`` (slice by slice), ``detections`` and ``dice_by_class``; also
        one JSON file a case in ``evaluation``.
    """
    from medgan.formats import made_folder, write_bytes

    found: dict[str, list[dict[str, Any]]] = {}
    for job in finished_jobs(study):
        folder = study.folder / "evaluation" / job.name
        experiment, entries, root = held_out_entries(study, job)
        missing = [entry for entry in entries if not (folder / f"{entry.case_id}.json").is_file()]
        if missing:
            made_folder(folder)
            for entry, case in zip(missing, cases_of(study, experiment, missing, root)):
                measured = _measured(study, job, entry, case, experiment, root)
                write_bytes(folder / f"{entry.case_id}.json", (json.dumps(measured) + "\n").encode())
        found[job.name] = [
            json.loads((folder / f"{entry.case_id}.json").read_text(encoding="utf-8")) for entry in entries
        ]
    return found


def prediction_of(study: Study, job: Job, case_id: str, name: str = "plain") -> npt.NDArray[np.float32]:
    """Return the class probabilities that a job's model gave a case, (classes, I, J, K) float32 on the working grid."""
    with np.load(study.folder / "predictions" / job.name / f"{case_id}.npz", allow_pickle=False) as archive:
        return np.asarray(archive[name], dtype=np.float32)


def model_facts(study: Study, job: Job) -> SegmentationFacts:
    """Return the facts of a job's model."""
    from medgan.inference.bundle import ModelBundle

    facts: SegmentationFacts = ModelBundle.load(study.folder / "runs" / job.name / "bundle").facts
    return facts


def _measured(
    study: Study, job: Job, entry: StudyEntry, case: Case, experiment: SegmentationExperiment, root: Any
) -> dict[str, Any]:
    from medgan.commands.segmentation_data import raw_study
    from medgan.evaluation.detection import matched
    from medgan.evaluation.lesions import candidates, components
    from medgan.evaluation.overlap import dice
    from medgan.evaluation.segmentation_table import image_measures
    from medgan.geometry import axis_map_to
    from medgan.inference.segmenter import on_grid
    from medgan.inference.segmenter_channels import coverage_mask, expert_on

    facts = model_facts(study, job)
    raw, label_maps = raw_study(entry, experiment.data, root)
    grid = raw.images[facts.channels[0].name].grid
    expert = expert_on(grid, label_maps, case_id=entry.case_id)
    working = next(iter(case.images.values())).grid
    labels, probability = on_grid(prediction_of(study, job, entry.case_id), working, grid, facts)
    to_ras = axis_map_to(grid, "RAS")
    result, truth, likely = (to_ras.applied_to(a) for a in (labels.array, expert.array, probability.array))
    field = np.asarray(to_ras.applied_to(coverage_mask(working, grid)), dtype=np.bool_)
    focus = facts.focus_class
    spacing = to_ras.applied_to_grid(grid).spacing
    images = image_measures(result=result == focus, reference=truth == focus, spacing_mm=spacing, counted=field)
    detections = matched(
        candidates(np.asarray(likely, np.float32)),
        components(truth == focus),
        case_id=entry.case_id,
        subject_id=entry.subject_id,
    )
    return {
        "case_id": entry.case_id,
        "subject_id": entry.subject_id,
        "images": [asdict(one) for one in images],
        "detections": asdict(detections),
        "dice_by_class": {
            name: dice(result=result == number, reference=truth == number)
            for number, name in enumerate(facts.classes)
            if number
        },
    }


@dataclass(frozen=True)
class ArmResults:
    """Everything that was measured of one arm, over the folds or deals that are finished.

    ``with_focus`` has one row a slice that holds the focus class, ``without_focus`` one a slice that does not;
    ``job_of`` says by which of ``jobs`` a subject was tested (by the last, in a curve).
    """

    arm: str
    with_focus: CohortTable | None
    without_focus: CohortTable | None
    detections: tuple[CaseDetections, ...]
    dice_by_class: dict[str, list[float]]
    jobs: tuple[Job, ...]
    job_of: dict[str, Job]


def arm_results(
    measured: Mapping[str, Sequence[Mapping[str, Any]]], jobs: Sequence[Job], arm: str
) -> ArmResults | None:
    """Return the results of one arm, pooled over some of its jobs; None if none of them is measured."""
    from medgan.evaluation.detection import CaseDetections
    from medgan.evaluation.segmentation_table import ImageMeasures, image_tables

    chosen = tuple(job for job in jobs if job.arm == arm and job.name in measured)
    if not chosen:
        return None
    images, detections = [], []
    classes: dict[str, list[float]] = {}
    job_of: dict[str, Job] = {}
    for job in chosen:
        for row in measured[job.name]:
            job_of[row["subject_id"]] = job
            # In the curve one case is tested by several seeds: the deal's name keeps them apart.
            case_id = row["case_id"] if job.part != "curve" else f"{row['case_id']}_seed{job.seed}"
            images += [(case_id, row["subject_id"], ImageMeasures(**one)) for one in row["images"]]
            one = row["detections"]
            pairs = tuple((float(confidence), bool(hit)) for confidence, hit in one["found"])
            detections.append(CaseDetections(case_id, one["subject_id"], one["lesions"], pairs))
            for name, value in row["dice_by_class"].items():
                if value is not None:
                    classes.setdefault(name, []).append(value)
    with_focus, without = image_tables(images)
    return ArmResults(arm, with_focus, without, tuple(detections), classes, chosen, job_of)


@dataclass(frozen=True)
class CalibrationResults:
    """The focus class inside the organ (everywhere, where there is none), over the test cases of one arm.

    ``before`` and ``after`` are reliabilities without and with each fold's temperature; ``by_entropy`` is the error of
    the most probable class by the entropy of the mean over flips.
    """

    before: Any
    after: Any
    by_entropy: Any
    temperatures: dict[str, float]


def calibration_results(study: Study, jobs: Sequence[Job]) -> CalibrationResults:
    """Return the calibration over the test cases of some jobs of one arm."""
    from medgan.evaluation.calibration import error_by_uncertainty, reliability, scaled
    from medgan.inference.segmenter_channels import EXPERT

    before, after, truths, entropies, wrongs = [], [], [], [], []
    temperatures: dict[str, float] = {}
    for job in jobs:
        facts = model_facts(study, job)
        temperatures[job.name] = facts.temperature
        inside = [facts.classes.index(name) for name in facts.inside] or list(range(len(facts.classes)))
        experiment, entries, root = held_out_entries(study, job)
        for entry, case in zip(entries, cases_of(study, experiment, entries, root)):
            expert = case.label(EXPERT).array
            place = np.isin(expert, inside)
            plain = prediction_of(study, job, entry.case_id)[:, place]
            flipped = prediction_of(study, job, entry.case_id, "flipped")[:, place]
            truth = expert[place]
            before.append(np.clip(plain[facts.focus_class], 0, 1))
            after.append(np.clip(scaled(plain, facts.temperature)[facts.focus_class], 0, 1))
            truths.append(truth == facts.focus_class)
            entropies.append(-(flipped * np.log(np.maximum(flipped, 1e-7))).sum(axis=0))
            wrongs.append(flipped.argmax(axis=0) != truth)
    truth_all = np.concatenate(truths)
    return CalibrationResults(
        before=reliability(np.concatenate(before), truth_all),
        after=reliability(np.concatenate(after), truth_all),
        by_entropy=error_by_uncertainty(np.concatenate(entropies), np.concatenate(wrongs)),
        temperatures=temperatures,
    )


def findings_of(study: Study, job: Job) -> dict[str, Any]:
    """Return what a finished training reported beside its losses: checkpoint, monitors, softness."""
    from medgan.commands.train_segmentation import FINDINGS

    return dict(json.loads((study.folder / "runs" / job.name / FINDINGS).read_text(encoding="utf-8")))


def gradient_ratio_of(study: Study, job: Job) -> tuple[float, float] | None:
    """Return the median gradient-norm ratio of the adversarial to the other term, as found and as applied."""
    lines = (study.folder / "runs" / job.name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "gradient_ratio" in row]
    if not rows:
        return None
    share = 0.5 if job.arm == "hybrid" else 1.0
    raw = float(np.median([row["gradient_ratio"] / share for row in rows]))
    applied = float(np.median([row["gradient_ratio"] * row["adversarial_weight"] / share for row in rows]))
    return raw, applied
