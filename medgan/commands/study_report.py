"""The report of an MR-to-CT study: one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.study import MODEL, Study, cohort_table, evaluate_step, truth_and_mask

if TYPE_CHECKING:
    from medgan.reporting.sections import Section

TITLES = {
    MODEL: "model",
    "body_median": "(a) body filled with the training median",
    "quantiles_increasing": "(b) quantile matching, increasing",
    "quantiles_decreasing": "(b) quantile matching, decreasing",
    "t1_table": "(c) T1 table",
}
CONTRAST_SIGN = "soft_tissue_r"
CURVES = {
    "Adversarial": ("adversarial_target", "discriminator_target"),
    "Cycle": ("cycle_source", "cycle_target"),
    "Total": ("total",),
}
LIMITS = (
    "Training was unpaired: no loss ever saw the error that this page reports.",
    "The body is the reference's, found by threshold, within the field of view of the source. Where the two images "
    "were acquired apart, part of the error is misalignment.",
    "Research only. Synthetic images are not for diagnosis and not for treatment planning.",
)


def report_step(study: Study) -> str:
    """Write ``report.html`` into the study folder and return its path."""
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report

    path = study.folder / "report.html"
    if not path.is_file():
        measures = evaluate_step(study)
        page = render_report(
            f"MR to CT: {study.experiment.model.name}", _sections(study, measures), subtitle=study.config.name
        )
        write_bytes(path, page.encode())
    study.console.notice(f"report: {path}")
    return str(path)


def _sections(study: Study, measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Section]:
    from medgan.reporting.charts import error_strip
    from medgan.reporting.sections import FigureSection, KeyFacts, TextSection, WarningSection

    per_method = {TITLES[name]: [row["measures"]["mae"]["value"] for row in rows] for name, rows in measures.items()}
    strip = error_strip(per_method, label="MAE in the body, HU", title="Every test case by every method")
    sections: list[Section] = [
        WarningSection("Read this first", LIMITS),
        KeyFacts("Facts", _facts(study)),
        _method_table(measures),
        FigureSection("Error of every case", strip, "One dot a test case and method: mean absolute error in HU"),
        _case_table(measures[MODEL]),
        *_pictures(study),
    ]
    curves = _curves(study)
    if curves is not None:
        sections.append(FigureSection("Training", curves, "Loss terms over the steps of the training"))
    sections.append(
        TextSection(
            "How the numbers were made", ["Preset corrected; mask, range and peak of each measure:", *_how(measures)]
        )
    )
    return sections


def _facts(study: Study) -> dict[str, str]:
    experiment, manifest = study.experiment, study.cohort.manifest
    data = experiment.data
    result = json.loads((study.folder / "run" / "result.json").read_text(encoding="utf-8"))
    environment = json.loads((study.folder / "run" / "environment.json").read_text(encoding="utf-8"))
    return {
        "Data": f"{manifest.title} ({manifest.license})",
        "Training subjects": f"{len(manifest.select(split='train', domain=data.source))} {data.source.upper()}, "
        f"{len(manifest.select(split='train', domain=data.target))} {data.target.upper()}, no subject in both",
        "Test subjects": str(len({e.subject_id for e in manifest.select(split="test")})),
        "Steps": str(result["steps"]),
        "Seed": str(experiment.seed),
        "Weights, SHA-256": result["weights_sha256"],
        "Manifest, SHA-256": manifest.digest,
        "Machine": f"{environment['processor']}, {environment['threads']} thread(s)",
        "Precision": environment["precision"]["precision"],
        "medgan, torch": f"{environment['versions']['medgan']}, {environment['versions']['torch']}",
    }


def _method_table(measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
    from medgan.evaluation.cohort_summary import summarize
    from medgan.reporting.sections import TableSection
    from medgan.seeding import numpy_generator

    columns = ("Method", "MAE, HU", "SD", "95 % interval", "ME, HU", "Soft-tissue r", "Dice of bone", "n")
    rows = []
    for name, cases in measures.items():
        generator = numpy_generator(0, "report", name)
        found = {s.measure: s for s in summarize(cohort_table(cases), generator=generator)}
        mae = found["mae"]
        interval = "n < 6" if mae.low is None else f"{mae.low:.1f} to {mae.high:.1f}"
        cells = [_text(found[key].mean, digits) for key, digits in (("me", 1), (CONTRAST_SIGN, 2), ("dice_bone", 2))]
        rows.append((TITLES[name], _text(mae.mean, 1), _text(mae.sd, 1), interval, *cells, str(mae.cases)))
    caption = (
        "Baselines are fitted on the training split. Soft-tissue r: correlation with the truth where it is soft tissue."
    )
    return TableSection("Model and baselines", columns, rows, caption)


def _case_table(cases: Sequence[Mapping[str, Any]]) -> Any:
    """Return one row a measure and one column a case: there are more measures than cases."""
    from medgan.reporting.sections import TableSection

    rows = []
    for name, measure in cases[0]["measures"].items():
        values = [case["measures"][name]["value"] for case in cases]
        if any(value is not None for value in values):
            unit = f", {measure['unit']}" if measure["unit"] else ""
            rows.append((f"{measure['title']}{unit}", *(_text(value, 3) for value in values)))
    return TableSection("The model, case by case", ("Measure", *(case["case_id"] for case in cases)), rows)


def _pictures(study: Study) -> list[Section]:
    """Return one figure a test case: source, result, truth, error."""
    from medgan.commands.cohort_data import read_case
    from medgan.commands.pictures import comparison_picture
    from medgan.formats import read_volume
    from medgan.inference.bundle import ModelBundle
    from medgan.reporting.sections import FigureSection
    from medgan.volume import Quantity

    recipe = ModelBundle.load(study.folder / "run" / "bundle").recipe
    figures: list[Section] = []
    for source, target in study.test_pairs():
        root = study.cohort.root
        acquired, reference = read_case(source, root), read_case(target, root).image
        result = read_volume(
            study.folder / "translations" / f"{source.case_id}_sct.nii.gz", quantity=Quantity.HOUNSFIELD
        )
        truth, mask = truth_and_mask(acquired.image, reference)
        png = comparison_picture(
            source=acquired.image,
            result=result,
            reference=truth,
            body=recipe(acquired).label("body"),
            mask=mask,
            title=source.case_id,
        )
        figures.append(
            FigureSection(
                source.case_id, png, f"Source, result, truth and signed error of {source.case_id} in three planes"
            )
        )
    return figures


def _curves(study: Study) -> bytes | None:
    from medgan.reporting.charts import training_curves

    lines = (study.folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [record for record in map(json.loads, lines) if record["event"] == "losses"]
    known = {name for row in rows for name in row}
    groups = {title: [name for name in names if name in known] for title, names in CURVES.items()}
    groups = {title: names for title, names in groups.items() if names}
    return training_curves(rows, groups=groups, title="Losses") if rows and groups else None


def _how(measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    first = measures[MODEL][0]["measures"].values()
    return [
        f"{m['title']}: in {m['mask']}; {m['range']}" + (f"; peak {m['peak']:g}" if m["peak"] is not None else "")
        for m in first
    ]


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
