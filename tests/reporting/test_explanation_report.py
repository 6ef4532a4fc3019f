from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import opened_page
from explained_cases import SIDE, explanation

from medgan.errors import ReportError
from medgan.explanation.explanation import Interval, MethodSummary, Rate
from medgan.reporting.explanation_report import (
    CaseView,
    ExplanationPage,
    PictureSection,
    TextSection,
    render_explanations,
)
from medgan.reporting.explanation_tables import interval, method_table, number
from medgan.reporting.sections import TableSection

KINDS = ("robust", "fragile", "classifier-specific", "not flipped", "dropped")
GRAD_CAMS = {"real": np.full((SIDE, SIDE), 0.5), "fake": np.full((SIDE, SIDE), -0.5)}


def page(**changes: Any) -> ExplanationPage:
    facts: dict[str, Any] = {
        "title": "Why <so>?",
        "subtitle": "5 cases",
        "stamps": ("DEMONSTRATION MODEL",),
        "cohort": [
            TextSection("Found", ["a & b"]),
            TableSection("Numbers", ("Name", "Value"), [("b", "10"), ("a", "−2"), ("c", "9"), ("d", "–")]),
            PictureSection("Atlas", [("normal to ill", np.full((4, 4), 0.1))], 0.2, "gray value"),
        ],
        "cases": [CaseView(explanation(f"case_{n}", kind), GRAD_CAMS) for n, kind in enumerate(KINDS)],
        "closing": [TextSection("References", ["arXiv 2109.13412"])],
        "lead": "d_ig",
        "shown": 2,
    }
    return ExplanationPage(**{**facts, **changes})


@pytest.fixture(scope="module")
def html() -> str:
    return render_explanations(page())


def test_the_page_is_self_contained(html: str) -> None:
    assert html.startswith("<!DOCTYPE html>")
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", html)
    assert "default-src &#39;none&#39;" in html


def test_text_of_cases_is_escaped(html: str) -> None:
    assert "&lt;said&gt; so." in html
    assert "<said>" not in html
    assert "Why &lt;so&gt;?" in html


def test_every_page_says_synthetic_and_carries_the_models_stamp(html: str) -> None:
    assert re.search(r'class="stamp"[^>]*>SYNTHETIC IMAGES – NOT FOR DIAGNOSIS · DEMONSTRATION MODEL<', html)
    assert "position: fixed" in html


def test_a_case_shows_its_panels_in_order_and_says_why_one_is_missing(html: str) -> None:
    first = html[html.index('id="case-0"') : html.index('id="case-1"')]
    names = re.findall(r"<figcaption>([^<]*)</figcaption>", first)
    assert names == [
        "real",
        "fake",
        "fake − real",
        "Grad-CAM of real (normal)",
        "Grad-CAM of fake (ill)",
        "map: discriminative integrated gradients",
        "best mask",
        "hybrid",
        "nearest neighbor: robust",
    ]
    assert "the target layer has no extent." in first
    assert "With random weights the map is alike by rank correlation 0.40, SSIM 0.20." in first
    dropped = html[html.index('id="case-4"') :]
    assert "best mask: none, because" in dropped


def test_only_synthetic_panels_are_marked(html: str) -> None:
    first = html[html.index('id="case-0"') : html.index('id="case-1"')]
    marked = {f.split("<figcaption>")[1] for f in first.split("</figcaption>")[:-1] if 'class="mark"' in f}
    assert "real" not in marked
    assert {"fake", "fake − real", "hybrid"} <= marked
    assert not any(name.startswith("nearest") for name in marked)


def test_without_grad_cam_its_panels_say_so() -> None:
    html = render_explanations(page(cases=[CaseView(explanation())]))
    assert html.count("not available</span>") == 2


def test_of_many_cases_the_first_by_name_are_shown_and_all_are_listed() -> None:
    cases = [CaseView(explanation(f"case_{n}")) for n in (3, 1, 2)]
    html = render_explanations(page(cases=cases, shown=2))
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", html) == ["case_1", "case_2"]
    assert html.count("<tr data-kind=") == 3
    assert "2 of 3 cases are shown" in html


def test_a_page_of_nothing_is_refused() -> None:
    with pytest.raises(ReportError, match="section or a case"):
        render_explanations(page(cohort=[], cases=[]))


def test_numbers_and_intervals_for_people() -> None:
    assert interval(Interval(-0.5, -0.75, -0.25, 20, 10), 2) == "−0.50 [−0.75, −0.25]"
    assert "no interval" in interval(Interval(0.5, None, None, 3, 3))
    assert interval(None) == "–"
    assert number(-0.0001) == "0.000"


def test_a_method_that_beats_the_residual_is_told_from_one_that_loses() -> None:
    def row(low: float, high: float) -> str:
        over = Interval((low + high) / 2, low, high, 20, 20)
        one = MethodSummary("m", "all", over, over, over, None, None, None, Rate(1, 1), over, (0.0, 1.0))
        return str(method_table([one], {"m": "Method"}).rows[0][4])

    assert row(0.1, 0.2) == "yes, better"
    assert row(-0.2, -0.1) == "yes, worse"
    assert row(-0.1, 0.1) == "no"


def test_in_a_browser_panels_are_seen_tables_sort_and_filters_work(html: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    with opened_page(file) as opened:
        tab = opened.page
        widths = tab.eval_on_selector_all(".panel img", "imgs => imgs.map(i => i.naturalWidth)")
        assert len(widths) > 30
        assert min(widths) > 0
        assert tab.locator("article.case:visible").count() == 5
        tab.locator('button[data-value="fragile"]').click()
        assert tab.locator("article.case:visible").count() == 1
        assert tab.locator("#overview tbody tr:visible").count() == 1
        assert tab.locator("#filter-status").inner_text() == "1 case"
        assert tab.locator('button[data-value="fragile"]').get_attribute("aria-pressed") == "true"
        # By keyboard: back to all, then on to the first and the second case.
        tab.locator('button[data-filter="kind"][data-value=""]').focus()
        tab.keyboard.press("Enter")
        assert tab.locator("article.case:visible").count() == 5
        tab.keyboard.press("j")
        tab.keyboard.press("j")
        assert tab.evaluate("document.activeElement.id") == "case-1"
        header = tab.locator("section.table th", has_text="Value")
        header.get_by_role("button").click()
        first = "section.table tbody tr td:first-child"
        assert tab.locator(first).all_inner_texts()[:4] == ["a", "c", "b", "d"]
        assert header.get_attribute("aria-sort") == "ascending"
        header.get_by_role("button").click()
        assert tab.locator(first).all_inner_texts()[:4] == ["b", "c", "a", "d"]
        assert [line for line in opened.console if line.startswith("error")] == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
        tab.emulate_media(media="print")
        assert not tab.locator(".choices").first.is_visible()
        assert tab.locator(".stamp").is_visible()
