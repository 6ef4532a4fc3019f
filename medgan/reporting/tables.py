"""Tables of results: from records of evaluation to text with unit, n and interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medgan.evaluation.cohort_summary import FEWEST_SUBJECTS, PairedDifference, Summary
from medgan.evaluation.comparison import Comparison
from medgan.evaluation.presets import PRESETS
from medgan.reporting.sections import Section, TableSection

MISSING = "–"


def comparison_table(comparison: Comparison, *, title: str = "Measures") -> TableSection:
    """Return every measure of one case with its mask, range and peak."""
    rows = [(name, value.replace("-", "\N{MINUS SIGN}", 1), how) for name, value, how in comparison.rows()]
    caption = f"Preset {PRESETS[comparison.preset].title}; {comparison.voxels:,} voxels count."
    return TableSection(title, ("Measure", "Value", "How it was measured"), rows, caption, frozenset({2}))


def summary_table(
    summaries: Sequence[Summary], *, preset: str, title: str = "Cohort", names: Mapping[str, str] | None = None
) -> TableSection:
    """Return mean, spread, median and interval of each measure over a cohort.

    Parameters
    ----------
    summaries : sequence of Summary
    preset : str
        The rules that gave the numbers; printed below the table.
    title : str
    names : mapping of measure to words, optional
        Default: the measure's own name.
    """
    rows = []
    for summary in summaries:
        name = (names or {}).get(summary.measure, summary.measure)
        n = (
            f"{summary.cases}"
            if summary.cases == summary.subjects
            else f"{summary.cases} ({summary.subjects} subjects)"
        )
        n += f", {summary.undefined} undefined" if summary.undefined else ""
        rows.append(
            (
                name,
                _with_sd(summary),
                _interval(summary),
                _number(summary.median, summary.unit),
                summary.unit or MISSING,
                n,
            )
        )
    caption = (
        f"Preset {preset}. Intervals: percentile bootstrap of the mean by subject, from {FEWEST_SUBJECTS} subjects on. "
        "Undefined values are left out of all columns but n."
    )
    columns = ("Measure", "Mean ± SD", "95 % interval", "Median", "Unit", "n")
    return TableSection(title, columns, rows, caption)


def difference_table(
    differences: Mapping[str, PairedDifference], *, preset: str, title: str = "Paired differences"
) -> TableSection:
    """Return paired differences, one row a comparison such as ``"model − T1 table"``."""
    rows = []
    for name, difference in differences.items():
        summary = difference.summary
        sign = {None: MISSING, True: "yes", False: "no"}[difference.excludes_zero]
        n = f"{summary.cases}" + (f", {difference.only_one} in one only" if difference.only_one else "")
        unit = summary.unit or MISSING
        rows.append((name, summary.measure, _number(summary.mean, summary.unit), _interval(summary), unit, sign, n))
    columns = ("Difference", "Measure", "Mean", "95 % interval", "Unit", "Excludes 0", "n")
    caption = f"Preset {preset}. Same cases by both methods; bootstrap by subject."
    return TableSection(title, columns, rows, caption, frozenset({1}))


def _with_sd(summary: Summary) -> str:
    mean = _number(summary.mean, summary.unit)
    return mean if summary.sd is None else f"{mean} ± {_number(summary.sd, summary.unit)}"


def _interval(summary: Summary) -> str:
    if summary.low is None or summary.high is None:
        return MISSING
    return f"{_number(summary.low, summary.unit)} to {_number(summary.high, summary.unit)}"


def _number(value: float | None, unit: str) -> str:
    """Return one digit after the point for HU, dB and mm, three for pure numbers such as Dice."""
    if value is None:
        return MISSING
    digits = 1 if unit else 3
    # Adding zero turns a rounded negative zero into zero.
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def markdown_tables(sections: Sequence[Section], *, title: str) -> str:
    """Return the tables among some sections as Markdown, each with its title and caption.

    Examples
    --------
    >>> print(markdown_tables([TableSection("Dice", ("Arm", "Mean"), [("a|b", "0.5")], "By subject.")], title="Study"))
    # Study
    <BLANKLINE>
    ## Dice
    <BLANKLINE>
    | Arm | Mean |
    |---|---|
    | a\\|b | 0.5 |
    <BLANKLINE>
    By subject.
    <BLANKLINE>
    """
    lines = [f"# {title}", ""]
    for section in sections:
        if isinstance(section, TableSection):
            lines += [f"## {section.title}", "", _markdown_row(section.columns), "|" + "---|" * len(section.columns)]
            lines += [*(_markdown_row(row) for row in section.rows), ""]
            lines += [section.caption, ""] if section.caption else []
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"
