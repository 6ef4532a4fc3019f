"""``medgan inspect``: what is in files, folders and archives, and whether it can be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console

if TYPE_CHECKING:
    from medgan.formats import Inventory

ALL_USABLE, SOME_REFUSED, NONE_USABLE = 0, 3, 2
"""Exit codes."""


def inspect(paths: Sequence[Path], *, console: Console) -> dict[str, Any]:
    """Take the inventory of paths.

    Parameters
    ----------
    paths : sequence of Path
        Files, folders, zip archives or DICOMDIRs.
    console : Console

    Returns
    -------
    dict
        ``items`` with every image and its verdict, ``other`` with what is no volume, ``usable`` and ``refused`` with
        their numbers.

    Raises
    ------
    FormatError
        If a path does not exist.
    """
    from medgan.formats import take_inventory

    with console.progress("reading headers") as advance:
        inventory = take_inventory(paths, progress=advance)
    return facts_of(inventory)


def facts_of(inventory: Inventory) -> dict[str, Any]:
    """Return an inventory as JSON values."""
    usable = len(inventory.usable())
    return {
        "items": [item.as_dict() for item in inventory.items],
        "other": [each.as_dict() for each in inventory.other],
        "usable": usable,
        "refused": len(inventory.items) - usable,
    }


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where all images are usable, 3 where some are refused, 2 where there is none to use."""
    if not facts["usable"]:
        return NONE_USABLE
    return SOME_REFUSED if facts["refused"] else ALL_USABLE


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return an inventory for people: a line for each image, its reasons below, then everything else."""
    rows = [_row(item) for item in facts["items"]]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(rows[0]) if rows else 0)]
    lines = []
    for item, row in zip(facts["items"], rows):
        lines.append("  ".join(f"{text:<{width}}" for text, width in zip(row, widths)).rstrip())
        lines += [f"{'':>{widths[0]}}  {reason}" for reason in item["reasons"]]
    if not rows:
        lines.append("No image was found.")
    for each in facts["other"]:
        words = each["kind"].replace("_", " ")
        count = f"{each['files']} file" if each["files"] == 1 else f"{each['files']} files"
        modality = f" ({each['modality']})" if each["modality"] else ""
        lines.append(f"other: {words}{modality}, {count}")
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
        item["orientation"] or "?",
        f"{item['files']} file" if item["files"] == 1 else f"{item['files']} files",
    )
