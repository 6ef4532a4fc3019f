"""Put the page of an explanation together: what was found, what may be claimed, with which models and settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.reporting.explanation_charts import Line, line_chart, rate_chart, reliability_chart
from medgan.reporting.explanation_pixels import shared_limit
from medgan.reporting.explanation_report import (
    CaseView,
    ChartSection,
    CohortSection,
    ExplanationPage,
    KeyFacts,
    PictureSection,
    TableSection,
    TextSection,
    WarningSection,
    render_explanations,
)
from medgan.reporting.explanation_tables import (
    alternative_table,
    atlas_table,
    calibration_table,
    control_table,
    equivalence_table,
    flip_table,
    interval,
    localization_table,
    method_table,
    number,
    success_table,
)

if TYPE_CHECKING:
    from medgan.commands.explanation_cases import Strengths
    from medgan.commands.explanation_settings import ExplainSettings
    from medgan.commands.explanation_store import ExplainedCase
    from medgan.commands.explanation_truth import MethodAgreement
    from medgan.explanation.explanation import CohortResult, DosePath, MethodSummary, Preflight, Rate

LIMITS = (
    "Differences that are found are not all differences: a translator changes what is enough to flip the score, and "
    "a classifier may use more than that.",
    "A translator may invent findings and may erase them. A translated radiograph is no radiograph of this person, "
    "neither healthy nor ill.",
    "Matching two sets of images moves the frequency of a disease from one to the other: what is added or removed "
    "follows the training sets' prevalence, not this patient.",
    "A flip says what changes this classifier's score. It says nothing about disease, and nothing about cause.",
    "A robust flip may still hang on a shortcut that both classifiers learned from the same data: look at the restore "
    "test and at the region that undoes most flips.",
    "Much of a flip can be generic: where the mean change of others flips a case too, its own map says little.",
    "Attribution maps explain the score before sigmoid or softmax. Maps that look the same with random weights "
    "explain nothing that was learned.",
)
REFERENCES = (
    "Eckstein N, Bates AS, Jefferis GSXE, Funke J (2021). Discriminative attribution from counterfactuals. "
    "arXiv 2109.13412.",
    "Zhu JY, Park T, Isola P, Efros AA (2017). Unpaired image-to-image translation using cycle-consistent adversarial "
    "networks. ICCV. arXiv 1703.10593.",
    "Sundararajan M, Taly A, Yan Q (2017). Axiomatic attribution for deep networks. arXiv 1703.01365.",
    "Selvaraju RR et al. (2017). Grad-CAM. ICCV. arXiv 1610.02391.",
    "Adebayo J et al. (2018). Sanity checks for saliency maps. NeurIPS. arXiv 1810.03292.",
    "Cohen JP, Luck M, Honari S (2018). Distribution matching losses can hallucinate features in medical image "
    "translation. MICCAI. arXiv 1805.08841.",
    "Wilson EB (1927). Probable inference. J Am Stat Assoc 22, 209. Schuirmann DJ (1987). doi 10.1007/BF01068419. "
    "Benjamini Y, Hochberg Y (1995). J R Stat Soc B 57, 289.",
)


def rendered_page(
    *,
    title: str,
    subtitle: str,
    stamps: tuple[str, ...],
    cases: Sequence[ExplainedCase],
    result: CohortResult,
    kinds: Mapping[str, Mapping[str, Rate]],
    strengths: Strengths,
    report: Preflight,
    settings: ExplainSettings,
    models: Mapping[str, Any],
    agreements: Sequence[MethodAgreement],
    notices: Sequence[str],
    refused: Mapping[str, str],
    request: str,
) -> str:
    """Return the page as HTML."""
    page = ExplanationPage(
        title=title,
        subtitle=subtitle,
        stamps=stamps,
        cohort=_cohort_sections(result, kinds, strengths, agreements, notices, refused, settings, cases),
        cases=[CaseView(c.explanation, c.grad_cams, tuple(c.facts.get("notices", ()))) for c in cases],
        closing=_closing_sections(report, settings, models, request),
        lead=settings.lead,
        shown=settings.shown,
    )
    return render_explanations(page)


def method_titles(cases: Sequence[ExplainedCase]) -> dict[str, str]:
    """Return the methods' names in words."""
    return {m.method: m.title for case in cases for m in case.explanation.maps}


