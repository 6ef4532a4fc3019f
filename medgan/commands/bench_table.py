"""The benchmark's results as a table in a Markdown page, put between two marks so that the page cannot drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medgan.commands.bench_case import MEASURED, Deviation
from medgan.errors import SettingsError

BEGIN, END = "<!-- medgan bench: begin -->", "<!-- medgan bench: end -->"
_HEAD = ("case", "peer", "medgan", "peer's", "ratio", "wanted", "deviation (allowed)", "memory, medgan / peer")


def table_of(facts: dict[str, Any]) -> str:
    """Return results as Markdown: the machine, one row a case, what else was said."""
    machine = facts["machine"]
    words = f"{machine['in_words']}."
    if machine["load_before"] is not None:
        words += f" Load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after."
    words += f" {facts['seconds']:.0f} s in all"
    words += ", the quick set (the same work a patch on smaller volumes)." if facts["quick"] else "."
    lines = [words, "", _row(_HEAD), _row(["---"] * len(_HEAD))]
    lines += [_row(_cells(case)) for case in facts["cases"]]
    notes = [
        f"- {case['case']}: {'; '.join(n for n in case['notes'] if n)}."
        for case in facts["cases"]
        if any(case["notes"])
    ]
    peaks = dict.fromkeys(case["peak_words"] for case in facts["cases"] if case["peak_words"])
    notes += [f"- Memory: {'; '.join(peaks)}."] if peaks else []
    return "\n".join([*lines, "", *notes])


def put_table(page: Path, facts: dict[str, Any]) -> None:
    """Replace what stands between the two marks of a page by the table of results.

    Raises
    ------
    SettingsError
        If the page cannot be read or lacks the marks.
    """
    from medgan.formats import write_bytes

    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{page.name} cannot be read: {error.strerror}.") from None
    write_bytes(page, with_table(text, facts, name=page.name).encode(), overwrite=True)


def with_table(text: str, facts: dict[str, Any], *, name: str) -> str:
    """Return a page with the table of results between its marks.

    Raises
    ------
    SettingsError
        If it has not each mark once, in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SettingsError(
            f"{name} must say where the table goes, by one line {BEGIN} and one line {END} below it: it does not."
        )
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n{table_of(facts)}\n\n{after}"


def _cells(case: dict[str, Any]) -> list[str]:
    if case["status"] != MEASURED:
        return [case["case"], case["peer"], case["status"], "", "", "", "", ""]
    figure = case["figure"]
    if figure is not None:
        ratio = f"{figure['words']} {figure['value']:.2f} {figure['unit']}"
        if figure["low"] != figure["high"]:
            ratio += f" ({figure['low']:.2f} to {figure['high']:.2f})"
        bound = figure["bound"]
        wanted = "" if bound is None else f"{'≥' if figure['at_least'] else '≤'} {bound:g}"
    else:
        ratio = "none: the results differ"
        if case["ratio"] is not None:
            ratio = f"{case['ratio']:.2f}x ({case['ratio_min']:.2f} to {case['ratio_max']:.2f})"
        wanted = "" if case["ratio_wanted"] is None else f"≥ {case['ratio_wanted']:g}x"
    if case["reached"] is not None:
        wanted += ", reached" if case["reached"] else ", missed"
    deviations = "; ".join(Deviation(**each).in_words for each in case["deviations"])
    peaks = [case["medgan_peak_mb"], case["peer_peak_mb"]]
    memory = "" if None in peaks else f"{peaks[0]:.0f} / {peaks[1]:.0f} MB"
    seconds = ["" if case[key] is None else f"{case[key]:.3g} s" for key in ("medgan_s", "peer_s")]
    return [case["case"], case["peer"], *seconds, ratio, wanted, deviations, memory]


def _row(cells: Any) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"
