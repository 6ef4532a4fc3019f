"""``medgan segment --manifest``: every case of a release, one after the other, restartable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.segment import segment
from medgan.errors import CohortError, MedganError, SettingsError


def segment_cohort(
    manifest: Path,
    *,
    data_root: Path | None,
    model: str | None,
    out: Path | None,
    given: bool,
    align: bool,
    flips: bool,
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
    model, out, align, flips, device, precision, overwrite, console
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
        If the manifest is refused, or splits a subject; SettingsError without a model.
    """
    from medgan.cohort import Manifest
    from medgan.inference.bundle import find_bundle

    if given:
        raise SettingsError("Give a study (with its channels) or --manifest, not both.")
    release = Manifest.read(manifest)
    if model is None:
        segment(None, model=None, console=console)
    names = [channel.name for channel in find_bundle(str(model), task="segmentation").facts.channels]
    root, folder = data_root or manifest.parent, out or Path()
    rows: dict[str, list[Any]] = {}
    for entry in release.entries:
        if entry.domain in names:
            rows.setdefault(entry.case_id, []).append(entry)
    if not rows:
        raise CohortError(f"A cohort needs rows with the domains {', '.join(names)}: {manifest.name} has none.")
    done, refused = [], []
    with console.progress("segmenting the cohort") as advance:
        for number, (case_id, entries) in enumerate(rows.items(), start=1):
            finished = sorted((folder / case_id).glob("*_labels.nii.gz")) and not overwrite
            if finished:
                sidecar = next((folder / case_id).glob("*_segmentation.json"))
                facts = json.loads(sidecar.read_text(encoding="utf-8"))
                done.append({"case_id": case_id, "lesions": facts["lesions"], "kept": True})
            else:
                try:
                    channels = [_channel(entry, root) for entry in entries]
                    facts = segment(
                        None,
                        model=model,
                        channels=channels,
                        out=folder / case_id,
                        align=align,
                        flips=flips,
                        device=device,
                        precision=precision,
                        # What a killed call left behind has no label map, which is written last.
                        overwrite=True,
                        console=Console(quiet=True),
                    )
                    done.append({"case_id": case_id, "lesions": facts["lesions"], "kept": False})
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


def _channel(entry: Any, root: Path) -> str:
    if entry.series is not None:
        raise CohortError(
            f"Case {entry.case_id} names series {entry.series} of a folder: segment it alone, with "
            f"--channel {entry.domain}={entry.series}."
        )
    return f"{entry.domain}={entry.located(root)}"
