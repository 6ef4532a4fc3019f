"""``medgan evaluate --instances``: instances of a result against those of a reference, in stores of any size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.errors import SettingsError

Index3 = tuple[int, int, int]


def evaluate_instances(
    result: str | Path,
    reference: str | Path,
    *,
    voxel_size_zyx_nm: Sequence[float] | None = None,
    block_zyx: Sequence[float] | None = None,
    border_nm: float = 0.0,
    shortest_run_nm: float = 0.0,
    merge_nodes: int = 1,
    out: Path | None = None,
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Measure variation of information, adapted Rand error, CREMI score and expected run length.

    Parameters
    ----------
    result, reference : str or Path
        Instance numbers: OME-Zarr, Zarr, ``file.h5:/path`` or a folder of sections, on one grid.
    voxel_size_zyx_nm : three floats, optional
        For those that do not state it.
    block_zyx : three whole numbers, optional
        Voxels of a block; every block is measured, then all together. The whole volume if not given.
    border_nm : float
        Voxels nearer than this to a border of the reference are not counted.
    shortest_run_nm : float
        Skeletons shorter than this are left out.
    merge_nodes : int
        How many nodes of each of two skeletons an instance must hold to count as a merge.
    out : Path, optional
        File for the measures as JSON.
    overwrite : bool
    console : Console

    Returns
    -------
    dict
        ``pooled`` and ``blocks`` with every measure.

    Raises
    ------
    MedganError
        If a store is refused, grids differ, or the reference is empty.
    """
    from medgan.evaluation.instance_table import compare_instances
    from medgan.formats import require_absent, write_bytes
    from medgan.formats.chunked import open_chunked_labels

    if out is not None:
        require_absent([out], overwrite=overwrite)
    found = open_chunked_labels(result, voxel_size_zyx_nm=voxel_size_zyx_nm)
    truth = open_chunked_labels(reference, voxel_size_zyx_nm=voxel_size_zyx_nm)
    with console.progress("comparing instances") as advance:
        table = compare_instances(
            result=found,
            reference=truth,
            block=None if block_zyx is None else (int(block_zyx[2]), int(block_zyx[1]), int(block_zyx[0])),
            border_distance=border_nm,
            shortest_run=shortest_run_nm,
            merge_nodes=merge_nodes,
            progress=advance,
        )
    facts = {
        "result": found.label,
        "reference": truth.label,
        "border_nm": border_nm,
        "shortest_run_nm": shortest_run_nm,
        "merge_nodes": merge_nodes,
        **table.as_dict(),
    }
    if out is not None:
        write_bytes(out, (json.dumps(facts, indent=1) + "\n").encode(), overwrite=overwrite)
    return facts


def instance_lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the measures as aligned lines for people: one a block, then all together."""
    rows: list[tuple[str, ...]] = [
        ("block (x, y, z)", "VOI split", "VOI merge", "VOI", "ARAND", "CREMI", "ERL nm", "best nm", "voxels")
    ]
    for block in facts["blocks"]:
        place = " to ".join(",".join(map(str, block[key])) for key in ("start_ijk", "stop_ijk"))
        rows.append((place, *_cells(block)))
    rows.append(("all", *_cells(facts["pooled"])))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) for row in rows]
    head = f"{facts['result']} against {facts['reference']}; VOI in bits"
    border = f", voxels within {facts['border_nm']:g} nm of a border left out" if facts["border_nm"] else ""
    return [head + border, *lines]


def numbers_of(text: str | None, *, option: str, whole: bool) -> tuple[float, float, float] | None:
    """Return three positive numbers written as ``z,y,x``, None where nothing was written.

    Raises
    ------
    SettingsError
        If they are not.

    Examples
    --------
    >>> numbers_of("40,4,4", option="--voxel-size", whole=False)
    (40.0, 4.0, 4.0)
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    fits = len(values) == 3 and all(0 < v < float("inf") and (not whole or v.is_integer()) for v in values)
    if not fits:
        kind = "whole numbers" if whole else "lengths in nm"
        raise SettingsError(f"{option} needs three positive {kind} as z,y,x: found {text!r}.")
    return values[0], values[1], values[2]


def _cells(measures: dict[str, Any]) -> tuple[str, ...]:
    def cell(name: str, pattern: str) -> str:
        return pattern.format(measures[name]) if measures.get(name) is not None else "-"

    names = ("voi_split", "voi_merge", "voi", "adapted_rand_error", "cremi_score")
    runs = ("expected_run_length", "greatest_run_length")
    return (
        *(cell(name, "{:.3f}") for name in names),
        *(cell(name, "{:.0f}") for name in runs),
        cell("voxels", "{:d}"),
    )
