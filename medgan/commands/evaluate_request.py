"""What ``medgan evaluate`` is asked for: one result, two results of one case, or a cohort."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.preprocess import Outcome, refuse_any
from medgan.errors import SettingsError


def evaluate_any(
    result: Path | None,
    reference: Path | None,
    *,
    table: Path | None = None,
    against: Path | None = None,
    jobs: int | None = None,
    mask: Path | None = None,
    series: int | None = None,
    reference_series: int | None = None,
    preset: str = "corrected",
    resample_reference: bool = False,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    console: Console,
) -> Outcome:
    """Measure a result, or all results of a table.

    Parameters
    ----------
    result, reference : Path or None
        Of one case; None with ``table``.
    table, jobs
        Of a cohort, as for :func:`~medgan.commands.evaluate_cohort.evaluate_cohort`.
    against : Path, optional
        For one case a second result, for a cohort another table.
    mask, series, reference_series
        For one case, as for :func:`~medgan.commands.evaluate.evaluate`.
    preset, resample_reference, allow_gap, orthogonal, assume_axes, out, overwrite, console
        For either.

    Raises
    ------
    MedganError
        If something is refused, or an option does not belong to what is measured.
    """
    from medgan.commands.evaluate_lines import lines_of_case, lines_of_cohort, lines_of_two

    shared: dict[str, Any] = {
        "preset": preset,
        "resample_reference": resample_reference,
        "allow_gap": allow_gap,
        "orthogonal": orthogonal,
        "assume_axes": assume_axes,
        "overwrite": overwrite,
        "console": console,
    }
    if table is not None:
        from medgan.commands.evaluate_cohort import evaluate_cohort, exit_code_of

        if result is not None:
            raise SettingsError("Name a result and its reference, or a cohort by --table: one of the two.")
        of_case = {"--mask": mask, "--series": series, "--reference-series": reference_series}
        refuse_any(of_case, "one case", f"in {table.name} they are columns")
        facts = evaluate_cohort(table, against=against, jobs=jobs or 1, out=out, **shared)
        return facts, lines_of_cohort(facts), exit_code_of(facts)
    one, truth = both_named(result, reference)
    from medgan.commands.evaluate import evaluate

    refuse_any({"--jobs": jobs}, "a cohort", "pass it by --table")
    shared |= {"mask": mask, "series": series, "reference_series": reference_series}
    if against is None:
        facts = evaluate(one, truth, out=out, **shared)
        return facts, lines_of_case(facts), 0
    from medgan.formats import require_absent, write_bytes

    if out is not None:
        require_absent([out], overwrite=overwrite)
    facts, other = (evaluate(each, truth, **shared) for each in (one, against))
    facts["against"] = {**other, "differences": _differences(facts["measures"], other["measures"])}
    if out is not None:
        write_bytes(out, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=overwrite)
    return facts, lines_of_two(facts), 0


def both_named(result: Path | None, reference: Path | None) -> tuple[Path, Path]:
    """Return result and reference of one case.

    Raises
    ------
    SettingsError
        If one is missing.
    """
    if result is None or reference is None:
        raise SettingsError("Name a result and its reference, or a cohort by --table.")
    return result, reference


def _differences(this: dict[str, Any], that: dict[str, Any]) -> dict[str, float | None]:
    """Return the first minus the second for every measure, None where one of them is undefined."""
    values = {name: (this[name]["value"], that[name]["value"]) for name in this}
    return {name: None if a is None or b is None else a - b for name, (a, b) in values.items()}
