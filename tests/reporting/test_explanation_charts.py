from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from medgan.errors import ReportError
from medgan.explanation.explanation import Calibration, Rate, ReliabilityBin
from medgan.reporting.explanation_charts import Line, line_chart, rate_chart, reliability_chart


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter("text")]


def test_a_line_chart_is_xml_names_its_lines_and_tells_them_apart_without_color() -> None:
    lines = [
        Line("D-IG <b>", (0, 1), (0, 1), band=((0, 0.9), (0.1, 1))),
        Line("residual", (0, 1), (1, 0), strong=False),
    ]
    svg = line_chart(lines, x_label="area", y_label="change", alternative='a "chart"')
    root = ElementTree.fromstring(svg)
    drawn = list(root.iter("polyline"))
    assert {"D-IG <b>", "residual", "area", "change"} <= set(texts(svg))
    assert root.get("aria-label") == 'a "chart"'
    assert len(drawn) == 2
    assert drawn[0].get("stroke-dasharray") != drawn[1].get("stroke-dasharray")
    assert drawn[0].get("stroke") != drawn[1].get("stroke")
    assert len(list(root.iter("polygon"))) == 1


def test_a_line_rises_upward_on_the_page() -> None:
    svg = line_chart([Line("l", (0, 1), (0, 1))], x_label="x", y_label="y", alternative="a")
    points = next(ElementTree.fromstring(svg).iter("polyline")).get("points") or ""
    (x0, y0), (x1, y1) = (tuple(map(float, p.split(","))) for p in points.split())
    assert x1 > x0
    assert y1 < y0


def test_ticks_of_a_curve_that_falls_below_zero_are_quarters() -> None:
    svg = line_chart([Line("l", (0, 1), (-0.2, 1))], x_label="x", y_label="y", alternative="a", y_range=(-0.25, 1))
    assert {"−0.25", "0", "0.25", "1"} <= set(texts(svg))


def test_shares_show_their_interval_and_absent_ones_say_so() -> None:
    svg = rate_chart([("flips", Rate(9, 10)), ("none", Rate(0, 0))], x_label="share", alternative="a")
    assert "no cases" in texts(svg)
    assert len(list(ElementTree.fromstring(svg).iter("circle"))) == 1


def test_reliability_draws_filled_bins_of_every_kind_of_image_with_another_symbol() -> None:
    bins = (ReliabilityBin(0.0, 0.5, None, Rate(0, 0)), ReliabilityBin(0.5, 1.0, 0.8, Rate(8, 10)))
    found = [Calibration(name, bins, 0.0, 0.0, 0.1) for name in ("real", "fake")]
    root = ElementTree.fromstring(reliability_chart(found, alternative="a"))
    assert len(list(root.iter("circle"))) == 1
    assert len(list(root.iter("rect"))) == 1


def test_empty_charts_are_refused() -> None:
    empty = Calibration("real", (ReliabilityBin(0.0, 1.0, None, Rate(0, 0)),), 0.0, 0.0, 0.0)
    with pytest.raises(ReportError, match="at least one line"):
        line_chart([], x_label="x", y_label="y", alternative="a")
    with pytest.raises(ReportError, match="at least one row"):
        rate_chart([], x_label="x", alternative="a")
    with pytest.raises(ReportError, match="a bin with cases"):
        reliability_chart([empty], alternative="a")
    with pytest.raises(ReportError, match="must rise"):
        line_chart([Line("l", (0,), (0,))], x_label="x", y_label="y", alternative="a", x_range=(1, 1))
    with pytest.raises(ReportError, match="what it shows"):
        line_chart([Line("l", (0,), (0,))], x_label="x", y_label="y", alternative=" ")
