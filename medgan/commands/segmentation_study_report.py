"""The report of a segmentation study: one self-contained HTML page, also of a study that is not finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.segmentation_evaluation import (
    ArmResults,
    CalibrationResults,
    arm_results,
    calibration_results,
    evaluate_step,
    model_facts,
    prediction_of,
)
from medgan.commands.segmentation_study import (
    Job,
    finished_jobs,
    held_out_cases,
    jobs_of,
    opened,
    segmentation_experiment,
)
from medgan.commands.segmentation_study_tables import (
    TITLES,
    arm_table,
    calibration_table,
    claim_table,
    class_table,
    curve_tables,
    detection_table,
    subject_table,
    training_table,
    uncertainty_table,
    without_table,
)
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.reporting.sections import Section

MOST_SUBJECTS_LISTED = 20
EXPERT_SHAPES = Path("prostate") / "picai_lesion_masks_only"
"""Below the data root: expert masks without images that the phantoms' lesions are compared with."""


def report_step(study: Study) -> str:
    """Write ``report.html`` and the measures as CSV tables, of what is finished; written anew each time."""
    from medgan.evaluation.cohort_table import write_csv
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report

    experiment = segmentation_experiment(study)
    measured = evaluate_step(study)
    jobs = finished_jobs(study)
    table = _results(measured, [job for job in jobs if job.part == "table"], experiment.study.arms)
    for arm, result in table.items():
        for name, one in (("with", result.with_focus), ("without", result.without_focus)):
            if one is not None:
                write_csv(one, study.folder / f"{arm}_{name}_{experiment.data.focus}.csv", overwrite=True)
    page = render_report(
        f"Segmentation of {experiment.data.focus}: {experiment.model.name}",
        list(_sections(study, experiment, measured, jobs, table)),
        subtitle=study.config.name,
    )
    path = study.folder / "report.html"
    write_bytes(path, page.encode(), overwrite=True)
    study.console.notice(f"report: {path}")
    return str(path)


def table_step(study: Study) -> str:
    """Predict, measure and report what is finished, before the small-data curve is trained."""
    from medgan.commands.segmentation_study import predict_step

    predict_step(study)
    return report_step(study)


def _results(
    measured: Mapping[str, Sequence[Mapping[str, Any]]], jobs: Sequence[Job], arms: Sequence[str]
) -> dict[str, ArmResults]:
    found = {arm: arm_results(measured, jobs, arm) for arm in arms}
    return {arm: result for arm, result in found.items() if result is not None}


def _sections(
    study: Study,
    experiment: SegmentationExperiment,
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    jobs: Sequence[Job],
    table: Mapping[str, ArmResults],
) -> Iterator[Section]:
    from medgan.evaluation.detection import froc_curve
    from medgan.reporting.sections import FigureSection, KeyFacts, WarningSection
    from medgan.reporting.segmentation_charts import froc_chart, reliability_chart

    focus, wanted = experiment.data.focus, experiment.study
    every = jobs_of(experiment)
    missing = [job.name for job in every if job.name not in {done.name for done in jobs}]
    limits = list(experiment.model.limits)
    if missing:
        limits.append(
            f"This study is not finished: {len(missing)} of {len(every)} trainings are missing. Numbers are of the "
            "others; the same command continues it."
        )
    yield WarningSection("Read this first", limits)
    yield KeyFacts("Facts", _facts(study, experiment, jobs, every))
    if table:
        yield arm_table(table, focus=focus, paper=wanted.paper_beside)
        yield without_table(table, focus=focus)
        claim = claim_table(table, wanted.primary, title="Claims fixed beforehand", place="table")
        if claim is not None:
            yield claim
        others = [(arm, "cross_entropy") for arm in table if arm == "dice_cross_entropy" and "cross_entropy" in table]
        second = claim_table(table, others, title="Not fixed beforehand", place="others") if others else None
        if second is not None:
            yield second
        subjects = {
            s for r in table.values() if r.with_focus is not None for s in {x.subject_id for x in r.with_focus.rows}
        }
        by_subject = subject_table(table)
        if by_subject is not None and len(subjects) <= MOST_SUBJECTS_LISTED:
            yield by_subject
        yield detection_table(table)
        curves = {TITLES.get(arm, arm): froc_curve(result.detections) for arm, result in table.items()}
        yield FigureSection(
            "Free response",
            froc_chart(curves),
            "Share of lesions hit against false positives a subject, one step line an arm",
        )
        yield class_table(table)
        calibrations: dict[str, CalibrationResults] = {
            arm: calibration_results(study, result.jobs) for arm, result in table.items()
        }
        yield calibration_table(calibrations)
        shown = next(iter(calibrations))
        pair = {"before": calibrations[shown].before, "after the temperature": calibrations[shown].after}
        yield FigureSection(
            f"Reliability, arm {TITLES.get(shown, shown)}",
            reliability_chart(pair, focus=focus),
            "Predicted probability against the share of voxels that are of the class, before and after the temperature",
        )
        yield uncertainty_table(calibrations)
    yield from _curve(measured, jobs, experiment)
    yield from _ablation(measured, jobs, table, experiment)
    if jobs:
        yield training_table(study, jobs)
    yield from _shapes(study, experiment)
    if table:
        yield from _gallery(study, table)


