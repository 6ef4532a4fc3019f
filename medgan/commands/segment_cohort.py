"""``medgan segment --manifest``: every case of a release, one after the other, restartable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.commands.segment import segment
from medgan.errors import CohortError, MedganError, OutputError, SettingsError

if TYPE_CHECKING:
    from medgan.cohort import CaseEntry


def segment_cohort(
    manifest: Path,
    *,
    data_root: Path | None,
    model: str | None,
    out: Path | None,
    given: bool,
    align: bool,
    flips: bool,
    allow_gap: bool = False,
    assume_axes: bool = False,
    device: str,
    precision: str,
    overwrite: bool,
    console: Console,
) -> tuple[dict[str, Any], int]:
    """Segment the cases of a manifest whose rows have the model's channels as domains.

    Parameters
    ----------
    manifest : Path
    data_root : Path or None
        Where its paths start from; its own folder if None.
    model, out, align, flips, allow_gap, assume_axes, device, precision, overwrite, console
        As for :func:`medgan.commands.segment.segment`; each case gets a folder of its own.
    given : bool
        Whether a study or channels were given as well, which contradict a manifest.

    Returns
    -------
    dict, int
        What was done and what was refused, and the exit code: 0, 3 where some are refused, 2 where all are.

    Raises
    ------
    MedganError
        If the manifest is refused, or splits a subject; SettingsError without a model; OutputError where the folder
        holds results of another model or of other options, which are never taken for those asked for.
    """
    from medgan.cohort import Manifest
    from medgan.inference.bundle import find_bundle

    if given:
        raise SettingsError("Give a study (with its channels) or --manifest, not both.")
    release = Manifest.read(manifest)
    if model is None:
        segment(None, model=None, console=console)
    facts = find_bundle(str(model), task="segmentation").facts
    names = [channel.name for channel in facts.channels]
    wanted = {"weights_sha256": facts.weights_sha256, "align": align, "flips": flips}
    root, folder = data_root or manifest.parent, out or Path()
    rows: dict[str, list[CaseEntry]] = {}
    for entry in release.entries:
        if entry.domain in names:
            rows.setdefault(entry.case_id, []).append(entry)
    if not rows:
        raise CohortError(f"A cohort needs rows with the domains {', '.join(names)}: {manifest.name} has none.")
    kept = {} if overwrite else {case_id: found for case_id in rows if (found := _kept(folder / case_id, wanted))}
    done, refused = [], []
    with console.progress("segmenting the cohort") as advance:
        for number, (case_id, entries) in enumerate(rows.items(), start=1):
            if case_id in kept:
                done.append({"case_id": case_id, "lesions": kept[case_id]["lesions"], "kept": True})
            else:
                try:
                    result = segment(
                        None,
                        model=model,
                        channels=[_channel(entry, root) for entry in entries],
                        out=folder / case_id,
                        align=align,
                        flips=flips,
                        allow_gap=allow_gap,
                        assume_axes=assume_axes,
                        device=device,
                        precision=precision,
                        # What a killed call left behind has no label map, which is written last.
                        overwrite=True,
                        console=Console(quiet=True),
                    )
                    done.append({"case_id": case_id, "lesions": result["lesions"], "kept": False})
                except MedganError as error:
                    refused.append({"case_id": case_id, "reason": str(error)})
                    console.notice(f"{case_id} is refused: {error}")
            advance(number, len(rows))
    code = 0 if not refused else 3 if done else 2
    return {"done": done, "refused": refused}, code


def cohort_lines(facts: dict[str, Any]) -> list[str]:
    """Return one line a case."""
    lines = [f"{row['case_id']}: {len(row['lesions'])} found" for row in facts["done"]]
    return [*lines, *(f"{row['case_id']}: refused" for row in facts["refused"])]


def _kept(folder: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a finished case's JSON holds; None where the case is not finished."""
    labels, sidecars = list(folder.glob("*_labels.nii.gz")), list(folder.glob("*_segmentation.json"))
    if len(labels) != 1 or len(sidecars) != 1:
        return None
    try:
        facts: dict[str, Any] = json.loads(sidecars[0].read_text(encoding="utf-8"))
        found = {"weights_sha256": facts["model"]["weights_sha256"], **facts["options"]}
    except (ValueError, KeyError, TypeError):
        return None  # damaged: done again
    if found != wanted:
        names = ", ".join(name for name in wanted if found.get(name) != wanted[name])
        raise OutputError(
            f"A cohort is continued with the model and options it began with: {folder.name} was segmented with other "
            f"{names}. Choose another --out, or pass --overwrite."
        )
    return facts


def _channel(entry: CaseEntry, root: Path) -> str:
    """Return a row as the option that names its image."""
    series = "" if entry.series is None else f"#{entry.series}"
    return f"{entry.domain}={entry.located(root)}{series}"
