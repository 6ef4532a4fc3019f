import numpy as np

from medgan.evaluation import PRESETS, CaseRow, CohortTable, compare, paired_difference, summarize
from medgan.geometry import Grid
from medgan.reporting.tables import comparison_table, difference_table, summary_table
from medgan.volume import Quantity, Volume


def cohort(shift=0.0, cases=7):
    rows = [
        CaseRow(f"c{i}", f"s{i}", {"mae": 60.0 + 3 * i + shift, "dice_bone": None if i == 0 else 0.1234})
        for i in range(cases)
    ]
    return CohortTable(tuple(rows), {"mae": "HU"})


def test_a_cohort_with_interval_and_n(rng):
    table = summary_table(summarize(cohort(), generator=rng), preset="corrected", names={"mae": "Mean absolute error"})
    mae, dice = table.rows
    assert mae[0] == "Mean absolute error"
    assert (mae[1], mae[3], mae[4], mae[5]) == ("69.0 ± 6.5", "69.0", "HU", "7")
    low, high = map(float, mae[2].split(" to "))
    assert 60 <= low < 69 < high <= 78
    assert dice == ("dice_bone", "0.123 ± 0.000", "0.123 to 0.123", "0.123", "–", "6, 1 undefined")
    assert table.caption.startswith("Preset corrected.")


def test_too_few_subjects_have_no_interval(rng):
    mae, dice = summary_table(summarize(cohort(cases=1), generator=rng), preset="corrected").rows
    assert mae[1:3] == ("60.0", "–")
    assert dice == ("dice_bone", "–", "–", "–", "–", "0, 1 undefined")


def test_subjects_with_several_cases_are_counted(rng):
    rows = [CaseRow(f"c{i}", "s0", {"mae": float(i)}) for i in range(3)]
    ((row),) = summary_table(summarize(CohortTable(tuple(rows)), generator=rng), preset="corrected").rows
    assert row[5] == "3 (1 subjects)"


def test_paired_differences(rng):
    found = paired_difference(this=cohort(shift=-5), that=cohort(), measure="mae", generator=rng)
    few = paired_difference(this=cohort(shift=-0.01, cases=2), that=cohort(), measure="mae", generator=rng)
    table = difference_table({"model − table": found, "few": few}, preset="corrected")
    assert table.rows[0] == ("model − table", "mae", "−5.0", "−5.0 to −5.0", "HU", "yes", "7")
    assert table.rows[1] == ("few", "mae", "0.0", "–", "HU", "–", "2, 5 in one only")


def test_one_case(rng):
    array = rng.normal(0, 100, (8, 9, 10)).astype(np.float32)
    grid = Grid.axis_aligned(array.shape, spacing=(1, 1, 1))
    pair = (Volume(a, grid, Quantity.HOUNSFIELD) for a in (array - 25, array))
    comparison = compare(result=next(pair), reference=next(pair), mask=None, preset=PRESETS["synthrad2025"])
    table = comparison_table(comparison)
    assert len(table.rows) == len(comparison.measures)
    assert table.rows[1][:2] == ("Mean error", "−25 HU")
    assert table.caption == "Preset SynthRAD2025 challenge; 720 voxels count."
