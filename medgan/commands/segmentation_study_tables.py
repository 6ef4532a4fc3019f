"""The tables of a segmentation study, as sections of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.segmentation_evaluation import (
    ArmResults,
    CalibrationResults,
    findings_of,
    gradient_ratio_of,
)
from medgan.commands.segmentation_study import Job
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.evaluation.cohort_summary import Summary
    from medgan.reporting.sections import TableSection

TITLES = {
    "cross_entropy": "cross-entropy",
    "dice_cross_entropy": "Dice + cross-entropy",
    "adversarial": "adversarial",
    "hybrid": "hybrid",
}
MISSING = "–"


def arm_table(results: Mapping[str, ArmResults], *, focus: str, paper: bool) -> TableSection:
    """Return the layout of the paper: Dice, sensitivity and specificity, mean ± SD, with intervals, and the paper's."""
    from medgan.evaluation.segmentation_table import PAPER
    from medgan.reporting.sections import TableSection

    columns = ["Arm", "Dice", "95 %", "Sensitivity", "95 %", "Specificity", "HD95, mm", "Images (subjects)"]
    columns += ["Paper, other data: Dice", "sensitivity", "specificity"] if paper else []
    rows = []
    for arm, result in results.items():
        if result.with_focus is None:
            continue
        found = summaries(result.with_focus, arm)
        cells = [TITLES.get(arm, arm)]
        for name in ("dice", "sensitivity"):
            cells += [mean_sd(found[name]), interval(found[name])]
        cells += [mean_sd(found["specificity"], 4), _hd95(found["hd95"])]
        cells.append(f"{found['dice'].cases} ({found['dice'].subjects})")
        rows.append((*cells, *(PAPER.get(arm, (MISSING,) * 3) if paper else ())))
    caption = (
        f"Images (slices) in which the expert marked {focus}; mean ± SD over images, 95 % intervals of the mean by "
        "bootstrap over subjects. Specificity over the working field. HD95 is undefined where nothing was predicted."
    )
    caption += " The paper's figures are of 152 patients: another data set, not comparable as numbers." if paper else ""
    return TableSection(f"Images with {focus}", columns, rows, caption)


def _hd95(summary: Summary) -> str:
    undefined = f", {summary.undefined} undefined" if summary.undefined else ""
    return f"{mean_sd(summary, 1)}{undefined}"


def without_table(results: Mapping[str, ArmResults], *, focus: str) -> TableSection:
    """Return what was claimed in images without the focus class; they have no Dice."""
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, result in results.items():
        if result.without_focus is None:
            continue
        found = summaries(result.without_focus, f"{arm} without")
        rows.append(
            (
                TITLES.get(arm, arm),
                text(found["false_rate"].mean, 3),
                interval(found["false_rate"]),
                mean_sd(found["false_ml"], 3),
                interval(found["false_ml"]),
                f"{found['false_ml'].cases} ({found['false_ml'].subjects})",
            )
        )
    columns = ("Arm", f"Share with any false {focus}", "95 %", "False volume, ml", "95 %", "Images (subjects)")
    caption = "Reported apart: an image with nothing to find has no Dice, and would not be a success of 1."
    return TableSection(f"Images without {focus}", columns, rows, caption)


def claim_table(
    results: Mapping[str, ArmResults], pairs: Sequence[tuple[str, str]], *, title: str, place: str
) -> TableSection | None:
    """Return the differences that were fixed beforehand; None where an arm is not measured yet."""
    from medgan.evaluation.segmentation_table_claims import claims
    from medgan.reporting.sections import TableSection
    from medgan.seeding import numpy_generator

    tables = {arm: result.with_focus for arm, result in results.items() if result.with_focus is not None}
    wanted = [pair for pair in pairs if set(pair) <= set(tables)]
    if not wanted:
        return None
    rows = []
    for claim in claims(tables, wanted, measure="dice", generator=numpy_generator(0, "claims", place)):
        summary = claim.difference.summary
        rows.append(
            (
                claim.name.replace("_", "-"),
                text(summary.mean, 3),
                interval(summary),
                text(claim.p, 4),
                text(claim.p_holm, 4),
                f"{summary.cases} ({summary.subjects})",
                claim.verdict,
            )
        )
    columns = ("Difference of Dice", "Mean", "95 %", "p", "p (Holm)", "Images (subjects)", "What may be said")
    caption = (
        "Same images by both arms. Intervals: bootstrap over subjects, not corrected. p: sign flips of the subjects' "
        "mean differences, corrected for the number of claims. One seed: other seeds may differ by as much."
    )
    return TableSection(title, columns, rows, caption, frozenset({6}))


