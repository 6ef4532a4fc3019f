import io
import math

import matplotlib.image
import pytest

from medgan.errors import ReportError
from medgan.reporting.charts import error_strip, score_scatter, training_curves

ROWS = [{"step": i, "loss": 1 / (1 + i), "note": "text", **({"mae": 70.0} if i == 8 else {})} for i in range(40)]


def size(png):
    return matplotlib.image.imread(io.BytesIO(png)).shape[:2]


def test_training_curves_repeat_and_grow():
    one = training_curves(ROWS, groups={"Loss": ["loss"]})
    assert one == training_curves(ROWS, groups={"Loss": ["loss"]})
    four = training_curves(ROWS, groups={name: ["loss"] for name in "abcd"}, title="Four")
    assert size(four)[0] > 1.5 * size(one)[0]
    assert size(four)[1] > 2 * size(one)[1]
    assert len(four) < 400_000


def test_values_that_are_not_finite_are_left_out():
    broken = [{**row, "loss": math.nan} if row["step"] == 5 else row for row in ROWS]
    without = [row for row in ROWS if row["step"] != 5]
    groups = {"Loss": ["loss"], "MAE": ["mae"]}
    assert training_curves(broken, groups=groups) == training_curves(without, groups=groups)
    assert training_curves(ROWS, groups=groups) != training_curves(without, groups=groups)


def test_curve_refusals():
    with pytest.raises(ReportError, match="at least one group"):
        training_curves(ROWS, groups={})
    with pytest.raises(ReportError, match="No row of the metrics has a finite 'psnr' with a 'step'"):
        training_curves(ROWS, groups={"x": ["psnr"]})
    with pytest.raises(ReportError, match="finite 'note'"):
        training_curves(ROWS, groups={"x": ["note"]})


def test_error_strip_repeats_and_shows_the_interval():
    values = {"model": [70.0, 80.0, None, 65.0], "table": [73.0, 75.0, 71.0, 90.0]}
    plain = error_strip(values, label="MAE (HU)")
    assert plain == error_strip(values, label="MAE (HU)")
    assert plain != error_strip(values, label="MAE (HU)", intervals={"model": (66, 77)})
    three = error_strip({**values, "constant": [90.0]}, label="MAE (HU)")
    assert size(three)[0] > size(plain)[0]


def test_strip_refusals():
    with pytest.raises(ReportError, match="at least one method"):
        error_strip({}, label="HU")
    with pytest.raises(ReportError, match="'model' has no value"):
        error_strip({"model": [None, math.nan]}, label="HU")


def test_a_score_scatter_repeats_and_rings_the_chosen_one():
    groups = {"fold 0": [(1.0, 80.0), (2.0, 90.0)], "fold 1": [(1.5, 85.0)]}
    plain = score_scatter(groups, x_label="score", y_label="MAE, HU")
    assert plain == score_scatter(groups, x_label="score", y_label="MAE, HU")
    assert plain != score_scatter(groups, x_label="score", y_label="MAE, HU", marked={"fold 0": 1})
    with pytest.raises(ReportError, match="at least one pair"):
        score_scatter({"fold 0": []}, x_label="score", y_label="MAE, HU")
