"""Rows of the benchmark: medians, ratios with spread, and none where results differ."""

from __future__ import annotations

import json

import pytest

from medgan.commands.bench_case import (
    KEYS,
    NOT_APPLICABLE,
    NOT_MEASURED,
    Deviation,
    Figure,
    compared,
    left_out,
    line_of,
    stated,
)

GOOD, BAD = Deviation(0.5, "HU", 2.0, "mean"), Deviation(21.0, "HU", 20.0, "99.9 % within")


def row(**changes):
    given = {"medgan_s": [1.0, 2.0, 4.0], "peer_s": [3.0, 5.0, 4.0], "deviations": [GOOD], **changes}
    return compared("case", peer="peer", **given)


def test_medians_and_the_ratio_pair_by_pair_with_its_spread():
    found = row()
    assert (found["medgan_s"], found["peer_s"]) == (2.0, 4.0)
    # 3, 2.5, 1: not the ratio of the medians.
    assert (found["ratio"], found["ratio_min"], found["ratio_max"]) == (2.5, 1.0, 3.0)
    assert list(found)[: len(KEYS)] == list(KEYS)
    assert "2.50x (1.00 to 3.00)" in line_of(found)


@pytest.mark.parametrize("deviations", [[BAD], [GOOD, BAD], [Deviation(float("nan"), "HU", 2.0)]])
def test_no_ratio_where_any_deviation_breaks_its_bound(deviations):
    found = row(deviations=deviations, ratio_wanted=1.0)
    assert (found["ratio"], found["ratio_min"], found["ratio_max"], found["reached"]) == (None, None, None, False)
    assert (found["medgan_s"], found["deviation"]) == (2.0, pytest.approx(deviations[0].value, nan_ok=True))
    assert "no ratio: the results differ" in line_of(found)
    assert "2.50x" not in line_of(found)


@pytest.mark.parametrize(("wanted", "reached"), [(2.5, True), (2.6, False), (None, None)])
def test_a_bound_is_reached_or_not(wanted, reached):
    assert row(ratio_wanted=wanted)["reached"] is reached


def test_rounds_of_both_sides_must_be_pairs():
    with pytest.raises(ValueError, match="zip"):
        row(peer_s=[1.0])


@pytest.mark.parametrize(
    ("value", "at_least", "bound", "reached"),
    [(45.0, True, 45.0, True), (44.9, True, 45.0, False), (1.5, False, 1.5, True), (1.6, False, 1.5, False),
     (1.0, True, None, None)],
)  # fmt: skip
def test_figures_have_a_lower_or_an_upper_bound_or_none(value, at_least, bound, reached):
    figure = Figure(value, value, value + 1, "%", "share", bound, at_least=at_least)
    found = stated("case", peer="peer", figure=figure, medgan_s=[1.0, 3.0, 2.0], peer_s=[1.0])
    assert found["reached"] is reached
    assert found["ratio"] is None
    assert found["medgan_s"] == 2.0
    assert "share" in line_of(found)


def test_a_figure_within_its_bound_is_not_reached_where_the_deviation_is_not():
    figure = Figure(1.0, 1.0, 1.0, "times", "takes", 1.5, at_least=False)
    found = stated("case", peer="peer", figure=figure, medgan_s=[1.0], deviation=Deviation(1.0, "modules", 0.0))
    assert found["reached"] is False


@pytest.mark.parametrize("status", [NOT_APPLICABLE, NOT_MEASURED])
def test_rows_that_were_not_measured_say_why_and_have_no_numbers(status):
    found = left_out("case", peer="peer", why="this CPU has no bf16 instructions", status=status)
    assert line_of(found) == f"case: {status}: this CPU has no bf16 instructions"
    assert {found[key] for key in KEYS[2:]} == {None}
    assert list(found)[: len(KEYS)] == list(KEYS)
    assert set(found) == set(row())


def test_every_row_is_json():
    json.dumps([row(), left_out("case", peer="peer", why="why")], allow_nan=False)
