from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from commands_support import ball_volume

from medgan.formats import write_labels, write_volume
from medgan.geometry import Grid
from medgan.volume import LabelMap, Quantity, Volume

GRID = Grid.axis_aligned((20, 20, 20), spacing=(3, 3, 3))
BALL = ball_volume(GRID, radius_mm=22, signal=1020.0).array


def ct(offset_hu: float = 0.0) -> Volume:
    return Volume(np.where(BALL > 100, BALL - 1000 + offset_hu, -1000).astype(np.float32), GRID, Quantity.HOUNSFIELD)


def table_of(folder: Path, name: str, offsets: list[float], **columns: list[str]) -> Path:
    """Write results that are off by known numbers, their one reference, and the table that lists them."""
    if not (folder / "ct.nii.gz").exists():
        write_volume(ct(), folder / "ct.nii.gz")
    header = ["case_id", "subject_id", "result", "reference", *columns]
    rows = []
    for n, offset in enumerate(offsets):
        write_volume(ct(offset), folder / f"{name}_{n}.nii.gz")
        rows.append([f"c{n}", f"s{n}", f"{name}_{n}.nii.gz", "ct.nii.gz", *(values[n] for values in columns.values())])
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def seven(tmp_path_factory) -> Path:
    return table_of(tmp_path_factory.mktemp("seven"), "model", [10, 12, 14, 16, 18, 20, 22])


@pytest.fixture
def evaluate(medgan):
    """Run the verb by the preset without a multi-scale measure, which takes most of the time."""
    return lambda *arguments: medgan("evaluate", *arguments, "--preset", "synthrad2023")


def summary(facts, name):
    return next(row for row in facts["summary"] if row["measure"] == name)


def test_every_subject_is_printed_and_the_mean_has_an_interval(evaluate, seven):
    outcome = evaluate("--table", seven)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "preset synthrad2023: 7 cases measured, 0 refused"
    assert lines[1].startswith("mask: body of the reference")
    cells = {line.split()[0]: line.split() for line in lines if line}
    for n in range(7):
        assert cells[f"c{n}"][1:4] == [f"s{n}", str(10 + 2 * n), str(10 + 2 * n)]
    mean = next(line for line in lines if line.startswith("mae [HU]"))
    assert mean.split()[2] == "16"
    assert " to " in mean
    assert "measuring" in outcome.err


def test_json_holds_cases_summary_and_the_same_interval_every_time(evaluate, seven):
    facts = evaluate("--table", seven, "--json", "-q").json
    mae = summary(facts, "mae")
    assert (mae["mean"], mae["subjects"]) == (pytest.approx(16, abs=1e-3), 7)
    assert 10 < mae["low"] < 16 < mae["high"] < 22
    assert [case["measures"]["mae"]["value"] for case in facts["cases"]] == pytest.approx(range(10, 24, 2), abs=1e-3)
    assert summary(facts, "hd95_bone")["undefined"] == 7
    again = evaluate("--table", seven, "--json", "-q", "--jobs", "2").json
    assert again["summary"] == facts["summary"]


def test_below_six_subjects_there_are_values_only(evaluate, tmp_path):
    outcome = evaluate("--table", table_of(tmp_path, "few", [5, 7, 9, 11, 13]), "--out", "few.json")
    assert outcome.code == 0
    assert "fewer than 6 subjects" in outcome.out
    facts = json.loads(Path("few.json").read_text())
    assert summary(facts, "mae")["low"] is None
    assert summary(facts, "mae")["mean"] == pytest.approx(9, abs=1e-3)


def test_the_default_preset_has_the_multi_scale_measure(medgan, tmp_path):
    outcome = medgan("evaluate", "--table", table_of(tmp_path, "one", [3]))
    assert outcome.out.startswith("preset corrected: 1 cases measured")
    assert next(line for line in outcome.out.splitlines() if line.startswith("ms_ssim")).split()[1] != "–"


