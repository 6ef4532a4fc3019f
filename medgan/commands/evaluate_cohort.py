"""``medgan evaluate --table``: every case of a cohort, with means, intervals and, if asked for, paired differences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.case_table import columns_of, read_case_table
from medgan.commands.console import Console
from medgan.commands.evaluate import evaluate
from medgan.commands.parallel import each_done
from medgan.errors import CohortError, MedganError, OutputError
from medgan.volume.side_by_side import usable_cores

if TYPE_CHECKING:
    from medgan.evaluation.cohort_table import CohortTable

REQUIRED = ("case_id", "subject_id", "result", "reference")
OPTIONAL = ("mask", "series", "reference_series")
ALL_MEASURED, SOME_REFUSED, NONE_MEASURED = 0, 3, 2
"""Exit codes."""
SEED = 2026
"""Of the bootstrap: the same table gives the same intervals."""


@dataclass(frozen=True)
class _Rules:
    """How every case is measured."""

    preset: str
    resample_reference: bool
    allow_gap: bool
    orthogonal: bool
    assume_axes: bool


@dataclass(frozen=True)
class _Case:
    """One row of the table; paths are whole."""

    case_id: str
    subject_id: str
    result: Path
    reference: Path
    mask: Path | None
    series: int | None
    reference_series: int | None


def evaluate_cohort(
    table: Path,
    *,
    against: Path | None = None,
    preset: str = "corrected",
    resample_reference: bool = False,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    jobs: int = 1,
    console: Console,
) -> dict[str, Any]:
    """Measure all results of a table against their references.

    Parameters
    ----------
    table : Path
        CSV with the columns ``case_id``, ``subject_id``, ``result`` and ``reference``, and ``mask`` where there are
        masks (``series`` and ``reference_series`` for DICOM); paths are relative to its folder.
    against : Path, optional
        Another such table, which is measured as well, or the measures that ``--out`` wrote of one by the same preset:
        for every measure the mean of this minus that over the cases of both.
    preset, resample_reference, allow_gap, orthogonal, assume_axes
        As for :func:`~medgan.commands.evaluate.evaluate`, for all cases.
    out : Path, optional
        ``.csv``: one row a case, one column a measure. ``.json``: everything.
    overwrite : bool
    jobs : int
        Processes at most.
    console : Console

    Returns
    -------
    dict
        Every case with its measures or why it was refused, the summary of every measure, and the differences.

    Raises
    ------
    MedganError
        If a table or the output is refused. A refused case raises nothing: it is a row.
    """
    from medgan.evaluation.presets import preset_named
    from medgan.formats import require_absent, write_bytes

    rules = _Rules(preset_named(preset).name, resample_reference, allow_gap, orthogonal, assume_axes)
    if out is not None:
        if out.suffix.lower() not in (".csv", ".json"):
            raise OutputError(f"Measures of a cohort are written as .csv or .json: found {out.name}.")
        require_absent([out], overwrite=overwrite)
    # Read before anything is measured, so that a wrong table is known at once.
    tables = [_read_cases(table)]
    other: CohortTable | None = None
    if against is not None and "result" in columns_of(against):
        tables.append(_read_cases(against))
    elif against is not None:
        from medgan.evaluation.cohort_table import read_csv

        other = read_csv(against)
    cases = [case for each in tables for case in each]
    rows = _measured(cases, rules, min(jobs, usable_cores()), console)
    own, others = rows[: len(tables[0])], rows[len(tables[0]) :]
    measured = _cohort_table(own)
    if others:
        other = _cohort_table(others)
    facts: dict[str, Any] = {
        "preset": rules.preset,
        "measured": sum(row["refused"] is None for row in own),
        "refused": sum(row["refused"] is not None for row in rows),
        "cases": own,
        "summary": _summaries(measured),
        "against": None,
    }
    if against is not None:
        facts["against"] = {
            "table": against.name,
            "cases": others or None,
            "differences": _differences(measured, other),
        }
    if out is not None and measured is not None:
        if out.suffix.lower() == ".json":
            write_bytes(out, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=overwrite)
        else:
            from medgan.evaluation.cohort_table import write_csv

            write_csv(measured, out, overwrite=overwrite)
    return facts


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where every case was measured, 3 where some were refused, 2 where all were."""
    if not facts["refused"]:
        return ALL_MEASURED
    return SOME_REFUSED if facts["measured"] else NONE_MEASURED


