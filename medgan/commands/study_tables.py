"""The tables of a study's report: who was what, what was measured, what was chosen, and who looked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.study import MASK_WORDS, Part
from medgan.commands.study_baselines import MODEL, TITLES
from medgan.commands.study_evaluation import PRESET, cohort_table
from medgan.commands.study_gate import CONTRAST_SIGN, Gate, difference_from

if TYPE_CHECKING:
    from medgan.commands.study_lock import Look
    from medgan.evaluation.cohort_summary import Summary
    from medgan.reporting.sections import TableSection

Rows = Sequence[Mapping[str, Any]]
Measures = Mapping[str, Rows]
COLUMNS_OF_CASES = (
    ("mae", "MAE, HU", 1),
    ("me", "ME, HU", 1),
    ("rmse", "RMSE, HU", 1),
    ("psnr", "PSNR, dB", 1),
    ("ssim", "SSIM", 3),
    ("ms_ssim", "MS-SSIM", 3),
    (CONTRAST_SIGN, "r", 2),
    ("dice_bone", "Dice bone", 2),
    ("hd95_bone", "HD95 bone, mm", 1),
)


def gate_table(gate: Gate) -> TableSection:
    """Return the conditions for shipping a model, and whether this one meets them."""
    from medgan.reporting.sections import TableSection

    rows = [("condition", _named(c.name), c.found, "yes" if c.holds else "no") for c in gate.conditions]
    rows += [("aim", _named(c.name), c.found, "yes" if c.holds else "no") for c in gate.aims]
    title = "Gate: passed" if gate.passed else "Gate: not passed"
    caption = "All conditions must hold before a model is shipped as a default; aims are wanted, not needed."
    return TableSection(title, ("", "What", "Found", "Holds"), rows, caption, frozenset({1, 2}))


def split_table(parts: Sequence[Part]) -> TableSection:
    """Return what each subject did in each training: the domain it gave to it, validation, or test."""
    from medgan.reporting.sections import TableSection

    roles: dict[str, dict[str, set[str]]] = {}
    for part in parts:
        for entry in part.cohort.manifest.entries:
            role = f"trains, {entry.modality}" if entry.split == "train" else entry.split
            roles.setdefault(entry.subject_id, {}).setdefault(part.name, set()).add(role)
    rows = [
        (subject, *(", ".join(sorted(found.get(part.name, {"–"}))) for part in parts))
        for subject, found in sorted(roles.items())
    ]
    caption = "No subject gives both images to one training, and none is tested by a training that saw it."
    columns = ("Subject", *(part.title for part in parts))
    return TableSection("Cohort and split", columns, rows, caption, frozenset(range(len(columns))))


def looks_table(looks: Sequence[Look]) -> TableSection:
    """Return every look at the test split."""
    from medgan.reporting.sections import TableSection

    rows = [
        (
            look.time,
            look.reason,
            " ".join(digest[:12] for digest in look.models.values()),
            look.config_sha256[:12],
            (look.table_sha256 or "not finished")[:12],
        )
        for look in looks
    ]
    caption = "The first look counts. Numbers from a later one were made by people who could know an earlier one's."
    columns = ("Time (UTC)", "Reason", "Models, SHA-256", "Configuration", "Table")
    return TableSection("Looks at the test split", columns, rows, caption, frozenset({1, 2, 3, 4}))


def method_table(measures: Measures, *, title: str = "Model and baselines") -> TableSection:
    """Return mean, spread and interval of every method over all test cases."""
    from medgan.reporting.sections import TableSection

    columns = ("Method", "MAE, HU", "SD", "95 % interval", "ME, HU", "Soft-tissue r", "Dice of bone", "n")
    rows = []
    for name, cases in measures.items():
        found = _summaries(name, cases)
        mae = found["mae"]
        interval = "n < 6" if mae.low is None else f"{mae.low:.1f} to {mae.high:.1f}"
        cells = [text(found[key].mean, digits) for key, digits in (("me", 1), (CONTRAST_SIGN, 2), ("dice_bone", 2))]
        rows.append((TITLES[name], text(mae.mean, 1), text(mae.sd, 1), interval, *cells, str(mae.cases)))
    caption = (
        "(a) to (c) are fitted on the same training images as the model. (d) sees pairs of all other subjects, which "
        "no unpaired method does: a bound, not a rival. Soft-tissue r: correlation with the truth in its soft tissue."
    )
    return TableSection(title, columns, rows, caption)


def without_table(measures: Measures, subjects: Sequence[str]) -> TableSection | None:
    """Return the method table without the subjects that the recipe was chosen with; None if nobody is left out."""
    kept = {name: [row for row in cases if row["subject_id"] not in subjects] for name, cases in measures.items()}
    if not kept[MODEL] or len(kept[MODEL]) == len(measures[MODEL]):
        return None
    return method_table(kept, title="Only cases whose pairs had no part in choosing the recipe")


def paired_table(measures: Measures) -> TableSection:
    """Return the paired difference in MAE of the model from every other method."""
    from medgan.reporting.tables import difference_table

    differences = {f"model \N{MINUS SIGN} {TITLES[name]}": difference_from(measures, name) for name in measures}
    differences.pop(f"model \N{MINUS SIGN} {TITLES[MODEL]}")
    return difference_table(differences, preset=PRESET, title="Paired differences: below 0 the model is better")


def case_tables(measures: Measures) -> Iterator[TableSection]:
    """Yield every test case twice: MAE of every method, and the model's other measures."""
    from medgan.reporting.sections import TableSection

    with_folds = any(row["fold"] is not None for row in measures[MODEL])
    first = ("Case", "Fold") if with_folds else ("Case",)
    others = {name: {row["case_id"]: row for row in rows} for name, rows in measures.items()}
    errors, values = [], []
    for row in sorted(measures[MODEL], key=lambda row: row["case_id"]):
        named = (row["case_id"], str(row["fold"])) if with_folds else (row["case_id"],)
        maes = [others[name][row["case_id"]]["measures"]["mae"]["value"] for name in measures]
        errors.append((*named, *(text(mae, 1) for mae in maes)))
        cells = [text(row["measures"][key]["value"], digits) for key, _, digits in COLUMNS_OF_CASES]
        values.append((*named, *cells))
    caption = f"Preset {PRESET}, MAE in HU in the body."
    yield TableSection("Every test case: MAE by method", (*first, *map(_short, measures)), errors, caption)
    titles = [title for _, title, _ in COLUMNS_OF_CASES]
    yield TableSection(
        "Every test case: the model",
        (*first, *titles),
        values,
        f"Preset {PRESET}. r: soft-tissue correlation. – is undefined.",
    )