def _facts(
    study: Study, experiment: SegmentationExperiment, jobs: Sequence[Job], every: Sequence[Job]
) -> dict[str, str]:
    cohort, entries = opened(study, experiment)
    settings = experiment.method_settings()
    facts = {
        "Data": f"{cohort.manifest.title} ({cohort.manifest.license})",
        "Subjects": str(len({entry.subject_id for entry in entries})),
        "Channels": ", ".join(channel.name for channel in experiment.data.channels),
        "Budget of every arm": f"{settings.steps} steps of {experiment.sampling.batch} slices, "
        f"{experiment.sampling.focus_share:.0%} of them with {experiment.data.focus}; seed {experiment.seed}; "
        f"adversarial terms from step {settings.first_adversarial_step}",
        "Folds": f"{experiment.data.folds}, by subject",
        "Trainings finished": f"{len(jobs)} of {len(every)}",
        "Manifest, SHA-256": cohort.manifest.digest,
    }
    if jobs:
        run = study.folder / "runs" / jobs[0].name
        environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
        facts["Machine"] = f"{environment['processor']}, {environment['threads']} thread(s)"
        facts["Precision"] = environment["precision"]["precision"]
        facts["medgan, torch"] = f"{environment['versions']['medgan']}, {environment['versions']['torch']}"
    return facts


def _curve(
    measured: Mapping[str, Sequence[Mapping[str, Any]]], jobs: Sequence[Job], experiment: SegmentationExperiment
) -> Iterator[Section]:
    """Yield the small-data curve of what is finished."""
    from medgan.reporting.sections import FigureSection
    from medgan.reporting.segmentation_charts import small_data_curve

    of_curve = [job for job in jobs if job.part == "curve"]
    if not of_curve:
        return
    arms = experiment.study.arms
    points = {
        size: _results(measured, [job for job in of_curve if job.train == size], arms)
        for size in experiment.study.curve_train
        if any(job.train == size for job in of_curve)
    }
    lines: dict[str, list[tuple[int, list[float]]]] = {}
    for arm in arms:
        for size in points:
            seeds = [job for job in of_curve if job.train == size and job.arm == arm and job.name in measured]
            values = [_mean_dice(measured[job.name]) for job in seeds]
            if values:
                lines.setdefault(TITLES.get(arm, arm), []).append((size, values))
    focus = experiment.data.focus
    yield FigureSection(
        "Small-data curve",
        small_data_curve(lines, label=f"mean Dice of test images with {focus}"),
        "Mean Dice against the number of training subjects, one line an arm and one dot a seed",
    )
    yield from curve_tables(points, experiment.study.primary)


def _mean_dice(rows: Sequence[Mapping[str, Any]]) -> float:
    values = [image["dice"] for row in rows for image in row["images"] if image["dice"] is not None]
    return float(np.mean(values)) if values else 0.0


def _ablation(
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    jobs: Sequence[Job],
    table: Mapping[str, ArmResults],
    experiment: SegmentationExperiment,
) -> Iterator[Section]:
    """Yield the comparison of one arm with more channels and without."""
    wanted = experiment.study
    more = arm_results(measured, [job for job in jobs if job.part == "ablation"], wanted.ablation_arm)
    if more is None or wanted.ablation_arm not in table:
        return
    names = " + ".join(channel.name for channel in (*experiment.data.channels, *wanted.ablation_channels))
    alone = " + ".join(channel.name for channel in experiment.data.channels)
    both = {alone: table[wanted.ablation_arm], names: more}
    yield arm_table(both, focus=experiment.data.focus, paper=False)
    claim = claim_table(both, [(names, alone)], title=f"Ablation ({TITLES[wanted.ablation_arm]})", place="ablation")
    if claim is not None:
        yield claim
    by_subject = subject_table(both)
    if by_subject is not None:
        yield by_subject


