"""The text that travels with a model: what it is for, what it learned from, how good it was, where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medgan.errors import ReportError

REQUIRED = (
    "name",
    "task",
    "trained_anatomy",
    "intended_use",
    "not_for",
    "license",
    "training_data",
    "recipe",
    "results",
    "limits",
)

DATA_COLUMNS = ("name", "license", "citation", "cases")

RESULT_COLUMNS = ("method", "measure", "value", "unit", "interval", "n", "data")


def render_model_card(card: Mapping[str, Any]) -> str:
    """Return ``MODEL_CARD.md``.

    Parameters
    ----------
    card : mapping
        ``name``, ``task``, ``trained_anatomy``, ``intended_use``, ``license``: text. ``not_for``, ``recipe``,
        ``limits``: sequences of text. ``training_data``: sequence of mappings with ``name``, ``license``, ``citation``,
        ``cases``. ``results``: sequence of mappings with ``method`` (the model or a baseline), ``measure``, ``value``,
        ``unit``, ``interval``, ``n``, ``data`` (which split); it may be empty, and the card then says that nothing was
        measured. Cells that are missing are printed as a dash.

    Raises
    ------
    ReportError
        If a key is missing, unknown or empty where it must not be, or a row has an unknown column.

    Examples
    --------
    >>> render_model_card({"name": "x"})
    Traceback (most recent call last):
    ...
    medgan.errors.ReportError: A model card needs task, trained_anatomy, intended_use, not_for, license, \
training_data, recipe, results, limits.
    """
    missing = [key for key in REQUIRED if key not in card or (not card[key] and key != "results")]
    if missing:
        raise ReportError(f"A model card needs {', '.join(missing)}.")
    unknown = sorted(set(card) - set(REQUIRED))
    if unknown:
        raise ReportError(f"A model card has no {', '.join(unknown)}: known are {', '.join(REQUIRED)}.")
    parts = [
        f"# {_line(card['name'])}",
        f"{_line(card['task'])}. Trained on: {_line(card['trained_anatomy'])}. License: {_line(card['license'])}.",
        "**Research only. Not a medical device; its images are synthetic and not for diagnosis.**",
        f"## Intended use\n\n{_line(card['intended_use'])}",
        f"## Not for\n\n{_bullets(card['not_for'])}",
        f"## Training data\n\n{_table(card['training_data'], DATA_COLUMNS, 'training_data')}",
        f"## Recipe\n\n{_bullets(card['recipe'])}",
        f"## Measured results, with baselines\n\n{_results(card['results'])}",
        f"## Limits\n\n{_bullets(card['limits'])}",
    ]
    return "\n\n".join(parts) + "\n"


def _results(rows: Sequence[Mapping[str, Any]]) -> str:
    return _table(rows, RESULT_COLUMNS, "results") if rows else "Nothing has been measured yet."


def _bullets(items: Sequence[str]) -> str:
    if isinstance(items, str):
        raise ReportError(f"A list in a model card is a sequence of texts: found one text, {items[:40]!r}.")
    return "\n".join(f"- {_line(item)}" for item in items)


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], where: str) -> str:
    for row in rows:
        unknown = sorted(set(row) - set(columns))
        if unknown:
            raise ReportError(
                f"{where} of a model card has no column {', '.join(unknown)}: known are {', '.join(columns)}."
            )
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(column)) for column in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: Any) -> str:
    return "–" if value is None or value == "" else _line(value).replace("|", "\\|")


def _line(value: Any) -> str:
    """Return text on one line: a line break would end a table row or start a heading."""
    return " ".join(str(value).split())