def test_cases_of_one_subject_are_one_subject(evaluate, tmp_path):
    path = table_of(tmp_path, "twins", [5, 7, 9, 11, 13, 15])
    path.write_text(path.read_text().replace("c5,s5", "c5,s4"))
    mae = summary(evaluate("--table", path, "--json", "-q").json, "mae")
    assert (mae["cases"], mae["subjects"], mae["low"]) == (6, 5, None)


def test_refused_cases_are_rows_and_exit_3(evaluate, tmp_path):
    path = table_of(tmp_path, "some", [5, 7, 9])
    (tmp_path / "some_1.nii.gz").unlink()
    outcome = evaluate("--table", path)
    assert outcome.code == 3
    assert "2 cases measured, 1 refused" in outcome.out
    assert "refused: c1: some_1.nii.gz" in outcome.out
    assert str(tmp_path) not in outcome.out + outcome.err
    for n in (0, 2):
        (tmp_path / f"some_{n}.nii.gz").unlink()
    outcome = evaluate("--table", path, "--json")
    assert (outcome.code, outcome.json["measured"], outcome.json["refused"]) == (2, 0, 3)


def test_a_mask_of_a_row_is_used(evaluate, tmp_path):
    path = table_of(tmp_path, "masked", [5, 7], mask=["half.nii.gz", ""])
    mask = np.zeros(GRID.shape, np.uint8)
    mask[:10] = 1
    write_labels(LabelMap(mask, GRID), tmp_path / "half.nii.gz")
    outcome = evaluate("--table", path, "--out", "masked.json")
    assert "masks: 2, one a case" in outcome.out
    first, second = json.loads(Path("masked.json").read_text())["cases"]
    assert first["mask"] == "half.nii.gz"
    assert first["voxels"] == 10 * 20 * 20
    assert second["mask"].startswith("body of the reference")


class TestAgainst:
    def test_another_table(self, evaluate, seven):
        table_of(seven.parent, "baseline", [30, 31, 35, 36, 40, 41, 42])
        outcome = evaluate("--table", seven, "--against", seven.parent / "baseline.csv")
        assert outcome.code == 0, outcome.err
        line = [line for line in outcome.out.splitlines() if line.startswith("mae [HU]")][-1]
        assert float(line.split()[2]) == pytest.approx((112 - 255) / 7, rel=1e-3)
        assert "this minus baseline.csv, case by case:" in outcome.out

    def test_the_measures_that_out_wrote_give_the_same_differences(self, evaluate, seven):
        table_of(seven.parent, "slow", [30, 31, 35, 36, 40, 41, 42])
        written = seven.parent / "slow_measures.csv"
        assert evaluate("--table", seven.parent / "slow.csv", "--out", written, "-q").code == 0
        both = [
            evaluate("--table", seven, "--against", other, "--json", "-q").json["against"]["differences"]
            for other in (seven.parent / "slow.csv", written)
        ]
        mae = [next(d for d in each if d["measure"] == "mae") for each in both]
        assert mae[0]["mean"] == pytest.approx(mae[1]["mean"])
        assert mae[0]["high"] < 0
        assert mae[0]["excludes_zero"]
        assert (mae[0]["subjects"], mae[0]["only_one"]) == (7, 0)

    def test_itself_differs_by_nothing(self, evaluate, seven):
        facts = evaluate("--table", seven, "--against", seven, "--json", "-q").json
        mae = next(d for d in facts["against"]["differences"] if d["measure"] == "mae")
        assert (mae["mean"], mae["excludes_zero"]) == (0, False)

    def test_a_case_that_only_one_has_is_counted(self, evaluate, tmp_path):
        table_of(tmp_path, "a", [1, 2, 3])
        table_of(tmp_path, "b", [2, 3])
        facts = evaluate("--table", tmp_path / "a.csv", "--against", tmp_path / "b.csv", "--json", "-q").json
        mae = next(d for d in facts["against"]["differences"] if d["measure"] == "mae")
        assert (mae["mean"], mae["cases"], mae["only_one"]) == (pytest.approx(-1, abs=1e-3), 2, 1)

    def test_a_second_result_of_one_case(self, evaluate, tmp_path):
        table_of(tmp_path, "x", [4, 9])
        pair = (tmp_path / "x_0.nii.gz", tmp_path / "ct.nii.gz")
        outcome = evaluate(*pair, "--against", tmp_path / "x_1.nii.gz", "--json", "--out", "both.json")
        assert outcome.json["against"]["differences"]["mae"] == pytest.approx(-5, abs=1e-3)
        assert outcome.json["against"]["differences"]["hd95_bone"] is None
        assert json.loads(Path("both.json").read_text()) == outcome.json
        text = evaluate(*pair, "--against", tmp_path / "x_1.nii.gz").out
        assert "x_0.nii.gz" in text
        assert "x_1.nii.gz" in text
        assert "difference: first minus second" in text

    def test_tables_without_a_case_in_common(self, evaluate, tmp_path):
        table_of(tmp_path, "a", [1, 2])
        other = table_of(tmp_path, "b", [2, 3])
        other.write_text(other.read_text().replace("c0", "d0").replace("c1", "d1"))
        outcome = evaluate("--table", tmp_path / "a.csv", "--against", other)
        assert outcome.code == 2
        assert "found none in common" in outcome.err