def all_measures_table(measures: Measures) -> TableSection:
    """Return the summary of every measure of the model."""
    from medgan.reporting.tables import summary_table

    titles = {name: measure["title"] for name, measure in measures[MODEL][0]["measures"].items()}
    found = list(_summaries(MODEL, measures[MODEL]).values())
    return summary_table(found, preset=PRESET, title="The model, every measure", names=titles)


def how_table(measures: Measures) -> TableSection:
    """Return mask, range and peak of every measure."""
    from medgan.reporting.sections import TableSection

    rows = [
        (m["title"], m["mask"], m["range"], "" if m["peak"] is None else f"{m['peak']:g}")
        for m in measures[MODEL][0]["measures"].values()
    ]
    caption = f"Preset {PRESET}. The mask here: {MASK_WORDS}."
    return TableSection(
        "How the numbers were made", ("Measure", "In", "Range", "Peak"), rows, caption, frozenset({1, 2})
    )


def choice_table(parts: Sequence[Part], choices: Mapping[str, Mapping[str, Any]]) -> TableSection:
    """Return every scored checkpoint with its parts, its score and the paired error that did not take part."""
    from medgan.reporting.sections import TableSection

    names = list(dict.fromkeys(n for choice in choices.values() for row in choice["checkpoints"] for n in row["parts"]))
    rows = []
    for part in parts:
        choice = choices[part.name]
        for row in choice["checkpoints"]:
            mark = "chosen" if row["step"] == choice["chosen_step"] else ""
            cells = [text(row["parts"].get(name), 4 if name != "distribution" else 1) for name in names]
            error = text(row["paired_mae_hu"], 1)
            rows.append((part.title, str(row["step"]), *cells, text(row["mean_rank"], 2), error, mark))
    caption = (
        "Score: the weighted mean rank of the parts among a training's checkpoints, lower is better. Cycle in "
        "normalized intensity, distribution in HU, air and bone in shares of the body, segmentation as 1 − Dice. The "
        "paired error on validation subjects is shown to judge the score; it chose nothing."
    )
    columns = ("Training", "Step", *(n.capitalize() for n in names), "Score", "Paired MAE, HU", "")
    return TableSection("Checkpoints", columns, rows, caption)


