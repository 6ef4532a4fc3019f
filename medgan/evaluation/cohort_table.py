"""Measures of many cases: one row a case, as a value and as a CSV file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from medgan.errors import EvaluationError, OutputError


@dataclass(frozen=True)
class CaseRow:
    """Values of one case; ``None`` where a measure is undefined. Ids are pseudonyms."""

    case_id: str
    subject_id: str
    values: Mapping[str, float | None]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))
        wrong = sorted(name for name, value in self.values.items() if value is not None and not math.isfinite(value))
        if wrong:
            raise EvaluationError(
                f"A measure of a case is a finite number or None: found another value for {', '.join(wrong)} in case "
                f"{self.case_id}."
            )


@dataclass(frozen=True)
class CohortTable:
    """Cases by measures.

    Parameters
    ----------
    rows : tuple of CaseRow
        All with the same measures in the same order.
    units : mapping of measure to unit
        Missing or empty for a pure number.

    Raises
    ------
    EvaluationError
        If there is no row, a case occurs twice, or rows have different measures.
    """

    rows: tuple[CaseRow, ...]
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", tuple(self.rows))
        object.__setattr__(self, "units", MappingProxyType(dict(self.units)))
        if not self.rows:
            raise EvaluationError("A cohort table needs at least one case: found none.")
        ids = [row.case_id for row in self.rows]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise EvaluationError(f"A cohort table has one row a case: found {', '.join(twice)} more than once.")
        first = self.rows[0]
        for row in self.rows:
            if tuple(row.values) != tuple(first.values):
                raise EvaluationError(
                    f"All cases of a cohort table need the same measures: {row.case_id} has {', '.join(row.values)}, "
                    f"{first.case_id} has {', '.join(first.values)}."
                )

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(self.rows[0].values)


def write_csv(table: CohortTable, path: Path, *, overwrite: bool = False) -> None:
    """Write one row a case; columns are named ``measure [unit]``, an undefined value is an empty field.

    Raises
    ------
    OutputError
        If the file exists and ``overwrite`` is False.
    """
    import pandas as pd

    if path.exists() and not overwrite:
        raise OutputError(f"A cohort table is not overwritten: {path.name} exists. Choose another name.")
    header = {name: f"{name} [{table.units[name]}]" if table.units.get(name) else name for name in table.measures}
    frame = pd.DataFrame(
        [
            {"case_id": row.case_id, "subject_id": row.subject_id, **{header[k]: v for k, v in row.values.items()}}
            for row in table.rows
        ]
    )
    frame.to_csv(path, index=False, lineterminator="\n")


def read_csv(path: Path) -> CohortTable:
    """Read what :func:`write_csv` wrote.

    Raises
    ------
    EvaluationError
        If a column is missing or a value is not a number.
    """
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in ("case_id", "subject_id"):
        if column not in frame.columns:
            raise EvaluationError(
                f"A cohort table needs a column {column!r}: {path.name} has {', '.join(frame.columns)}."
            )
    columns = [c for c in frame.columns if c not in ("case_id", "subject_id")]
    names = {c: c.partition(" [")[0] for c in columns}
    units = {names[c]: c.partition(" [")[2].removesuffix("]") for c in columns if " [" in c}
    rows = []
    for record in frame.to_dict("records"):
        try:
            values = {names[c]: float(record[c]) if record[c] else None for c in columns}
        except ValueError:
            raise EvaluationError(
                f"A cohort table holds numbers: case {record['case_id']} in {path.name} has something else."
            ) from None
        rows.append(CaseRow(record["case_id"], record["subject_id"], values))
    return CohortTable(tuple(rows), units)
