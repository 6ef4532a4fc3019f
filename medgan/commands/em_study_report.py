"""The report of a study of contrast translation: one self-contained HTML page, also of a study that is not finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.commands.em_study import require_one_data, run_folder, segmenter_folder, study_settings, trainings
from medgan.commands.em_study_measures import BOUND, MATCHED, RAW, SECTION, measure_step
from medgan.commands.em_study_trainings import arm_title, training_sections
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.commands.em_study_settings import EmStudySettings
    from medgan.reporting.em_sections import ShownSection
    from medgan.reporting.sections import Section

Measures = Mapping[str, Mapping[str, Any]]
PLAIN_TITLES = {
    RAW: "unlabeled contrast as it is",
    MATCHED: "histogram matching, section by section",
    BOUND: "the same specimen in the labeled contrast: the bound",
}
SHORT_TITLES = {RAW: "raw", MATCHED: "matched", BOUND: "labeled contrast"}
WEIGHTS_WORDS = {"chosen": "Chosen checkpoints", "last": "Weights after the last step"}
COLUMNS = {
    "voi": ("VOI, bits", "{:.3f}"),
    "voi_split": ("split", "{:.3f}"),
    "voi_merge": ("merge", "{:.3f}"),
    "adapted_rand_error": ("ARAND", "{:.3f}"),
    "cremi_score": ("CREMI", "{:.3f}"),
    "expected_run_length": ("ERL, nm", "{:.0f}"),
    "greatest_run_length": ("best ERL, nm", "{:.0f}"),
}


def report_step(study: Study) -> str:
    """Write ``report.html`` and its tables as Markdown, of what is finished; anew each time."""
    from medgan.formats import write_bytes
    from medgan.reporting.report import render_report
    from medgan.reporting.tables import markdown_tables

    settings = study_settings(study)
    measured = measure_step(study)
    sections = list(_sections(study, settings, measured))
    page = render_report(settings.title, sections, subtitle=study.config.name)
    tables = markdown_tables(sections, title=settings.title)
    write_bytes(study.folder / "tables.md", tables.encode(), overwrite=True)
    path = study.folder / "report.html"
    write_bytes(path, page.encode(), overwrite=True)
    study.console.notice(f"report: {path}")
    return str(path)


def verdict(settings: EmStudySettings, measured: Measures) -> list[str]:
    """Return, for each arm, whether it beats the baseline: paired by seed, an interval from six seeds on.

    Notes
    -----
    Below six seeds no interval is given; "in every seed" is then the strongest that is said, and of one seed not even
    that. Histogram matching has no seed: every training of an arm is compared with its one value.
    """
    word = arm_title(settings, settings.baseline)
    said: list[str] = []
    for checkpoint in settings.checkpoints:
        better, lines, seeds = [], [], 0
        for arm in settings.arms:
            differences = _differences(settings, measured, arm, checkpoint)
            if arm == settings.baseline or not differences.size:
                continue
            seeds = max(seeds, len(differences))
            if (differences < 0).all():
                better.append(arm_title(settings, arm))
            lines.append(f"{arm_title(settings, arm)} − {word}: {_said(differences)}")
        if lines:
            weights = WEIGHTS_WORDS[checkpoint]
            every = "with the one seed" if seeds == 1 else "in every seed"
            said.append(f"{weights}: better than the {word} {every}: {', '.join(better) or 'none'}.")
            said += lines
            said += _against_matching(settings, measured, checkpoint)
    return said


def _against_matching(settings: EmStudySettings, measured: Measures, checkpoint: str) -> list[str]:
    """Return which arms are better than histogram matching alone in all of their seeds: what needs no training."""
    if MATCHED not in measured:
        return []
    simple = measured[MATCHED]["pooled"]["voi"]
    better = []
    for arm in settings.arms:
        found = [
            one["pooled"]["voi"]
            for one in measured.values()
            if (one.get("arm"), one.get("checkpoint")) == (arm, checkpoint)
        ]
        if found and max(found) < simple:
            better.append(arm_title(settings, arm))
    names = ", ".join(better) or "none"
    return [f"{WEIGHTS_WORDS[checkpoint]}: better than histogram matching alone in every training: {names}."]


def _differences(settings: EmStudySettings, measured: Measures, arm: str, checkpoint: str) -> npt.NDArray[np.float64]:
    """Return an arm's VOI minus the baseline's, for the seeds that both have."""
    found = {
        (one.get("arm"), one.get("seed"), one.get("checkpoint")): one["pooled"]["voi"] for one in measured.values()
    }
    pairs = [
        (found[arm, seed, checkpoint], found[settings.baseline, seed, checkpoint])
        for seed in settings.seeds
        if (arm, seed, checkpoint) in found and (settings.baseline, seed, checkpoint) in found
    ]
    return np.array([one - other for one, other in pairs])


def _said(differences: npt.NDArray[np.float64]) -> str:
    from scipy.stats import bootstrap

    words = f"VOI {', '.join(f'{d:+.3f}' for d in differences)} bits"
    if len(differences) == 1:
        return f"{words}: one seed, from which nothing about the method follows."
    if len(differences) < 6:
        count = int((differences < 0).sum())
        return f"{words}: lower, that is better, in {count} of {len(differences)} seeds; too few for an interval."
    drawn = bootstrap((differences,), np.mean, method="percentile", rng=np.random.default_rng(0))
    low, high = drawn.confidence_interval
    shown = "below 0" if high < 0 else "above 0" if low > 0 else "including 0: no difference shown"
    return f"{words}; 95 % interval of the mean {low:+.3f} to {high:+.3f}, {shown}."


def _sections(study: Study, settings: EmStudySettings, measured: Measures) -> Iterator[Section]:
    from medgan.reporting.charts import error_strip
    from medgan.reporting.em_sections import section_sheet
    from medgan.reporting.sections import FigureSection, KeyFacts, TextSection, WarningSection

    every = list(trainings(settings))
    missing = [one.name for one in every if one.name not in measured]
    limits = list(settings.limits)
    if missing:
        limits.append(f"This study is not finished: {', '.join(missing)} are missing. The same command continues it.")
    yield WarningSection("Read this first", limits)
    yield KeyFacts("Facts", _facts(study, settings))
    yield TextSection("Does SECGAN beat the CycleGAN?", verdict(settings, measured) or ["Not measured yet."])
    yield _table(settings, measured)
    groups = {_row_title(settings, name): values for name, values in _grouped(settings, measured).items()}
    for key in ("voi", "adapted_rand_error"):
        strip = {title: [one["pooled"].get(key) for one in rows] for title, rows in groups.items()}
        label = COLUMNS[key][0]
        png = error_strip(strip, label=f"{label}: lower is better", title="")
        yield FigureSection(f"Every seed: {label}", png, alternative=f"One dot a seed and row: {label}")
    shown = shown_sections(study, settings, measured)
    if shown:
        sections = {int(m["section"]) for m in measured.values()}
        yield FigureSection(
            "Raw, translated, boundaries, instances",
            section_sheet(shown),
            alternative="One section in every version, with the boundaries and instances that the segmenter finds",
            caption=f"Section {', '.join(map(str, sorted(sections)))} of the test stack, first seed. Colors tell "
            "instances apart and mean nothing else. Translated images are synthetic.",
        )
    yield from _blocks(settings, measured)
    yield from training_sections(study, settings, every)


def _facts(study: Study, settings: EmStudySettings) -> dict[str, str]:
    from medgan import __version__
    from medgan.inference.bundle import find_bundle

    experiment = require_one_data(study, settings)
    segmenter = find_bundle(str(segmenter_folder(study, settings))).facts
    environments = [
        json.loads(path.read_text(encoding="utf-8"))
        for one in trainings(settings)
        if (path := run_folder(study, one) / "environment.json").is_file()
    ]
    machines = sorted(
        {f"{e['processor']}, {e['threads']} thread(s), {e['precision']['precision']}" for e in environments}
    )
    return {
        "Data": experiment.model.data,
        "Seeds": ", ".join(map(str, settings.seeds)),
        "Steps": str(settings.steps or experiment.secgan.steps),
        "Segmenter": f"{segmenter.name}, weights {segmenter.weights_sha256[:12]}, frozen",
        "Gray values before the translation": f"matching: {experiment.matching}",
        "Polarity": experiment.guard.expected_polarity if experiment.guard is not None else "not guarded",
        **({"Machine": "; ".join(machines)} if machines else {}),
        "medgan": __version__,
    }


def _row_title(settings: EmStudySettings, group: tuple[str, str]) -> str:
    name, checkpoint = group
    if name in PLAIN_TITLES:
        return PLAIN_TITLES[name]
    return arm_title(settings, name) + (", last step" if checkpoint == "last" else "")


def _grouped(settings: EmStudySettings, measured: Measures) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Return the measured rows by arm and checkpoint, in the order of the table."""
    arms = [(arm, checkpoint) for checkpoint in settings.checkpoints for arm in settings.arms]
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for group in ((RAW, ""), (MATCHED, ""), *arms, (BOUND, "")):
        rows = [one for key, one in measured.items() if (one.get("arm") or key, one.get("checkpoint") or "") == group]
        if rows:
            groups[group] = rows
    return groups


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "–" if value is None else COLUMNS[key][1].format(value)


