"""The tables of a segmentation study, as sections of its report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.segmentation_evaluation import ArmResults

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
CURVE_TITLE = "Small-data curve"
LEARNED_DICE = 0.05
"""Mean Dice below which a training of the curve is counted as not having learned the class; a free choice."""


def arm_table(results: Mapping[str, ArmResults], *, focus: str, title: str | None = None) -> TableSection:
    """Return the layout of the paper, Dice, sensitivity and specificity as mean ± SD, with intervals."""
    from medgan.reporting.sections import TableSection

    columns = ("Arm", "Dice", "95 %", "Sensitivity", "95 %", "Specificity", "95 %")
    rows, counts = [], set()
    for arm, found in _with_focus(results):
        cells = [TITLES.get(arm, arm)]
        for name, digits in (("dice", 3), ("sensitivity", 3), ("specificity", 4)):
            cells += [mean_sd(found[name], digits), interval(found[name], digits)]
        rows.append(tuple(cells))
        counts.add(f"{found['dice'].cases} images (slices) of {found['dice'].subjects} subjects")
    caption = (
        f"{'; '.join(sorted(counts))} in which the expert marked {focus}; mean ± SD over images, 95 % intervals of the "
        "mean by bootstrap over subjects. Specificity over the working field."
    )
    return TableSection(title or f"Images with {focus}", columns, rows, caption)


def paper_table(results: Mapping[str, ArmResults]) -> TableSection:
    """Return the means of this study beside those of the paper, which are of other data."""
    from medgan.evaluation.segmentation_table import PAPER
    from medgan.reporting.sections import TableSection

    columns = (
        "Arm",
        *(f"{name}: {where}" for name in ("Dice", "Sensitivity", "Specificity") for where in ("here", "paper")),
    )
    rows = []
    for arm, found in _with_focus(results):
        paper = PAPER.get(arm, (MISSING,) * 3)
        here = [mean_sd(found[name], 2) for name in ("dice", "sensitivity", "specificity")]
        rows.append((TITLES.get(arm, arm), *(cell for pair in zip(here, paper) for cell in pair)))
    caption = (
        "Mean ± SD. The paper's figures (Kohl et al. 2017) are of 152 patients with real tumors: another data set, not "
        "comparable as numbers."
    )
    return TableSection("Beside the paper", columns, rows, caption)


def outline_table(results: Mapping[str, ArmResults], *, focus: str) -> TableSection:
    """Return the distance of the outlines, which is undefined where nothing was predicted."""
    from medgan.reporting.sections import TableSection

    rows = [
        (
            TITLES.get(arm, arm),
            mean_sd(found["hd95"], 1),
            interval(found["hd95"], 1),
            str(found["hd95"].cases),
            str(found["hd95"].undefined),
        )
        for arm, found in _with_focus(results)
    ]
    columns = ("Arm", "HD95, mm", "95 %", "Images", "Images without any prediction")
    caption = (
        "95th percentile of the distances between the outlines within a slice. Images in which an arm predicted "
        "nothing have none and are not in its mean: an arm that predicts less can look closer here."
    )
    return TableSection(f"Outlines of {focus}", columns, rows, caption)


def _with_focus(results: Mapping[str, ArmResults]) -> Iterator[tuple[str, dict[str, Summary]]]:
    for arm, result in results.items():
        if result.with_focus is not None:
            yield arm, summaries(result.with_focus, result.arm)


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
                interval(summary, 4),
                text(claim.p, 4),
                text(claim.p_holm, 4),
                f"{summary.cases} ({summary.subjects})",
                claim.verdict,
            )
        )
    columns = ("Difference of Dice", "Mean", "95 %", "p", "p (Holm)", "Images (subjects)", "What may be said")
    caption = (
        "Same images by both arms. Mean and interval (bootstrap over subjects, not corrected) count every image; p "
        "(sign flips of the subjects' mean differences, corrected for the number of claims) every subject once. One "
        "seed: other first weights may differ by more."
    )
    return TableSection(title, columns, rows, caption, frozenset({6}))


def subject_table(
    results: Mapping[str, ArmResults], *, title: str = "Every subject: mean Dice over its images"
) -> TableSection | None:
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
    return TableSection(title, columns, rows)


def detection_table(results: Mapping[str, ArmResults], *, focus: str) -> TableSection:
    """Return hits by lesion and subjects told apart, as in PI-CAI, with intervals by bootstrap over subjects."""
    from medgan.evaluation.detection import FALSE_POSITIVES, detection_summary
    from medgan.evaluation.detection_intervals import detection_intervals
    from medgan.reporting.sections import TableSection
    from medgan.seeding import numpy_generator

    rows, counts = [], ""
    for arm, result in results.items():
        found = detection_summary(result.detections)
        sure = detection_intervals(result.detections, generator=numpy_generator(0, "detections", arm))
        values: list[float | None] = [point.sensitivity for point in found.froc] or [None] * len(FALSE_POSITIVES)
        rows.append(
            (
                TITLES.get(arm, arm),
                _between(found.average_precision, sure.average_precision),
                _between(found.auroc, sure.auroc),
                *(_between(value, around) for value, around in zip(values, sure.sensitivities)),
                text(found.largest_sensitivity, 2),
            )
        )
        counts = f"{found.lesions} {focus}s in {found.subjects_with_lesion} of {found.subjects} subjects."
    columns = (
        "Arm", "Average precision", "AUROC by subject", *(f"Sensitivity at {rate:g}" for rate in FALSE_POSITIVES),
        "at all",
    )  # fmt: skip
    caption = (
        f"{counts} A hit is a candidate that overlaps one by IoU of at least 0.1; sensitivities at that many false "
        "positives a subject; 95 % intervals by bootstrap over subjects. AUROC needs subjects without any."
    )
    return TableSection(f"{focus.capitalize()}s found", columns, rows, caption)


def _between(value: float | None, around: tuple[float, float] | None) -> str:
    if value is None or around is None:
        return text(value, 2)
    return f"{text(value, 2)} ({text(around[0], 2)} to {text(around[1], 2)})"


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


def curve_tables(points: Mapping[int, Mapping[str, ArmResults]], pairs: Sequence[tuple[str, str]]) -> Iterator[Any]:
    """Yield the small-data curve as a table with every seed's value, and the differences at each size."""
    from medgan.reporting.sections import TableSection

    rows, unlearned = [], 0
    for size, results in points.items():
        for arm, result in results.items():
            if result.with_focus is not None:
                found = summaries(result.with_focus, f"curve {arm} {size}")["dice"]
                seeds = seed_means(result)
                unlearned += sum(mean < LEARNED_DICE for mean in seeds.values())
                each = ", ".join(f"{mean:.3f}" for mean in seeds.values())
                rows.append((str(size), TITLES.get(arm, arm), mean_sd(found), interval(found), each))
    columns = ("Training subjects", "Arm", "Dice of images", "95 % over subjects", "Mean of every seed")
    caption = (
        "One fixed test set, seeds pooled. A seed decides first weights, order of the batches and which subjects "
        "train. Intervals are by bootstrap over the test subjects, for these seeds: where seeds differ by more, look "
        f"at the last column. {unlearned} trainings hardly find anything (mean Dice below {LEARNED_DICE:g}): they did "
        "not learn the class, or lost it."
    )
    yield TableSection(CURVE_TITLE, columns, rows, caption, frozenset({1}))
    for size, results in points.items():
        claim = claim_table(results, pairs, title=f"Differences with {size} training subjects", place=f"curve {size}")
        if claim is not None:
            yield _with_seeds(claim, results, pairs)


