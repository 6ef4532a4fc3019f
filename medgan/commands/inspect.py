"""``medgan inspect``: what is in files, folders and archives, and whether it can be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.commands.pseudonyms import ORIGINS, opened_key

if TYPE_CHECKING:
    from medgan.formats import Inventory
    from medgan.formats.pseudonym import PseudonymKey

ALL_USABLE, SOME_REFUSED, NONE_USABLE = 0, 3, 2
"""Exit codes."""


def inspect(paths: Sequence[Path], *, pseudonym_key: Path | None = None, console: Console) -> dict[str, Any]:
    """Take the inventory of paths.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders, zip archives or DICOMDIRs.
    pseudonym_key : Path, optional
        File with the key of the pseudonyms, made where there is none. If not given, they are of this run only.
    console : Console

    Returns
    -------
    dict
        ``items`` with every image and its verdict, ``other`` with what is no image to work on, ``usable`` and
        ``refused`` with their numbers, ``pseudonyms`` with where their key is from.

    Raises
    ------
    FormatError
        If a path does not exist, or the key's file holds no key.
    OutputError
        If a new key cannot be written.
    """
    from medgan.formats import take_inventory

    key = opened_key(pseudonym_key, console=console)
    with console.progress("reading headers") as advance:
        inventory = take_inventory(paths, progress=advance)
    return facts_of(inventory, key)


def facts_of(inventory: Inventory, key: PseudonymKey) -> dict[str, Any]:
    """Return an inventory as JSON values."""
    usable = len(inventory.usable())
    return {
        "items": [{**item.as_dict(), **item.pseudonyms(key)} for item in inventory.items],
        "other": [each.as_dict() for each in inventory.other],
        "usable": usable,
        "refused": len(inventory.items) - usable,
        "pseudonyms": ORIGINS[key.origin],
    }


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where all images are usable, 3 where some are refused, 2 where there is none to use."""
    if not facts["usable"]:
        return NONE_USABLE
    return SOME_REFUSED if facts["refused"] else ALL_USABLE


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return an inventory for people: a line for each image, its reasons below, then everything else.

    Pseudonyms stand at the end of each line where they tell something: with a kept key, or where there are several.
    """
    items = facts["items"]
    is_kept = facts["pseudonyms"] != ORIGINS["run"]
    is_told = is_kept or len({item["subject_id"] for item in items} - {None}) > 1
    rows = [(*_row(item), *(_ids(item) if is_told else ())) for item in items]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(rows[0]) if rows else 0)]
    lines = []
    for item, row in zip(items, rows):
        lines.append("  ".join(f"{text:<{width}}" for text, width in zip(row, widths)).rstrip())
        lines += [f"{'':>{widths[0]}}  {reason}" for reason in item["reasons"]]
    if not rows:
        lines.append("No image was found.")
    for each in facts["other"]:
        words = each["kind"].replace("_", " ")
        modality = f" ({each['modality']})" if each["modality"] else ""
        hint = ": not opened; name it to see inside" if each["kind"] == "archive" else ""
        lines.append(f"other: {words}{modality}, {_files(each['files'])}{hint}")
    if len(items) > 1:
        lines.append(f"{len(items)} images: {facts['usable']} usable, {facts['refused']} refused")
    if is_told and not is_kept:
        lines.append(
            "The pseudonyms of patients (sub-) and studies (case-) are of this run only: --pseudonym-key FILE keeps "
            "them."
        )
    return lines


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    shape, spacing = item["shape"], item["spacing"]
    return (
        str(item["index"]),
        item["name"],
        item["verdict"],
        item["kind"],
        "?" if shape is None else " x ".join(map(str, shape)),
        "?" if spacing is None else " x ".join(f"{s:.4g}" for s in spacing) + f" {item['spacing_unit']}",
        item["orientation"] or ("-" if item["kind"] == "radiograph" else "?"),
        _files(item["files"]),
    )


def _ids(item: dict[str, Any]) -> tuple[str, str]:
    return item["subject_id"] or "", item["case_id"] or ""


def _files(count: int) -> str:
    return f"{count} file" if count == 1 else f"{count} files"