def correlation_table(parts: Sequence[Part], choices: Mapping[str, Mapping[str, Any]]) -> TableSection:
    """Return Spearman's rho of the score, and of each part alone, with the paired error over the checkpoints."""
    from medgan.reporting.sections import TableSection

    names = list(dict.fromkeys(name for choice in choices.values() for name in choice.get("part_correlations", {})))
    rows = []
    for part in parts:
        choice = choices[part.name]
        alone = [text(choice.get("part_correlations", {}).get(name), 2) for name in names]
        rows.append(
            (
                part.title,
                str(len(choice["checkpoints"])),
                str(choice["chosen_step"]),
                str(choice.get("lowest_error_step", "–")),
                _regret(choice),
                text(choice.get("rank_correlation"), 2),
                *alone,
            )
        )
    caption = (
        "Spearman's rho with the paired MAE of the validation subjects, over checkpoints of one training; 1 is a "
        "perfect ranking. Given up: paired MAE of the chosen checkpoint minus the lowest one."
    )
    columns = ("Training", "Checkpoints", "Chosen", "Lowest error", "Given up, HU", "Score", *names)
    return TableSection("Does the score rank checkpoints as their error does?", columns, rows, caption)


def domain_table(checks: Sequence[Mapping[str, Any]]) -> TableSection:
    """Return how many scans of each kind the domain check calls inside, outside or refuses."""
    from medgan.reporting.sections import TableSection

    rows = []
    for kind in dict.fromkeys(check["kind"] for check in checks):
        of_kind = [check for check in checks if check["kind"] == kind]
        counts = [sum(c["status"] == status for c in of_kind) for status in ("inside", "outside", "refused", "unknown")]
        scans = len({check["case_id"] for check in of_kind})
        rows.append((kind, str(scans), str(len(of_kind)), *(str(count) for count in counts)))
    caption = (
        "Test subjects are checked by the model that never saw them and should be inside; foreign scans by every "
        "model, and should be outside. A scan that the model's own preparation refuses gets no translation."
    )
    columns = ("Kind", "Scans", "Checks", "Inside", "Outside", "Refused", "Cannot tell")
    return TableSection("Domain check", columns, rows, caption)


def domain_reasons_table(checks: Sequence[Mapping[str, Any]]) -> TableSection | None:
    """Return the first reason of every check that came out wrong way round, and of every foreign scan."""
    from medgan.reporting.sections import TableSection

    rows = []
    for check in checks:
        if check["kind"] != "test" or check["status"] != "inside":
            reason = check["reasons"][0] if check["reasons"] else "none"
            rows.append((check["case_id"], check["kind"], check["model"], check["status"], reason))
    if not rows:
        return None
    columns = ("Scan", "Kind", "Model", "Verdict", "First reason")
    return TableSection("Domain check, scan by scan", columns, rows, "", frozenset(range(5)))


def trust_table(rows: Rows) -> TableSection | None:
    """Return how well each map of uncertainty knew where the error is; None where the model gave no map."""
    from medgan.reporting.sections import TableSection

    names = sorted({name for row in rows for name in row.get("trust", {})})
    if not names:
        return None
    ordered = sorted(rows, key=lambda row: row["case_id"])
    table = [(row["case_id"], *(text(row["trust"].get(name), 2) for name in names)) for row in ordered]
    known = {n: [row["trust"][n] for row in rows if row["trust"].get(n) is not None] for n in names}
    table.append(("mean", *(text(sum(v) / len(v), 2) if v else "–" for v in known.values())))
    caption = (
        "Spearman's rho of the map and the absolute error over the voxels of the mask; 0 knows nothing. Where a model "
        "sees no body the map is 0, and the error is that of air in the place of tissue."
    )
    return TableSection("Uncertainty and error", ("Case", *names), table, caption)


def text(value: float | None, digits: int) -> str:
    """Return a number for people, a dash where there is none."""
    if value is None:
        return "–"
    # Adding zero turns a rounded negative zero into zero.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _summaries(name: str, cases: Rows) -> dict[str, Summary]:
    from medgan.evaluation.cohort_summary import summarize
    from medgan.seeding import numpy_generator

    return {s.measure: s for s in summarize(cohort_table(cases), generator=numpy_generator(0, "report", name))}


def _regret(choice: Mapping[str, Any]) -> str:
    errors = {row["step"]: row["paired_mae_hu"] for row in choice["checkpoints"]}
    return text(errors[choice["chosen_step"]] - min(errors.values()), 1) if errors else "–"


def _named(condition: str) -> str:
    """Return a condition with the method's title in the place of its name."""
    for name, title in TITLES.items():
        if f" from {name} " in condition:
            return condition.replace(f" from {name} ", f" from {title} ")
    return condition


def _short(name: str) -> str:
    """Return a method's letter, or its name."""
    title = TITLES[name]
    letter = title[:3] if title.startswith("(") else title.removeprefix("the training's own ").split()[0].rstrip(",")
    direction = {"quantiles_increasing": " up", "quantiles_decreasing": " down"}.get(name, "")
    return f"{letter}{direction}"