def _cohort_sections(
    result: CohortResult,
    kinds: Mapping[str, Mapping[str, Rate]],
    strengths: Strengths,
    agreements: Sequence[MethodAgreement],
    notices: Sequence[str],
    refused: Mapping[str, str],
    settings: ExplainSettings,
    cases: Sequence[ExplainedCase],
) -> list[CohortSection]:
    titles = method_titles(cases)
    sections: list[CohortSection] = [
        TextSection("What was found", _findings(result, kinds)),
        WarningSection("What can and cannot be claimed", LIMITS),
        *([TextSection("About the radiographs", notices)] if notices else []),
        success_table(result),
        flip_table(kinds),
    ]
    rates = [(f"flips, {one.direction}", one.flips) for one in result.success]
    rates += [(f"robust, {direction}", shares["robust"]) for direction, shares in kinds.items()]
    rates += [(f"{c.name}, {c.direction}", c.flips) for c in result.controls]
    if rates:
        sections.append(
            ChartSection(
                "Flips, robust flips, and controls",
                rate_chart(rates, x_label="share, with 95 % interval", alternative="Shares of flips and of controls"),
                "A control that flips nearly as often as the translation says that a flip is mostly generic.",
            )
        )
    sections.append(control_table(result.controls))
    if result.methods:
        sections += [method_table(result.methods, titles), *_curve_charts(result.methods, titles, settings)]
    if agreements:
        sections.append(agreement_table(agreements, titles))
    if result.alternatives:
        sections.append(alternative_table(result))
    sections += [localization_table(one) for one in result.localization if one.regions]
    if result.atlas:
        limit = shared_limit([one.picture for one in result.atlas], percentile=100)
        sections.append(
            PictureSection(
                "Atlas: mean of fake − real",
                [(one.direction, one.picture) for one in result.atlas],
                limit,
                "gray value",
                "Mean over all correctly classified queries, on the body box.",
            )
        )
        sections += [atlas_table(one) for one in result.atlas]
    if result.diversity:
        sections.append(
            TextSection("Diversity of the changes", [f"{d.direction}: {d.sentence}" for d in result.diversity])
        )
    sections.append(equivalence_table(result.equivalence))
    if result.dose:
        sections.append(_dose_chart(result.dose))
    if result.calibration:
        sections.append(calibration_table(result.calibration))
        sections.append(
            ChartSection(
                "Reliability",
                reliability_chart(result.calibration, alternative="Observed share over predicted probability"),
                "On the dotted diagonal, probabilities are frequencies.",
            )
        )
    else:
        sections.append(
            TextSection(
                "Calibration of the classifier", ["Not available: true classes of the radiographs are not known."]
            )
        )
    sections.append(_strength_table(strengths))
    return sections


def _findings(result: CohortResult, kinds: Mapping[str, Mapping[str, Rate]]) -> list[str]:
    lines = []
    for one in result.success:
        robust = kinds[one.direction]["robust"]
        lines.append(f"{one.direction}: {one.flips.text} of the correctly classified flip; robust are {robust.text}.")
    generic = [one for one in result.controls if one.name == "class-mean residual" and one.flips.total]
    lines += [f"{one.direction}, control: {one.sentence}" for one in generic]
    lines += [f"{one.direction}, restore test: {one.sentence}" for one in result.localization]
    lines += [f"{one.direction}, diversity: {one.sentence}" for one in result.diversity if one.mode_collapse]
    return lines


def agreement_table(agreements: Sequence[MethodAgreement], titles: Mapping[str, str]) -> TableSection:
    """Return how well maps agree with findings whose place is known."""
    rows = [
        (
            titles.get(one.method, one.method),
            one.ranked,
            interval(one.iou),
            interval(one.over_residual),
            one.pointing.text,
            number(one.chance),
            str(one.iou.cases),
        )
        for one in agreements
    ]
    columns = ("Method", "Ranked by", "IoU at the finding's area", "over residual", "Pointing", "IoU by chance", "n")
    caption = (
        "Only cases whose own radiograph holds a finding of known place. Absolute values without smoothing are the "
        "declared measure; the others are shown beside it. 95 % intervals by bootstrap over subjects."
    )
    return TableSection("Agreement with the known finding", columns, rows, caption, frozenset({1}))


