"""The report of an MR-to-CT study: one self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.choose import read_choices
from medgan.commands.study import Part, Study
from medgan.commands.study_baselines import MODEL, TITLES
from medgan.commands.study_domain import domain_checks
from medgan.commands.study_evaluation import evaluate_step
from medgan.commands.study_gate import gate_of
from medgan.commands.study_given import is_given
from medgan.commands.study_lock import read_looks
from medgan.commands.study_pictures import pictures
from medgan.commands.study_tables import (
    all_measures_table,
    case_tables,
    choice_table,
    correlation_table,
    domain_reasons_table,
    domain_table,
    gate_table,
    how_table,
    looks_table,
    method_table,
    paired_table,
    split_table,
    trust_table,
    without_table,
)

if TYPE_CHECKING:
    from medgan.reporting.sections import Section

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
    """Write ``report.html`` into the study folder and return its path; it is drawn anew after another look."""
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report

    path, drawn_from = study.folder / "report.html", study.folder / ".report_of"
    measures = evaluate_step(study)
    looks = read_looks(study.folder)
    of = f"{len(looks)} {looks[-1].table_sha256}"
    if not path.is_file() or not drawn_from.is_file() or drawn_from.read_text(encoding="utf-8") != of:
        sections = list(_sections(study, measures))
        page = render_report(f"MR to CT: {study.experiment.model.name}", sections, subtitle=study.config.name)
        write_bytes(path, page.encode(), overwrite=True)
        write_bytes(drawn_from, of.encode(), overwrite=True)
    study.console.notice(f"report: {path}")
    return str(path)


def _sections(study: Study, measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Section]:
    from medgan.reporting.sections import KeyFacts, TextSection, WarningSection

    parts = study.parts()
    data = study.experiment.data
    looks, choices, checks = read_looks(study.folder), read_choices(parts), domain_checks(study)
    drawn = pictures(study, parts, measures[MODEL])
    warnings = [*LIMITS, *_second_look(len(looks)), *_tuned_on(data.tuned_on, measures)]
    yield WarningSection("Read this first", warnings)
    yield gate_table(gate_of(measures))
    yield KeyFacts("Facts", _facts(study, parts))
    yield method_table(measures)
    yield from _present(without_table(measures, data.tuned_on))
    yield paired_table(measures)
    yield _strip(measures)
    yield from case_tables(measures)
    yield all_measures_table(measures)
    if drawn.viewer is not None:
        yield drawn.viewer
    yield TextSection(
        "Failure gallery",
        [f"The {len(drawn.worst)} cases of largest MAE, each cut where the mean absolute error over 15 mm is largest."],
    )
    yield from drawn.worst
    yield TextSection("Every test case in pictures", ["All cases in one gray window and one color scale of the error."])
    yield from drawn.cases
    yield split_table(parts)
    yield looks_table(looks)
    yield from _choice(parts, choices)
    yield from _curves(parts)
    yield domain_table(checks)
    yield from _present(domain_reasons_table(checks))
    yield from _present(trust_table(measures[MODEL]))
    yield how_table(measures)
    yield KeyFacts("Exact settings", dict(_flat(study.experiment.model_dump(mode="json"))))
    yield KeyFacts("Digests", _digests(study, parts))


def _present(section: Section | None) -> Iterator[Section]:
    if section is not None:
        yield section


def _second_look(looks: int) -> Iterator[str]:
    if looks > 1:
        yield f"The test split was looked at {looks} times (see the table of looks): these numbers are not the first."


def _tuned_on(subjects: Sequence[str], measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    tested = sorted(set(subjects) & {row["subject_id"] for row in measures[MODEL]})
    if tested:
        yield (
            f"No model is tested on a subject that it was trained on, but the pairs of {len(tested)} test subjects "
            f"were looked at while the recipe was chosen ({', '.join(tested)}): a table of the others stands below."
        )


def _facts(study: Study, parts: Sequence[Part]) -> dict[str, str]:
    manifest = study.whole_cohort().manifest
    data = study.experiment.data
    counts = [
        " + ".join(
            f"{len(p.cohort.manifest.select(split='train', domain=d))} {d.upper()}" for d in (data.source, data.target)
        )
        for p in parts
    ]
    return {
        "Data": f"{manifest.title} ({manifest.license})",
        "Trainings": _trainings(parts),
        "Training subjects": f"{_each(counts)}, no subject in both",
        "Test subjects": str(len({source.subject_id for part in parts for source, _ in part.pairs("test")})),
        "Seed": str(study.experiment.seed),
        **_runs(parts),
    }


def _trainings(parts: Sequence[Part]) -> str:
    folds = parts[0].experiment.data.folds
    if is_given(parts[0]):
        return f"none here: the model {parts[0].bundle().facts.name} was given"
    return str(len(parts)) if folds is None else f"{len(parts)} of {folds} folds by subject"


def _each(values: Sequence[Any]) -> str:
    """Return different values once each."""
    return ", ".join(dict.fromkeys(str(value) for value in values))


def _runs(parts: Sequence[Part]) -> dict[str, str]:
    """Return how the models were trained; of a model that was given its own facts are all there is."""
    if is_given(parts[0]):
        facts = parts[0].bundle().facts
        return {"Steps": str(facts.training.steps), "medgan": facts.medgan_version}
    results = [json.loads((part.run / "result.json").read_text(encoding="utf-8")) for part in parts]
    environments = [json.loads((part.run / "environment.json").read_text(encoding="utf-8")) for part in parts]
    return {
        "Steps": _each([result["steps"] for result in results]),
        "Machine": _each([f"{e['processor']}, {e['threads']} thread(s), {e['device']}" for e in environments]),
        "Precision": _each([e["precision"]["precision"] for e in environments]),
        "medgan, torch": _each([f"{e['versions']['medgan']}, {e['versions']['torch']}" for e in environments]),
    }


def _digests(study: Study, parts: Sequence[Part]) -> dict[str, str]:
    found = {
        "Configuration": study.config_sha256,
        "Manifest": study.whole_cohort().manifest.digest,
    }
    for part in parts:
        found[f"Manifest of {part.title}"] = part.cohort.manifest.digest
        found[f"Weights of {part.title}"] = part.bundle().facts.weights_sha256
    return found


def _strip(measures: Mapping[str, Sequence[Mapping[str, Any]]]) -> Section:
    from medgan.reporting.charts import error_strip
    from medgan.reporting.sections import FigureSection

    per_method = {TITLES[name]: [row["measures"]["mae"]["value"] for row in rows] for name, rows in measures.items()}
    strip = error_strip(per_method, label="MAE in the body, HU", title="Every test case by every method")
    return FigureSection("Error of every case", strip, "One dot a test case and method: mean absolute error in HU")


def _choice(parts: Sequence[Part], choices: Mapping[str, Mapping[str, Any]]) -> Iterator[Section]:
    """Yield how checkpoints were chosen, and how well that follows the error."""
    from medgan.reporting.charts import score_scatter
    from medgan.reporting.sections import FigureSection, TextSection

    yield TextSection("Choice of checkpoints", list(dict.fromkeys(choice["rule"] for choice in choices.values())))
    scored = [part for part in parts if choices[part.name]["checkpoints"]]
    if not scored:
        return
    groups, marked = {}, {}
    for part in scored:
        rows = choices[part.name]["checkpoints"]
        groups[part.title] = [(row["mean_rank"], row["paired_mae_hu"]) for row in rows]
        marked[part.title] = [row["step"] for row in rows].index(choices[part.name]["chosen_step"])
    chart = score_scatter(
        groups,
        x_label="score: mean rank without ground truth (lower is better)",
        y_label="paired MAE, HU",
        marked=marked,
        title="Checkpoints on validation subjects",
    )
    what = "One dot a checkpoint: score without ground truth against paired error on validation subjects"
    yield FigureSection(
        "Score and error", chart, what, "A ring marks the chosen checkpoint; lines follow the training."
    )
    yield correlation_table(scored, choices)
    yield choice_table(scored, choices)


def _curves(parts: Sequence[Part]) -> Iterator[Section]:
    from medgan.reporting.charts import training_curves
    from medgan.reporting.sections import FigureSection

    for part in parts:
        if is_given(part):
            continue
        lines = (part.run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [record for record in map(json.loads, lines) if record["event"] == "losses"]
        known = {name for row in rows for name in row} - {"event", "attempt", "step"}
        drawn = {name for names in CURVES.values() for name in names} | {"adversarial_source", "discriminator_source"}
        groups = {title: [name for name in names if name in known] for title, names in CURVES.items()}
        groups["Other terms"] = sorted(known - drawn)
        groups = {title: names for title, names in groups.items() if names}
        if rows and groups:
            png = training_curves(rows, groups=groups, title=f"Losses of {part.title}")
            yield FigureSection(f"Curves of {part.title}", png, "Loss terms over the steps of the training")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting by its dotted name."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value, ensure_ascii=False)
