"""The report of a segmentation study: one self-contained HTML page, also of a study that is not finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.segmentation_evaluation import (
    ArmResults,
    CalibrationResults,
    arm_results,
    calibration_results,
    evaluate_step,
)
from medgan.commands.segmentation_study import (
    DEFAULT_FOLDS,
    Job,
    finished_jobs,
    jobs_of,
    opened,
    segmentation_experiment,
)
from medgan.commands.segmentation_study_findings import calibration_table, training_table, uncertainty_table
from medgan.commands.segmentation_study_pictures import gallery_sections, shape_sections
from medgan.commands.segmentation_study_tables import (
    CURVE_TITLE,
    TITLES,
    arm_table,
    claim_table,
    class_table,
    curve_tables,
    detection_table,
    outline_table,
    paper_table,
    subject_table,
    without_table,
)
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.commands.segmentation_settings import SegmentationExperiment
    from medgan.reporting.sections import Section

TABLES, CURVE = "tables.md", "small_data_curve.png"
"""Files beside the report that hold all its tables, and the picture of the small-data curve."""
MOST_SUBJECTS_LISTED = 20


def report_step(study: Study) -> str:
    """Write ``report.html``, its tables as Markdown, and the measures as CSV, of what is finished; anew each time."""
    from medgan.evaluation.cohort_table import write_csv
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report
    from medgan.reporting.sections import FigureSection
    from medgan.reporting.tables import markdown_tables

    experiment = segmentation_experiment(study)
    measured = evaluate_step(study)
    jobs = finished_jobs(study)
    table = _results(measured, [job for job in jobs if job.part == "table"], experiment.study.arms)
    for arm, result in table.items():
        for name, one in (("with", result.with_focus), ("without", result.without_focus)):
            if one is not None:
                write_csv(one, study.folder / f"{arm}_{name}_{experiment.data.focus}.csv", overwrite=True)
    sections = list(_sections(study, experiment, measured, jobs, table))
    title = f"Segmentation of {experiment.data.focus}: {experiment.model.name}"
    page = render_report(title, sections, subtitle=study.config.name)
    write_bytes(study.folder / TABLES, markdown_tables(sections, title=title).encode(), overwrite=True)
    for section in sections:
        if isinstance(section, FigureSection) and section.title == CURVE_TITLE:
            write_bytes(study.folder / CURVE, section.png, overwrite=True)
    path = study.folder / "report.html"
    write_bytes(path, page.encode(), overwrite=True)
    study.console.notice(f"report: {path}")
    return str(path)


def table_step(study: Study) -> str:
    """Predict, measure and report what is finished, if a small-data curve is still to be trained."""
    from medgan.commands.segmentation_study import predict_step

    done = {job.name for job in finished_jobs(study)}
    if all(job.name in done for job in jobs_of(segmentation_experiment(study)) if job.part == "curve"):
        return ""
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
        yield arm_table(table, focus=focus)
        if wanted.paper_beside:
            yield paper_table(table)
        yield outline_table(table, focus=focus)
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
        yield detection_table(table, focus=focus)
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
        where = "inside the organ" if experiment.data.inside else "over the working field"
        yield calibration_table(calibrations, focus=focus, where=where)
        for arm, found in calibrations.items():
            pair = {"before": found.before, "after the temperature": found.after}
            yield FigureSection(
                f"Reliability {where}: {TITLES.get(arm, arm)}",
                reliability_chart(pair, focus=focus),
                "Predicted probability against the share of voxels of the class, before and after the temperature",
            )
        yield uncertainty_table(calibrations)
    yield from _curve(measured, jobs, experiment)
    yield from _ablation(measured, jobs, table, experiment)
    if jobs:
        yield training_table(study, jobs)
    yield from shape_sections(study, experiment)
    if table:
        yield from gallery_sections(study, table)


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
        "Folds": f"{experiment.data.folds or DEFAULT_FOLDS}, by subject",
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
        CURVE_TITLE,
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
    yield arm_table(both, focus=experiment.data.focus, title=f"Ablation: {names}")
    claim = claim_table(
        both, [(names, alone)], title=f"Ablation, difference ({TITLES[wanted.ablation_arm]})", place="ablation"
    )
    if claim is not None:
        yield claim
    by_subject = subject_table(both, title="Ablation, every subject: mean Dice over its images")
    if by_subject is not None:
        yield by_subject