def _curve_charts(
    methods: Sequence[MethodSummary], titles: Mapping[str, str], settings: ExplainSettings
) -> list[CohortSection]:
    charts: list[CohortSection] = []
    areas = (np.arange(101) / 100).tolist()
    for direction in dict.fromkeys(m.direction for m in methods):
        group = [m for m in methods if m.direction == direction]
        wanted = [settings.lead, "residual", "random"]
        group.sort(key=lambda m: wanted.index(m.method) if m.method in wanted else len(wanted))
        lines = [
            Line(
                titles.get(m.method, m.method),
                areas,
                m.mean_curve,
                band=(m.curve_low, m.curve_high) if m.curve_low and m.method in wanted else None,
                strong=m.method in wanted,
            )
            for m in group[:6]
        ]
        low = min(0.0, *(min(line.y) for line in lines))
        charts.append(
            ChartSection(
                f"Mean curves: {direction}",
                line_chart(
                    lines,
                    x_label="share of the image exchanged",
                    y_label="change of probability",
                    y_range=(float(np.floor(low * 4) / 4), 1.0),
                    alternative=f"Mean change of probability over exchanged area, {direction}",
                    size=(560, 280),
                ),
                "Bands: 95 % interval by subject, of the lead method and the baselines.",
            )
        )
    return charts


def _dose_chart(paths: Sequence[DosePath]) -> CohortSection:
    lines = []
    for path in paths:
        low, middle, high = np.percentile(path.scores, [10, 50, 90], axis=0)
        lines.append(Line(path.direction, path.doses.tolist(), middle.tolist(), band=(low.tolist(), high.tolist())))
    words = [
        f"{p.direction}: the score never falls by more than {p.tolerance:g} in {p.monotone.text}; median dose of the "
        f"flip {number(p.median_flip_dose, 2)}."
        for p in paths
    ]
    chart = line_chart(
        lines,
        x_label="dose: from real (0) to fake (1)",
        y_label="probability of the wanted class",
        alternative="Probability of the wanted class on the way from real to fake",
    )
    return ChartSection("Dose path", chart, f"Median, and 10 % to 90 % of the cases. {' '.join(words)}")


def _strength_table(strengths: Strengths) -> TableSection:
    rows = [(s.text, s.kept.text, "yes" if s.usable else "no: left out") for s in strengths.table]
    columns = ("Transform", "Real images that keep their class", "Used")
    return TableSection("Transforms that a robust flip survives", columns, rows, strengths.sentence, frozenset({2}))


def _closing_sections(
    report: Preflight, settings: ExplainSettings, models: Mapping[str, Any], request: str
) -> list[CohortSection]:
    rows = [(f.rule, f.status, f.reason, ", ".join(f.refuses)) for f in report.findings]
    facts: dict[str, str] = {}
    for role, model in models.items():
        if model is None:
            facts[role] = "not available"
            continue
        facts[role] = f"{model['name']}, weights SHA-256 {model['weights_sha256']}; made for {model['population']}"
    trained = models["translator"]["trained_with_classifier"]
    facts["translator's classifier term"] = (
        "none" if trained is None else f"{trained['name']}, weight {trained['weight']:g}, {trained['weights_sha256']}"
    )
    facts["classes"] = " | ".join(models["classifier"]["classes"])
    facts["scores"] = f"{models['classifier']['score_space']}, explained before sigmoid or softmax"
    facts["target layer"] = models["classifier"]["target_layer"] or "none"
    facts["digest of the request"] = request
    facts["software"] = _versions()
    chosen = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in settings.model_dump(mode="json").items()
    }
    return [
        TableSection(
            "Preflight of the classifier",
            ("Rule", "Status", "Found", "Methods refused"),
            rows,
            "",
            frozenset({1, 2, 3}),
        ),
        KeyFacts("Models and software", facts),
        KeyFacts("Settings", chosen),
        TextSection("References", REFERENCES),
    ]


def _versions() -> str:
    from importlib.metadata import version

    from medgan import __version__

    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "captum", "numpy"))
    return f"medgan {__version__}, Python {platform.python_version()}, {packages}"