def _read_cases(table: Path) -> list[_Case]:
    """Return the rows of a table.

    Raises
    ------
    CohortError
        With every fault at once.
    """
    cases, faults, seen = [], [], set()
    for line, row in read_case_table(table, required=REQUIRED, optional=OPTIONAL):
        empty = [name for name in REQUIRED if not row[name]]
        faults += [f"line {line}: {name} is empty" for name in empty]
        if row["case_id"] in seen:
            faults.append(f"line {line}: case {row['case_id']} is named more than once")
        seen.add(row["case_id"])
        numbers = {name: row.get(name, "") for name in ("series", "reference_series")}
        wrong = [name for name, text in numbers.items() if text and not (text.isdecimal() and int(text) > 0)]
        faults += [f"line {line}: {name} is counted from 1: found {numbers[name]!r}" for name in wrong]
        if wrong:
            continue
        root = table.parent.resolve()
        cases.append(
            _Case(
                row["case_id"],
                row["subject_id"],
                root / row["result"],
                root / row["reference"],
                root / row["mask"] if row.get("mask") else None,
                *(int(text) if text else None for text in numbers.values()),
            )
        )
    if faults:
        raise CohortError(f"{table.name} has {len(faults)} fault(s):\n- " + "\n- ".join(faults))
    return cases


def _measured(cases: Sequence[_Case], rules: _Rules, jobs: int, console: Console) -> list[dict[str, Any]]:
    rows: dict[int, dict[str, Any]] = {}
    with console.progress("measuring") as advance:
        for done, (position, row) in enumerate(each_done(partial(_row_of, rules=rules), cases, jobs=jobs), start=1):
            rows[position] = row
            for notice in row["notices"]:
                console.notice(f"{row['case_id']}: {notice}")
            if row["refused"] is not None:
                console.notice(f"refused: {row['case_id']}: {row['refused']}")
            advance(done, len(cases))
    return [rows[position] for position in range(len(cases))]


def _row_of(case: _Case, *, rules: _Rules) -> dict[str, Any]:
    """Measure one case and say how it went."""
    about = {"case_id": case.case_id, "subject_id": case.subject_id}
    try:
        facts = evaluate(
            case.result,
            case.reference,
            mask=case.mask,
            series=case.series,
            reference_series=case.reference_series,
            **asdict(rules),
            console=Console(quiet=True),
        )
    except MedganError as error:
        return {**about, "refused": str(error), "notices": []}
    except Exception as error:  # One case must not end the work on a thousand others.
        return {**about, "refused": f"Internal failure ({type(error).__name__}); please report it.", "notices": []}
    return {**about, "refused": None, **facts}


def _cohort_table(rows: Sequence[dict[str, Any]]) -> CohortTable | None:
    from medgan.evaluation.cohort_table import CaseRow, CohortTable

    known = [row for row in rows if row["refused"] is None]
    if not known:
        return None
    units = {name: measure["unit"] for name, measure in known[0]["measures"].items()}
    return CohortTable(
        tuple(
            CaseRow(row["case_id"], row["subject_id"], {name: m["value"] for name, m in row["measures"].items()})
            for row in known
        ),
        units,
    )


def _summaries(table: CohortTable | None) -> list[dict[str, Any]]:
    from medgan.evaluation.cohort_summary import summarize
    from medgan.seeding import numpy_generator

    if table is None:
        return []
    return [asdict(summary) for summary in summarize(table, generator=numpy_generator(SEED, "summary"))]


def _differences(this: CohortTable | None, that: CohortTable | None) -> list[dict[str, Any]]:
    """Return this minus that for every measure that both have."""
    from medgan.evaluation.cohort_summary import paired_difference
    from medgan.seeding import numpy_generator

    if this is None or that is None:
        return []
    found = []
    for name in this.measures:
        if name in that.measures:
            generator = numpy_generator(SEED, "difference", name)
            difference = paired_difference(this=this, that=that, measure=name, generator=generator)
            found.append(
                {
                    **asdict(difference.summary),
                    "only_one": difference.only_one,
                    "excludes_zero": difference.excludes_zero,
                }
            )
    return found
