"""A CSV table that a verb is given: one row a case, columns by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medgan.errors import CohortError
from medgan.settings import meant


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the column names of a CSV table.

    Raises
    ------
    CohortError
        If there is no such file or it is no table.
    """
    import pandas as pd

    if not path.is_file():
        raise CohortError(f"A table of cases needs a file {path.name}: there is none.")
    try:
        return tuple(str(name) for name in pd.read_csv(path, dtype=str, nrows=0).columns)
    except (ValueError, UnicodeDecodeError) as error:
        raise CohortError(f"{path.name} must be a CSV table: {str(error).strip().removesuffix('.')}.") from None


def read_case_table(
    path: Path, *, required: Sequence[str], optional: Sequence[str]
) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a CSV table as text, each with its line in the file.

    Parameters
    ----------
    path : Path
    required, optional : sequence of str
        Names of the columns; others are refused with the one that was probably meant.

    Raises
    ------
    CohortError
        If the file is no table, a column is missing or unknown, or there is no row.
    """
    import pandas as pd

    known = (*required, *optional)
    columns = columns_of(path)
    faults = [f"the column {name!r} is missing" for name in required if name not in columns]
    faults += [f"{name!r} is not a column. {meant(name, known)}" for name in columns if name not in known]
    if faults:
        raise CohortError(f"{path.name} has {len(faults)} fault(s):\n- " + "\n- ".join(faults))
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False, skipinitialspace=True)
    except (ValueError, UnicodeDecodeError) as error:
        raise CohortError(f"{path.name} must be a CSV table: {str(error).strip().removesuffix('.')}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        # pandas takes surplus values for row names and shifts the columns.
        raise CohortError(f"{path.name} has rows with more values than columns: is there a comma at their end?")
    rows = []
    # Line 1 is the header, and people count lines from 1; blank lines are no rows.
    for line, record in enumerate(frame.to_dict("records"), start=2):
        values = {str(name): str(value).strip() for name, value in record.items()}
        if any(values.values()):
            rows.append((line, values))
    if not rows:
        raise CohortError(f"{path.name} has columns and no row.")
    return rows