def subject_table(results: Mapping[str, ArmResults]) -> TableSection | None:
    """Return every subject's mean Dice over its images with the focus class, one column an arm."""
    from medgan.reporting.sections import TableSection

    by_arm: dict[str, dict[str, list[float]]] = {}
    for arm, result in results.items():
        for row in result.with_focus.rows if result.with_focus is not None else ():
            value = row.values["dice"]
            if value is not None:
                by_arm.setdefault(arm, {}).setdefault(row.subject_id, []).append(value)
    subjects = sorted({subject for values in by_arm.values() for subject in values})
    if not subjects:
        return None
    rows = []
    for subject in subjects:
        cells = []
        for arm in by_arm:
            values = by_arm[arm].get(subject)
            cells.append(MISSING if values is None else f"{sum(values) / len(values):.3f}")
        rows.append((subject, *cells))
    columns = ("Subject", *(TITLES.get(arm, arm) for arm in by_arm))
    return TableSection("Every subject: mean Dice over its images", columns, rows)


def detection_table(results: Mapping[str, ArmResults]) -> TableSection:
    """Return hits by lesion and subjects told apart, as in PI-CAI."""
    from medgan.evaluation.detection import FALSE_POSITIVES, detection_summary
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, result in results.items():
        found = detection_summary(result.detections)
        points = [text(point.sensitivity, 3) for point in found.froc] or [MISSING] * len(FALSE_POSITIVES)
        rows.append(
            (
                TITLES.get(arm, arm),
                text(found.average_precision, 3),
                text(found.auroc, 3),
                *points,
                text(found.largest_sensitivity, 3),
                f"{found.lesions} in {found.subjects_with_lesion} of {found.subjects}",
            )
        )
    columns = (
        "Arm", "Average precision", "AUROC by subject",
        *(f"Sensitivity at {rate:g}" for rate in FALSE_POSITIVES), "at all", "Lesions in subjects",
    )  # fmt: skip
    caption = (
        "A hit is a candidate that overlaps a lesion by IoU of at least 0.1; sensitivities at that many false "
        "positives a subject. AUROC needs subjects without lesions."
    )
    return TableSection("Lesions found", columns, rows, caption)


def class_table(results: Mapping[str, ArmResults]) -> TableSection:
    """Return the Dice of every class, over whole cases that have it or were given it."""
    from medgan.reporting.sections import TableSection

    names = list(dict.fromkeys(name for result in results.values() for name in result.dice_by_class))
    rows = [
        (
            TITLES.get(arm, arm),
            *(text(_mean(result.dice_by_class.get(name)), 3) for name in names),
        )
        for arm, result in results.items()
    ]
    return TableSection("Dice of every class, in 3-D over whole cases", ("Arm", *names), rows)


def calibration_table(calibrations: Mapping[str, CalibrationResults]) -> TableSection:
    """Return expected calibration error and Brier score before and after the temperature."""
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, found in calibrations.items():
        temperatures = ", ".join(f"{t:.2f}" for t in found.temperatures.values())
        rows.append(
            (
                TITLES.get(arm, arm),
                f"{found.before.ece:.4f}",
                f"{found.after.ece:.4f}",
                f"{found.before.brier:.4f}",
                f"{found.after.brier:.4f}",
                temperatures,
            )
        )
    columns = ("Arm", "ECE before", "ECE after", "Brier before", "Brier after", "Temperature of each fold")
    caption = "Temperatures are fitted on each fold's validation subjects, for all classes together."
    return TableSection("Calibration of the focus class inside the organ", columns, rows, caption)