class TestOut:
    def test_a_csv_of_measures_and_a_json_of_everything(self, evaluate, seven):
        assert evaluate("--table", seven, "--out", "m.csv").code == 0
        rows = list(csv.DictReader(Path("m.csv").read_text().splitlines()))
        assert [row["case_id"] for row in rows] == [f"c{n}" for n in range(7)]
        assert float(rows[3]["mae [HU]"]) == pytest.approx(16, abs=1e-3)
        assert rows[0]["hd95_bone [mm]"] == ""
        assert evaluate("--table", seven, "--out", "m.json", "-q").code == 0
        assert json.loads(Path("m.json").read_text())["measured"] == 7

    def test_an_existing_file_is_refused_before_measuring(self, evaluate, seven):
        Path("m.csv").write_text("mine")
        outcome = evaluate("--table", seven, "--out", "m.csv")
        assert outcome.code == 2
        assert "--overwrite" in outcome.err
        assert "measuring" not in outcome.err
        assert evaluate("--table", seven, "--out", "m.csv", "--overwrite", "-q").code == 0

    def test_another_suffix_is_refused(self, evaluate, seven):
        assert "written as .csv or .json: found m.txt" in evaluate("--table", seven, "--out", "m.txt").err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("case_id,subject_id,result\nc,s,r\n", "the column 'reference' is missing"),
        ("case_id,subject_id,result,reference,maks\nc,s,r,t,\n", "'maks' is not a column. Did you mean 'mask'?"),
        ("case_id,subject_id,result,reference\n", "has columns and no row"),
        ("case_id,subject_id,result,reference\nc,s,r,t\nc,s,r,t\n", "line 3: case c is named more than once"),
        ("case_id,subject_id,result,reference\nc,,r,t\n", "line 2: subject_id is empty"),
        ("case_id,subject_id,result,reference,series\nc,s,r,t,0\n", "line 2: series is counted from 1: found '0'"),
        ("case_id,subject_id,result,reference\nc,s,r,t,\n", "more values than columns"),
        ("", "must be a CSV table"),
    ],
)
def test_what_is_no_table_of_cases(evaluate, tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    outcome = evaluate("--table", tmp_path / "t.csv")
    assert outcome.code == 2
    assert words in outcome.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name a result and its reference, or a cohort by --table."),
        (("a.nii.gz",), "Name a result and its reference"),
        (("a.nii.gz", "b.nii.gz", "--table", "t.csv"), "one of the two"),
        (("a.nii.gz", "b.nii.gz", "--jobs", "2"), "--jobs belongs to a cohort"),
        (("--table", "t.csv", "--mask", "m.nii.gz", "--series", "1"), "--mask, --series belongs to one case"),
        (("--table", "absent.csv"), "needs a file absent.csv: there is none"),
        (("--table", "absent.csv", "--preset", "mine"), "A preset must be one of"),
    ],
)
def test_usage(medgan, arguments, words):
    outcome = medgan("evaluate", *arguments)
    assert outcome.code == 2
    assert words in outcome.err
