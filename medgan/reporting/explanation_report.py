"""One self-contained page about why a classifier said so: a cohort part, and one article a case."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from medgan.errors import ReportError
from medgan.explanation.explanation import KINDS, AttributionMap, Curve, Explanation, Verdict
from medgan.reporting.explanation_charts import Line, line_chart
from medgan.reporting.explanation_pixels import gray_uri, scale_uri, shared_limit, signed_uri
from medgan.reporting.explanation_tables import case_method_table, number
from medgan.reporting.sections import FigureSection, KeyFacts, Section, TableSection, TextSection, WarningSection
from medgan.reporting.viewer import ViewerSection, script_hash

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ChartSection:
    """An SVG that is part of the page; made by :mod:`medgan.reporting.explanation_charts`, never by a user."""

    kind: ClassVar[str] = "chart"
    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class PictureSection:
    """Signed pictures on one scale.

    Parameters
    ----------
    pictures : sequence of (caption, (H, W) array)
    limit : float
        Of the scale, which is centered at 0.
    unit : str
    """

    kind: ClassVar[str] = "pictures"
    title: str
    pictures: Sequence[tuple[str, Float32]]
    limit: float
    unit: str
    caption: str = ""


CohortSection = Section | ChartSection | PictureSection


@dataclass(frozen=True, eq=False)
class CaseView:
    """One case as the page shows it.

    Parameters
    ----------
    explanation : Explanation
    grad_cams : mapping of str to (h, w) float32
        Signed Grad-CAM of ``real`` and ``fake``; empty where the classifier shows no inner activations.
    notes : tuple of str
        Sentences about how the radiograph was read.
    """

    explanation: Explanation
    grad_cams: Mapping[str, Float32] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ExplanationPage:
    """What the page holds.

    Parameters
    ----------
    title, subtitle : str
    stamps : tuple of str
        Printed on every page, such as DEMONSTRATION MODEL.
    cohort, closing : sequence of sections
        Before and after the cases.
    cases : sequence of CaseView
        All that were explained; the table lists them.
    lead : str
        Method whose mask, hybrid and curve are shown.
    shown : int
        Cases of each direction and verdict that get an article with panels.
    """

    title: str
    subtitle: str
    stamps: tuple[str, ...]
    cohort: Sequence[CohortSection]
    cases: Sequence[CaseView]
    closing: Sequence[CohortSection]
    lead: str
    shown: int


def render_explanations(page: ExplanationPage) -> str:
    """Return a self-contained HTML page: nothing is fetched, and its policy forbids it; the only script has its hash.

    Raises
    ------
    ReportError
        If there is neither a section nor a case.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if not page.cohort and not page.cases:
        raise ReportError("A report of explanations needs a section or a case: found neither.")
    environment = Environment(
        loader=PackageLoader("medgan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (files("medgan.reporting") / "templates" / "explanation.js").read_text(encoding="utf-8")
    chosen = _shown(page)
    limits = _limits([page.cases[n] for n in chosen], page.lead)
    counts = Counter(view.explanation.verdict.kind for view in page.cases)
    html = environment.get_template("explanation.html.j2").render(
        title=page.title,
        subtitle=page.subtitle,
        stamps=page.stamps,
        cohort=[_for_template(s) for s in page.cohort],
        closing=[_for_template(s) for s in page.closing],
        cases=[_case(page.cases[n], n, page.lead, limits) for n in chosen],
        overview=_overview(page, set(chosen)),
        kinds=[(kind, counts.get(kind, 0)) for kind in KINDS],
        directions=list(dict.fromkeys(v.explanation.direction for v in page.cases)),
        total=len(page.cases),
        scales={"gray": scale_uri(signed=False), "signed": scale_uri(signed=True)},
        limits=limits,
        lead_unit=next((m.unit for v in page.cases for m in v.explanation.maps if m.method == page.lead), ""),
        script=script,
        policy=f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script_hash(script)}",
    )
    return html.lstrip()


def _shown(page: ExplanationPage) -> list[int]:
    """Return the cases with an article: the first of each direction and verdict by name, not by how they look."""
    seen: Counter[tuple[str, str]] = Counter()
    chosen = []
    for n in sorted(range(len(page.cases)), key=lambda n: page.cases[n].explanation.case_id):
        one = page.cases[n].explanation
        key = (one.direction, one.verdict.kind)
        seen[key] += 1
        if seen[key] <= page.shown:
            chosen.append(n)
    return chosen


def _limits(cases: Sequence[CaseView], lead: str) -> dict[str, float]:
    """Return one limit a kind of signed map, for the whole report."""
    return {
        "difference": shared_limit(c.explanation.fake - c.explanation.real for c in cases),
        "grad_cam": shared_limit(g for c in cases for g in c.grad_cams.values()),
        "map": shared_limit(m.values for c in cases for m in c.explanation.maps if m.method == lead),
    }


def _case(view: CaseView, place: int, lead: str, limits: Mapping[str, float]) -> dict[str, Any]:
    one = view.explanation
    curve = next((c for c in one.curves if c.method == lead), None) or next(iter(one.curves), None)
    return {
        "anchor": f"case-{place}",
        "id": one.case_id,
        "kind": one.verdict.kind,
        "direction": one.direction,
        "sentence": one.verdict.sentence,
        "scores": _scores(one),
        "panels": _panels(view, lead, curve, limits),
        "curve": "" if curve is None else _curve_chart(one, curve),
        "lead": "" if curve is None else _title(one, curve.method),
        "best": "" if curve is None else f"{_best(curve)}{_random_weights(one, curve.method)}",
        "outcomes": _outcomes(one.verdict),
        "second": one.verdict.second,
        "table": _for_template(case_method_table(one)) if one.maps else None,
        "notes": list(view.notes),
    }


def _scores(one: Explanation) -> list[tuple[str, str, str]]:
    source, target = one.source, one.target
    return [
        (one.class_names[k], number(one.real_probabilities[k]), number(one.fake_probabilities[k]))
        for k in dict.fromkeys((source, target, *range(len(one.class_names))))
    ]


def _panels(view: CaseView, lead: str, curve: Curve | None, limits: Mapping[str, float]) -> list[dict[str, Any]]:
    one = view.explanation
    source, target = one.class_names[one.source], one.class_names[one.target]
    difference = one.fake - one.real
    panels = [
        _panel("real", gray_uri(one.real), f"Real image, class {source}"),
        _panel("fake", gray_uri(one.fake, synthetic=True), f"Translation into {target}", synthetic=True),
        _panel(
            "fake − real",
            signed_uri(difference, limit=limits["difference"], synthetic=True),
            "Signed difference of the translation and the real image",
            scale="difference",
            synthetic=True,
        ),
    ]
    for name, of, words in (("real", source, "real image"), ("fake", target, "translation")):
        values = view.grad_cams.get(name)
        panels.append(
            _panel(f"Grad-CAM of {name}", "", f"Grad-CAM of the {words}: not available")
            if values is None
            else _panel(
                f"Grad-CAM of {name} ({of})",
                signed_uri(values, limit=limits["grad_cam"], synthetic=name == "fake"),
                f"Signed Grad-CAM of the {words} for {of}",
                scale="grad_cam",
                synthetic=name == "fake",
            )
        )
    led = next((m for m in one.maps if m.method == lead), None)
    if led is not None:
        title = f"map: {led.title}"
        panels.append(
            _panel(title, "", f"{led.title}: not shown, because {led.refusal}")
            if led.values is None
            else _panel(title, signed_uri(led.values, limit=limits["map"]), f"{led.title} in {led.unit}", scale="map")
        )
    if curve is None:
        why = one.verdict.reason or "there is no curve"
        panels += [_panel(name, "", f"{name}: none, because {why}") for name in ("best mask", "hybrid")]
    else:
        panels += [
            _panel("best mask", gray_uri(curve.mask, window=(0.0, 1.0)), "Best mask, from 0 to 1", scale="mask"),
            _panel("hybrid", gray_uri(curve.hybrid, synthetic=True), f"Hybrid, {curve.direction}", synthetic=True),
        ]
    for other in one.alternatives:
        is_real = other.way == "nearest neighbor"
        note = f", {other.note}" if other.note else ""
        panels.append(
            _panel(
                f"{other.way}: {other.verdict.flip or other.verdict.kind}",
                gray_uri(other.image, synthetic=not is_real),
                f"{other.way}{note}, L2 distance {other.distance_l2:.2f}: {other.verdict.sentence}",
                synthetic=not is_real,
            )
        )
    return panels


def _panel(name: str, uri: str, words: str, *, scale: str = "gray", synthetic: bool = False) -> dict[str, Any]:
    return {"name": name, "uri": uri, "words": words, "scale": scale, "synthetic": synthetic}


def _curve_chart(one: Explanation, curve: Curve) -> str:
    order = [curve.method, "residual", "random"]
    curves = sorted(one.curves, key=lambda c: order.index(c.method) if c.method in order else len(order))
    lines = []
    for own in curves[:6]:
        along, heights = _line(own)
        mark = (own.optimal_area, own.optimal_score) if own is curve else None
        lines.append(Line(_title(one, own.method), along, heights, strong=own is curve, mark=mark))
    lowest = min(0.0, *(min(line.y) for line in lines))
    highest = max(1.0, *(max(line.y) for line in lines))
    return line_chart(
        lines,
        x_label=f"share of the image exchanged ({curve.direction})",
        y_label="change of probability",
        y_range=(float(np.floor(lowest * 4) / 4), float(np.ceil(highest * 4) / 4)),
        alternative=f"Change of the wanted class's probability over the exchanged area, case {one.case_id}",
    )


def _line(curve: Curve) -> tuple[list[float], list[float]]:
    """Return a curve at 51 areas, with the ends (0, 0) and (1, total)."""
    along = np.concatenate([[0.0], curve.areas, [1.0]])
    heights = np.concatenate([[0.0], curve.scores, [curve.total]])
    order = np.argsort(along, kind="stable")
    areas = np.linspace(0, 1, 51)
    return areas.tolist(), np.interp(areas, along[order], heights[order]).tolist()


def _title(one: Explanation, method: str) -> str:
    found: AttributionMap | None = next((m for m in one.maps if m.method == method), None)
    return method if found is None else found.title


def _best(curve: Curve) -> str:
    flipping = curve.smallest_flipping_area
    words = "no area flips" if flipping is None else f"smallest flipping area {flipping:.1%}"
    return (
        f"Best mask: {curve.optimal_area:.1%} of the image change the probability by {number(curve.optimal_score)}; "
        f"{words}; DAC area {number(curve.dac)} ({curve.preset}, {curve.direction})."
    )


def _random_weights(one: Explanation, method: str) -> str:
    """Return the model-randomization check of the shown map in words; nothing where there is none."""
    check = next((m.randomization for m in one.maps if m.method == method), None)
    if check is None:
        return ""
    alike = f"rank correlation {number(check.rank_correlation[-1], 2)}, SSIM {number(check.ssim[-1], 2)}"
    return f" With random weights the map is alike by {alike}."


def _outcomes(verdict: Verdict) -> list[tuple[str, str]]:
    words = {True: "survives", False: "undone", None: "void: the real image changes its class too"}
    return [(o.transform, f"{words[o.survives]} ({number(o.probability, 2)})") for o in verdict.outcomes]


def _overview(page: ExplanationPage, shown: set[int]) -> list[dict[str, Any]]:
    rows = []
    for n, view in enumerate(page.cases):
        one = view.explanation
        curve = next((c for c in one.curves if c.method == page.lead), None)
        rows.append(
            {
                "anchor": f"case-{n}" if n in shown else "",
                "id": one.case_id,
                "kind": one.verdict.kind,
                "direction": one.direction,
                "real": number(one.real_probabilities[one.source]),
                "fake": number(one.fake_probabilities[one.target]),
                "dac": number(None if curve is None else curve.dac),
                "area": number(None if curve is None else curve.smallest_flipping_area),
                "sentence": one.verdict.sentence,
            }
        )
    return rows


def _for_template(section: CohortSection) -> dict[str, Any]:
    if isinstance(section, ViewerSection):
        raise ReportError("A report of explanations shows radiographs, not volumes.")
    values = {f.name: getattr(section, f.name) for f in fields(section)}
    if isinstance(section, PictureSection):
        values["pictures"] = [
            (words, signed_uri(values, limit=section.limit, synthetic=True)) for words, values in section.pictures
        ]
    if isinstance(section, FigureSection):
        values["png"] = base64.b64encode(section.png).decode("ascii")
    return {"kind": section.kind, **values}


__all__ = [
    "CaseView",
    "ChartSection",
    "CohortSection",
    "ExplanationPage",
    "KeyFacts",
    "PictureSection",
    "TableSection",
    "TextSection",
    "WarningSection",
    "render_explanations",
]