def uncertainty_table(calibrations: Mapping[str, CalibrationResults]) -> TableSection:
    """Return the error in fifths of rising entropy."""
    from medgan.reporting.sections import TableSection

    rows = []
    for arm, found in calibrations.items():
        one = found.by_entropy
        cells = [f"{error:.3f}" for error in one.error]
        rows.append((TITLES.get(arm, arm), *cells, text(one.rank_correlation, 2), "yes" if one.grows else "no"))
    columns = ("Arm", "lowest fifth", "2nd", "3rd", "4th", "highest fifth", "Rank correlation", "Error grows")
    caption = (
        "Share of voxels whose most probable class is wrong, by entropy of the mean over an image and its mirror image."
    )
    return TableSection("Error by uncertainty", columns, rows, caption)


def training_table(study: Study, jobs: Sequence[Job]) -> TableSection:
    """Return how each training went: checkpoint, discriminator, gradients, monitors."""
    from medgan.reporting.sections import TableSection

    rows = []
    for job in jobs:
        found = findings_of(study, job)
        ratio = gradient_ratio_of(study, job)
        best = found["checkpoints"][str(found["chosen_step"])]
        alarms = "; ".join(
            f"{a['monitor']} (steps {a['first_step']} to {a['last_step']}): {a['words']}" for a in found["alarms"]
        )
        rows.append(
            (
                job.name,
                str(found["chosen_step"]),
                text(best, 3),
                text(found["softness"], 2),
                MISSING if ratio is None else f"{ratio[0]:.2g} / {ratio[1]:.2g}",
                alarms or "none",
            )
        )
    columns = ("Training", "Step", "Validation Dice", "Softness", "Gradient ratio raw / applied", "Monitors")
    caption = (
        "Step: the checkpoint that was chosen, by one rule for all arms. Softness: accuracy of the discriminator on "
        "plain against softened expert maps, 0.5 is blind to softness. Gradient ratio: norm of the adversarial "
        "gradient over that of the (weighted) cross-entropy with respect to the logits, median."
    )
    return TableSection("Trainings", columns, rows, caption, frozenset({5}))


def curve_tables(points: Mapping[int, Mapping[str, ArmResults]], pairs: Sequence[tuple[str, str]]) -> Iterator[Any]:
    """Yield the small-data curve as a table, and the claims at each size."""
    from medgan.reporting.sections import TableSection

    rows = []
    for size, results in points.items():
        for arm, result in results.items():
            if result.with_focus is not None:
                found = summaries(result.with_focus, f"curve {arm} {size}")["dice"]
                seeds = len({job.seed for job in result.jobs})
                rows.append((str(size), TITLES.get(arm, arm), mean_sd(found), interval(found), str(seeds)))
    columns = ("Training subjects", "Arm", "Dice of images", "95 %", "Seeds")
    yield TableSection(
        "Small-data curve",
        columns,
        rows,
        "One fixed test set; all seeds pooled, bootstrap over subjects.",
        frozenset({1}),
    )
    for size, results in points.items():
        claim = claim_table(results, pairs, title=f"Differences with {size} training subjects", place=f"curve {size}")
        if claim is not None:
            yield claim


def summaries(table: Any, place: str) -> dict[str, Summary]:
    """Return a summary of every measure of a table, with intervals that depend on the place's name only."""
    from medgan.evaluation.cohort_summary import summarize
    from medgan.seeding import numpy_generator

    return {s.measure: s for s in summarize(table, generator=numpy_generator(0, "segmentation table", place))}


def mean_sd(summary: Summary, digits: int = 3) -> str:
    """Return mean ± SD."""
    mean = text(summary.mean, digits)
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{digits}f}"


def interval(summary: Summary, digits: int = 3) -> str:
    """Return the interval of a mean, or that there are too few subjects for one."""
    if summary.low is None or summary.high is None:
        return "n < 6"
    return f"{text(summary.low, digits)} to {text(summary.high, digits)}"


def text(value: float | None, digits: int) -> str:
    """Return a number for a table."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _mean(values: Sequence[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