def _shapes(study: Study, experiment: SegmentationExperiment) -> Iterator[Section]:
    """Yield the phantoms' lesions beside expert masks, where these are below the data root."""
    folder = None if study.data_root is None else study.data_root / EXPERT_SHAPES
    if experiment.data.phantoms is None or folder is None or not folder.is_dir():
        return
    from medgan.evaluation.lesions import lesion_shapes
    from medgan.formats import read_label_file
    from medgan.reporting.sections import FigureSection, TableSection
    from medgan.reporting.segmentation_charts import shape_chart

    cohort, entries = opened(study, experiment)
    domain = experiment.data.labels[-1].domain
    groups = {
        "phantoms": [entry.rows[domain].located(cohort.root) for entry in entries],
        "expert masks (PI-CAI)": sorted(folder.glob("*.nii.gz")),
    }
    shapes = {
        name: [(s.volume_ml, s.sphericity) for path in paths for s in lesion_shapes(read_label_file(path).labels)]
        for name, paths in groups.items()
    }
    rows = []
    for name, values in shapes.items():
        volume, sphericity = np.array(values, dtype=float).T
        quartiles = [np.percentile(column, (25, 50, 75)) for column in (volume, sphericity)]
        rows.append((name, str(len(values)), *(", ".join(f"{q:.2f}" for q in three) for three in quartiles)))
    columns = ("Lesions", "n", "Volume, ml: quartiles", "Sphericity: quartiles")
    yield TableSection("Shape of the phantoms' lesions", columns, rows)
    yield FigureSection("Volume and sphericity", shape_chart(shapes), "One dot a lesion: sphericity against volume")


def _gallery(study: Study, table: Mapping[str, ArmResults]) -> Iterator[Section]:
    """Yield contours of the first arm's best, median and worst cases, by each arm that was measured."""
    first = next(iter(table.values()))
    if first.with_focus is None:
        return
    by_subject: dict[str, list[float]] = {}
    for row in first.with_focus.rows:
        by_subject.setdefault(row.subject_id, []).append(row.values["dice"] or 0.0)
    ranked = sorted(by_subject, key=lambda subject: float(np.mean(by_subject[subject])))
    chosen = {"worst": ranked[0], "median": ranked[len(ranked) // 2], "best": ranked[-1]}
    for word, subject in chosen.items():
        for arm, result in table.items():
            section = _contours(study, result.jobs, subject, f"{word} case of {TITLES.get(first.arm, first.arm)}", arm)
            if section is not None:
                yield section


def _contours(study: Study, jobs: Sequence[Job], subject: str, words: str, arm: str) -> Section | None:
    from medgan.inference.segmenter_channels import EXPERT
    from medgan.reporting.panel import Panel
    from medgan.reporting.sections import FigureSection
    from medgan.reporting.segmentation_figure import contour_sheet, shown_slices
    from medgan.volume import LabelMap, Quantity, Volume

    for job in jobs:
        _, entries, cases, _ = held_out_cases(study, job)
        for entry, case in zip(entries, cases):
            if entry.subject_id != subject:
                continue
            facts = model_facts(study, job)
            grid = next(iter(case.images.values())).grid
            found = prediction_of(study, job, entry.case_id)
            names = {number: name for number, name in enumerate(facts.classes) if number}
            labels = LabelMap(found.argmax(axis=0).astype(np.uint8), grid, names)
            truth = case.label(EXPERT).array == facts.focus_class
            panels = [Panel(case.images[c.name], c.name.upper(), (-1.0, 1.0), synthetic=False) for c in facts.channels]
            likely = Volume(found[facts.focus_class], grid, Quantity.PROBABILITY)
            panels.append(Panel(likely, f"probability of {facts.focus}", (0.0, 1.0), synthetic=False))
            png = contour_sheet(
                panels,
                labels=labels,
                slices=shown_slices(LabelMap(truth, grid), 1, likely.array, most=2),
                expert=LabelMap(truth, grid),
                title=f"{subject}, {TITLES.get(arm, arm)}",
            )
            what = f"Contours of every class by arm {arm}, and the expert's {facts.focus}, on two slices of {subject}"
            return FigureSection(f"{subject} ({words}): {TITLES.get(arm, arm)}", png, what)
    return None
