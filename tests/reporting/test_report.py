import base64
import re
from html.parser import HTMLParser

import pytest

from medgan.errors import ReportError
from medgan.reporting.charts import error_strip
from medgan.reporting.report import render_report
from medgan.reporting.sections import FigureSection, KeyFacts, TableSection, TextSection, WarningSection

HOSTILE = '<script>alert("x")</script> & <img src=https://example.org/a.png>'


class Outline(HTMLParser):
    """Collects tags, their attributes and all text; checks that tags are closed in order."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def png():
    return error_strip({"a": [1.0, 2.0]}, label="HU")


@pytest.fixture
def page(png):
    return render_report(
        f"Limbs {HOSTILE}",
        [
            WarningSection(HOSTILE, [HOSTILE]),
            KeyFacts("Facts", {"Cases": "10", HOSTILE: HOSTILE}),
            TableSection("Table", ["Method", HOSTILE], [["model", HOSTILE]], caption=HOSTILE),
            FigureSection("Figure", png, alternative=f'"{HOSTILE}"', caption=HOSTILE),
            TextSection("Text", [HOSTILE, "second"]),
        ],
        subtitle=HOSTILE,
    )


def test_everything_is_shown_and_escaped(page):
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    assert "script" not in names
    assert names.count("img") == 1
    assert "".join(outline.text).count('<script>alert("x")</script> &') == 12
    assert names.count("section") == 5
    assert {"dl", "table", "figure", "h1"} <= set(names)


def test_no_request_leaves_the_page(page):
    outline = Outline(page)
    for tag, attributes in outline.tags:
        assert tag not in ("link", "script", "iframe", "object", "base", "form", "a")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    policy = next(a["content"] for t, a in outline.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_figures_are_embedded_whole(page, png):
    (image,) = (a for t, a in Outline(page).tags if t == "img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == png
    assert image["alt"] == f'"{HOSTILE}"'


def test_the_page_follows_the_dark_setting(page):
    assert "prefers-color-scheme: dark" in page
    assert 'name="color-scheme" content="light dark"' in page


def test_text_columns_are_set_left():
    page = render_report("x", [TableSection("t", ["a", "b", "c"], [["1", "2", "3"]], text_columns=frozenset({2}))])
    classes = [a.get("class") for t, a in Outline(page).tags if t == "td"]
    assert classes == ["text", None, "text"]


def test_refusals(png):
    with pytest.raises(ReportError, match="at least one section"):
        render_report("x", [])
    with pytest.raises(ReportError, match="Table 't' has 2 columns: found 1 cells in row 2"):
        TableSection("t", ["a", "b"], [["1", "2"], ["1"]])
    with pytest.raises(ReportError, match="Figure 'f' must be a PNG"):
        FigureSection("f", b"<svg/>", "x")
    with pytest.raises(ReportError, match="Figure 'f' needs a text that says what it shows"):
        FigureSection("f", png, " ")
