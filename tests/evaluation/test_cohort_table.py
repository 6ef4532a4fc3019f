import math

import numpy as np
import pytest

from medgan.errors import EvaluationError, OutputError
from medgan.evaluation.cohort_summary import paired_difference, summarize
from medgan.evaluation.cohort_table import CaseRow, CohortTable, read_csv, write_csv


def table(values, subjects=None, measure="mae"):
    subjects = subjects or [f"s{i}" for i in range(len(values))]
    rows = [CaseRow(f"c{i}", s, {measure: v}) for i, (s, v) in enumerate(zip(subjects, values))]
    return CohortTable(tuple(rows), {"mae": "HU"})


def test_literal_summary(rng):
    (found,) = summarize(table([10.0, 20.0, 60.0, None]), generator=rng)
    assert (found.measure, found.unit, found.cases, found.subjects, found.undefined) == ("mae", "HU", 3, 3, 1)
    assert (found.mean, found.median) == (30, 20)
    assert found.sd == pytest.approx(math.sqrt((400 + 100 + 900) / 2))
    assert found.low is found.high is None


def test_an_interval_from_six_subjects_on(rng):
    values = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    (five,) = summarize(table(values, subjects=[*"abcde", "e"]), generator=rng)
    assert five.low is None
    (six,) = summarize(table(values), generator=rng)
    assert 10 < six.low < 35 < six.high < 60


def test_the_interval_is_that_of_a_plain_bootstrap(rng):
    values = rng.normal(50, 10, 40)
    (found,) = summarize(table(values.tolist()), generator=np.random.default_rng(1), resamples=20000)
    # Of a mean, nearly normal: standard error with n in the denominator, times 1.96.
    half = 1.96 * values.std() / math.sqrt(40)
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_resampling_is_by_subject(rng):
    """Ten copies of each scan are no new knowledge: the interval must not narrow."""
    values = rng.normal(50, 10, 8).tolist()
    one, ten = (
        summarize(table(values * k, subjects=[f"s{i}" for i in range(8)] * k), generator=np.random.default_rng(2))[0]
        for k in (1, 10)
    )
    assert (ten.cases, ten.subjects) == (80, 8)
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))


def test_the_generator_decides(rng):
    data = table(rng.normal(0, 1, 12).tolist())
    first, again, other = (summarize(data, generator=np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_nothing_defined(rng):
    (found,) = summarize(table([None, None]), generator=rng)
    assert (found.cases, found.undefined, found.mean, found.sd) == (0, 2, None, None)
    (single,) = summarize(table([3.0]), generator=rng)
    assert (single.mean, single.sd) == (3, None)


def test_a_paired_difference_is_narrower_than_the_cohort(rng):
    hard = rng.uniform(30, 150, 12)
    this, that = table((hard - 5).tolist()), table((hard + rng.normal(0, 1, 12)).tolist())
    found = paired_difference(this=this, that=that, measure="mae", generator=rng)
    assert found.summary.mean == pytest.approx(-5, abs=1)
    assert found.summary.high < -3
    assert found.excludes_zero is True
    assert found.summary.unit == "HU"
    same = paired_difference(this=this, that=this, measure="mae", generator=rng)
    assert (same.summary.low, same.summary.high, same.excludes_zero) == (0, 0, False)


def test_a_paired_difference_counts_what_it_leaves_out(rng):
    this = table([1.0, 2.0, None, 4.0, None])
    that = table([1.0, None, 3.0, 5.0])
    found = paired_difference(this=this, that=that, measure="mae", generator=rng)
    assert (found.summary.cases, found.summary.mean, found.excludes_zero) == (2, -0.5, None)
    assert found.only_one == 3


def test_paired_refusals(rng):
    this = table([1.0, 2.0])
    renamed = CohortTable((CaseRow("x", "s0", {"mae": 1.0}),), {"mae": "HU"})
    unitless = CohortTable(this.rows)
    swapped = table([1.0, 2.0], subjects=["s1", "s0"])
    for that, measure, message in (
        (this, "psnr", "needs 'psnr' in both tables: this has mae"),
        (renamed, "mae", "found none in common"),
        (unitless, "mae", "'mae' is in 'HU' in this table and in '' in that"),
        (swapped, "mae", "Case c0 is of subject s0 in this table and s1 in that"),
    ):
        with pytest.raises(EvaluationError, match=message):
            paired_difference(this=this, that=that, measure=measure, generator=rng)


def test_table_refusals():
    with pytest.raises(EvaluationError, match="at least one case: found none"):
        CohortTable(())
    row = CaseRow("c1", "s1", {"mae": 1.0})
    with pytest.raises(EvaluationError, match="found c1 more than once"):
        CohortTable((row, row))
    with pytest.raises(EvaluationError, match="the same measures: c2 has psnr, c1 has mae"):
        CohortTable((row, CaseRow("c2", "s1", {"psnr": 1.0})))
    with pytest.raises(EvaluationError, match="found another value for mae in case c3"):
        CaseRow("c3", "s1", {"mae": math.inf})


def test_csv_there_and_back(tmp_path):
    rows = tuple(
        CaseRow(f"00{i}", f"s, {i}", {"mae": 0.1 + i, "dice_bone": None if i == 1 else 1 / 3}) for i in range(3)
    )
    data = CohortTable(rows, {"mae": "HU"})
    path = tmp_path / "cohort.csv"
    write_csv(data, path)
    assert path.read_text().splitlines()[0] == "case_id,subject_id,mae [HU],dice_bone"
    assert read_csv(path) == data
    with pytest.raises(OutputError, match=r"not overwritten: cohort\.csv exists"):
        write_csv(data, path)
    write_csv(table([1.0]), path, overwrite=True)
    assert read_csv(path) == table([1.0])


def test_csv_refusals(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("case_id,mae\nc1,3\n")
    with pytest.raises(EvaluationError, match=r"needs a column 'subject_id': bad\.csv has case_id, mae"):
        read_csv(path)
    path.write_text("case_id,subject_id,mae\nc1,s1,good\n")
    with pytest.raises(EvaluationError, match=r"case c1 in bad\.csv has something else"):
        read_csv(path)