def _table(settings: EmStudySettings, measured: Measures) -> Section:
    from medgan.reporting.sections import TableSection

    used = [key for key in COLUMNS if any(key in one["pooled"] for one in measured.values())]
    rows = []
    for name, found in _grouped(settings, measured).items():
        for one in found:
            seed = str(one["seed"]) if "seed" in one else "–"
            rows.append((_row_title(settings, name), seed, *(_cell(one["pooled"], key) for key in used)))
        if len(found) > 1:
            means = {k: float(np.mean([one["pooled"][k] for one in found])) for k in used if k in found[0]["pooled"]}
            rows.append((f"{_row_title(settings, name)}, mean", "", *(_cell(means, key) for key in used)))
    return TableSection(
        "The frozen segmenter on the test stack",
        ("Image", "Seed", *(COLUMNS[key][0] for key in used)),
        rows,
        caption="Variation of information in bits (split and merge) and adapted Rand error: 0 is perfect. CREMI: the "
        "geometric mean of both. ERL: expected run length along skeletons of the truth, and the greatest possible. "
        "Voxels without a truth are not counted.",
        text_columns=frozenset({0}),
    )


def _blocks(settings: EmStudySettings, measured: Measures) -> Iterator[Section]:
    from medgan.reporting.sections import TableSection

    groups = _grouped(settings, measured)
    first = next(iter(measured.values()), None)
    if first is None or len(first["blocks"]) < 2:
        return
    starts = [", ".join(map(str, block["start_ijk"])) for block in first["blocks"]]
    table = [("Block from (x, y, z)", *starts)]
    for group, found in groups.items():
        values = [[one["blocks"][number].get("voi") for one in found] for number in range(len(starts))]
        cells = ["–" if None in each else f"{np.mean(each):.3f}" for each in values]
        table.append((SHORT_TITLES.get(group[0]) or _row_title(settings, group), *cells))
    if len(starts) > len(groups):  # the longer side downward, or the page grows too wide
        table = list(zip(*table, strict=True))
    yield TableSection(
        "VOI of every block",
        table[0],
        table[1:],
        caption="Bits; mean over seeds. The pooled values above are from the summed counts, not means of these.",
        text_columns=frozenset({0}),
    )


def shown_sections(study: Study, settings: EmStudySettings, measured: Measures) -> list[ShownSection]:
    """Return one section in every version of the first seed; the truth last, beside an image that was recorded."""
    from medgan.reporting.em_sections import ShownSection

    seed = settings.seeds[0]
    names = {RAW: SHORT_TITLES[RAW], MATCHED: SHORT_TITLES[MATCHED]}
    for arm, checkpoint in ((a, c) for c in settings.checkpoints for a in settings.arms):
        name = f"{arm}_seed{seed}" + ("" if checkpoint == "chosen" else f"_{checkpoint}")
        title = _row_title(settings, (arm, checkpoint)).replace(", last step", "\nlast step")
        names[name] = f"{title} (synthetic)"
    names[BOUND] = SHORT_TITLES[BOUND]
    shown = []
    truth = None
    for name, title in names.items():
        path = study.folder / "measures" / name / SECTION
        if name not in measured or not path.is_file():
            continue
        with np.load(path) as found:
            if name in (RAW, BOUND):
                truth = found["truth"], found["image"]
            shown.append(ShownSection(title, found["image"], found["boundary"], found["instances"]))
    if truth is not None:
        shown.append(ShownSection("truth", truth[1], None, truth[0]))
    return shown
