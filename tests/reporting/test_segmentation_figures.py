"""Contour sheets and charts of a segmentation study."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from medgan.errors import GeometryError, ReportError
from medgan.evaluation.calibration import reliability
from medgan.geometry import Grid, axis_map_to
from medgan.reporting.panel import Panel
from medgan.reporting.segmentation_charts import froc_chart, reliability_chart, shape_chart, small_data_curve
from medgan.reporting.segmentation_figure import contour_sheet, shown_slices
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((40, 40, 5), spacing=(1, 1, 3))


def panel(grid: Grid = GRID) -> Panel:
    return Panel(Volume(np.zeros(grid.shape, np.float32), grid, Quantity.NORMALIZED), "T2W", (-1.0, 1.0))


def labels(*boxes: tuple[slice, slice, int, int]) -> LabelMap:
    array = np.zeros(GRID.shape, np.uint8)
    for i, j, k, number in boxes:
        array[i, j, k] = number
    return LabelMap(array, GRID, {1: "zone", 2: "lesion"})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_the_patients_right_is_at_the_left():
    # The first axis runs to the right, so a high index lies at the left of the page.
    right = labels((slice(28, 36), slice(15, 25), 2, 1))
    page = pixels(contour_sheet([panel()], labels=right, slices=[2]))
    colored = np.argwhere(np.abs(page - np.array([86, 180, 233])).sum(-1) < 60)
    inside = colored[(colored[:, 0] > 60) & (colored[:, 0] < page.shape[0] - 60)]
    assert inside[:, 1].mean() < 0.4 * page.shape[1]
    turned = right.reordered(axis_map_to(GRID, "LPS"))
    other = Panel(panel().volume.reordered(axis_map_to(GRID, "LPS")), "T2W", (-1.0, 1.0))
    assert contour_sheet([other], labels=turned, slices=[2]) == contour_sheet([panel()], labels=right, slices=[2])


def test_expert_and_stamp_are_drawn():
    one = labels((slice(5, 9), slice(5, 9), 2, 2))
    plain = contour_sheet([panel()], labels=one, slices=[2])
    assert contour_sheet([panel()], labels=one, slices=[2], expert=one) != plain
    assert contour_sheet([panel()], labels=one, slices=[2], stamp="PHANTOM") != plain
    assert contour_sheet([panel()], labels=one, slices=[2], field_mm=20) != plain


def test_slices_with_the_most_of_the_focus_are_shown_and_else_the_likeliest():
    one = labels((slice(0, 3), slice(0, 3), 1, 2), (slice(0, 6), slice(0, 6), 4, 2))
    likely = np.zeros(GRID.shape)
    likely[..., 3] = 0.3
    assert shown_slices(one, 2, likely, most=2) == [1, 4]
    assert shown_slices(labels(), 2, likely, most=1) == [3]


def test_refusals():
    with pytest.raises(ReportError, match="at least one image and one slice"):
        contour_sheet([], labels=labels(), slices=[0])
    with pytest.raises(ReportError, match="Slices must be 0 to 4"):
        contour_sheet([panel()], labels=labels(), slices=[5])
    with pytest.raises(GeometryError, match="one grid"):
        contour_sheet([panel(Grid.axis_aligned((40, 40, 5), spacing=(2, 1, 3)))], labels=labels(), slices=[0])
    for chart, given in ((small_data_curve, {"ce": []}), (shape_chart, {"a": []})):
        with pytest.raises(ReportError, match="at least one"):
            chart(given, **({"label": "Dice"} if chart is small_data_curve else {}))
    with pytest.raises(ReportError, match="at least one curve"):
        froc_chart({})
    with pytest.raises(ReportError, match="at least one curve"):
        reliability_chart({}, focus="lesion")


def test_charts_are_pictures_and_depend_on_their_numbers():
    rng = np.random.default_rng(1)
    probability = rng.random(500)
    curve = reliability(probability, rng.random(500) < probability)
    pages = [
        reliability_chart({"before": curve, "after": curve}, focus="lesion"),
        small_data_curve({"ce": [(8, [0.3, 0.4]), (16, [0.5])], "gan": [(8, [0.2])]}, label="Dice"),
        small_data_curve({"ce": [(8, [0.3, 0.4]), (16, [0.6])], "gan": [(8, [0.2])]}, label="Dice"),
        froc_chart({"ce": (np.array([0.0, 1.0]), np.array([0.0, 0.5]))}),
        shape_chart({"phantoms": [(1.0, 0.7)], "experts": [(2.0, 0.6)]}),
    ]
    assert all(page.startswith(b"\x89PNG") for page in pages)
    assert len(set(pages)) == len(pages)