def seed_means(result: ArmResults) -> dict[int, float]:
    """Return the mean Dice over images of every seed of a curve."""
    values: dict[int, list[float]] = {}
    for row in result.with_focus.rows if result.with_focus is not None else ():
        dice = row.values["dice"]
        # The case's name ends in the deal and the slice: case_seed11_slice003.
        seed = int(row.case_id.rsplit("_seed", 1)[1].split("_", 1)[0])
        values.setdefault(seed, []).append(0.0 if dice is None else dice)
    return {seed: sum(found) / len(found) for seed, found in sorted(values.items())}


def _with_seeds(
    claim: TableSection, results: Mapping[str, ArmResults], pairs: Sequence[tuple[str, str]]
) -> TableSection:
    """Return a table of differences with those of every seed."""
    from dataclasses import replace

    rows = []
    known = [(this, that) for this, that in pairs if this in results and that in results]
    for row, (this, that) in zip(claim.rows, known):
        one, other = seed_means(results[this]), seed_means(results[that])
        each = ", ".join(text(one[seed] - other[seed], 3) for seed in one if seed in other)
        rows.append((*row[:-2], each, row[-1]))
    columns = (*claim.columns[:-2], "Every seed", claim.columns[-1])
    caption = (
        "Same images by both arms, seeds pooled. Intervals and p speak about the test subjects for these seeds, not "
        "about other seeds."
    )
    return replace(claim, columns=columns, rows=rows, caption=caption, text_columns=frozenset({6}))


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
