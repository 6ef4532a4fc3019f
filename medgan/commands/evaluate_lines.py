"""What ``medgan evaluate`` prints for people: one case, two results of one case, or a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHOWN = {
    "mae": "MAE",
    "me": "ME",
    "rmse": "RMSE",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ms_ssim": "MS-SSIM",
    "dice_air": "Dice air",
    "dice_bone": "Dice bone",
    "hd95_air": "HD95 air",
    "hd95_bone": "HD95 bone",
    "soft_tissue_r": "soft r",
}
"""Measures in the table of cases; the summary below it has all."""
FEW = "fewer than 6 subjects: no interval"


def lines_of_case(facts: dict[str, Any]) -> list[str]:
    """Return the measures of one result as aligned lines, each with mask, range and peak."""
    rows = []
    for measure in facts["measures"].values():
        value = measure["value"]
        text = f"undefined ({measure['reason']})" if value is None else f"{value:.4g} {measure['unit']}".rstrip()
        peak = "" if measure["peak"] is None else f"; peak {measure['peak']:g}"
        rows.append((measure["title"], text, f"in {measure['mask']}; {measure['range']}{peak}"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    head = f"preset {facts['preset']}, mask: {facts['mask']} ({facts['voxels']} voxels)"
    return [head, *(f"{title:<{widths[0]}}  {text:>{widths[1]}}  {statement}" for title, text, statement in rows)]


def lines_of_two(facts: dict[str, Any]) -> list[str]:
    """Return the measures of two results of one case and their difference."""
    other = facts["against"]
    rows = [("", facts["result"], other["result"], "difference", "")]
    for name, measure in facts["measures"].items():
        values = (measure["value"], other["measures"][name]["value"], other["differences"][name])
        rows.append((measure["title"], *map(_number, values), measure["unit"]))
    head = f"preset {facts['preset']}, mask: {facts['mask']} ({facts['voxels']} voxels); difference: first minus second"
    return [head, *_aligned(rows)]


def lines_of_cohort(facts: dict[str, Any]) -> list[str]:
    """Return every case, the summary of every measure, the refused cases and the paired differences."""
    lines = [f"preset {facts['preset']}: {facts['measured']} cases measured, {facts['refused']} refused"]
    known = [case for case in facts["cases"] if case["refused"] is None]
    if known:
        units = {name: measure["unit"] for name, measure in known[0]["measures"].items()}
        masks = sorted({case["mask"] for case in known})
        lines += [f"mask: {mask}" for mask in masks[:1]] if len(masks) == 1 else [f"masks: {len(masks)}, one a case"]
        header = ("case", "subject", *(f"{title} [{units[n]}]" if units[n] else title for n, title in SHOWN.items()))
        rows = [
            (case["case_id"], case["subject_id"], *(_number(case["measures"][name]["value"]) for name in SHOWN))
            for case in known
        ]
        lines += ["", *_aligned([header, *rows])]
        lines += ["", *_aligned(_summary_rows(facts["summary"], "mean"))]
    for case in _refused(facts):
        lines.append(f"refused: {case['case_id']}: {case['refused']}")
    if facts["against"] is not None:
        differences = facts["against"]["differences"]
        lines += ["", f"this minus {facts['against']['table']}, case by case:"]
        lines += _aligned(_summary_rows(differences, "mean difference")) if differences else ["no case in common"]
    return lines


def _refused(facts: dict[str, Any]) -> list[dict[str, Any]]:
    others = (facts["against"] or {}).get("cases") or []
    return [case for case in (*facts["cases"], *others) if case["refused"] is not None]


def _summary_rows(summaries: Sequence[dict[str, Any]], mean: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("measure", mean, "SD", "median", "95 % interval of the mean", "n", "undefined")]
    for each in summaries:
        interval = f"{_number(each['low'])} to {_number(each['high'])}" if each["low"] is not None else FEW
        name = f"{each['measure']} [{each['unit']}]" if each["unit"] else each["measure"]
        numbers = (_number(each[key]) for key in ("mean", "sd", "median"))
        rows.append((name, *numbers, interval, str(each["subjects"]), str(each["undefined"])))
    return rows


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as text, the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{w}}" if n == 0 else f"{cell:>{w}}" for n, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]
