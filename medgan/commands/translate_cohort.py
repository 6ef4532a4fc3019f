"""``medgan translate --manifest``: every image of a list, restartable, with a table of how each went."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.parallel import each_done, usable_cores
from medgan.commands.translate import TrustOptions, chosen_bundle, translate
from medgan.commands.translate_files import OutputPaths
from medgan.commands.translate_list import ListedImage, listed_images
from medgan.errors import MedganError, OutputError, SettingsError

LOCK_FILE, SUMMARY_FILE = "translation.json", "summary.csv"
ALL_TRANSLATED, SOME_FAILED, NONE_TRANSLATED = 0, 3, 2
"""Exit codes."""


@dataclass(frozen=True)
class TranslatedRow:
    """How the translation of one image went.

    Attributes
    ----------
    case_id, subject_id : str
    status : str
        ``translated`` now, ``kept`` from an earlier call, or ``failed``.
    domain : str
        Answer of the domain check; empty where it failed.
    warning : str
        The domain check's sentence.
    reason : str
        Why it failed.
    notices : tuple of str
    seconds : float
    """

    case_id: str
    subject_id: str
    status: str
    domain: str = ""
    warning: str = ""
    reason: str = ""
    notices: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Settings:
    """What every case of one output folder is translated with; a later call must repeat it."""

    model: str
    weights_sha256: str
    members_sha256: tuple[str, ...]
    uncertainty: bool
    precision: str
    allow_gap: bool
    orthogonal: bool
    assume_axes: bool
    modality: str | None


def translate_cohort(
    table: Path,
    *,
    out: Path | None,
    data_root: Path | None = None,
    model: str | None = None,
    modality: str | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    uncertainty: bool = False,
    members: Sequence[str] = (),
    device: str = "auto",
    precision: str = "auto",
    jobs: int = 1,
    console: Console,
) -> dict[str, Any]:
    """Translate all images of a list into one folder; what is finished there is kept, so a killed call continues.

    Parameters
    ----------
    table : Path
        See :func:`~medgan.commands.translate_list.listed_images`.
    out : Path
        Folder. Every case gets CASE_sct.nii.gz with sidecar and picture; ``summary.csv`` says how each went, and
        ``translation.json`` holds the settings that a later call must repeat.
    data_root : Path, optional
        Folder that the list's paths start from; the list's own if not given.
    model, modality, allow_gap, orthogonal, assume_axes, uncertainty, members, device, precision
        As for :func:`~medgan.commands.translate.translate`, for all cases. A modality in the list stands before
        ``modality``.
    jobs : int
        Processes at most, on a CPU.
    console : Console

    Returns
    -------
    dict
        One row a case, their numbers by status, and the summary's path.

    Raises
    ------
    MedganError
        If the list, the model or the folder is refused. A refused image raises nothing: it is a row.
    """
    from medgan.commands.devices import resolve_device
    from medgan.formats import made_folder
    from medgan.training.precision import resolve_precision

    if out is None:
        raise SettingsError("A cohort needs a folder: pass it by --out.")
    bundle = chosen_bundle(model)
    member_bundles = TrustOptions(uncertainty, tuple(members)).bundles_beside(bundle)
    images, root = listed_images(table, domain=bundle.facts.source.domain, data_root=data_root)
    if not root.is_dir():
        raise SettingsError(
            f"The paths of {table.name} start from {root.name}: there is no such folder. See --data-root."
        )
    chosen = resolve_device(device)
    if jobs > 1 and chosen != "cpu":
        raise SettingsError(f"Several processes share a CPU, not {chosen}: use --jobs 1, or --device cpu.")
    settings = Settings(
        model=bundle.facts.name,
        weights_sha256=bundle.facts.weights_sha256,
        members_sha256=tuple(member.facts.weights_sha256 for member in member_bundles),
        uncertainty=uncertainty,
        # A restart repeats the precision that was found to pay, and so do all processes.
        precision=_locked_precision(out, precision) or resolve_precision(precision, device=chosen).precision,
        allow_gap=allow_gap,
        orthogonal=orthogonal,
        assume_axes=assume_axes,
        modality=modality,
    )
    made_folder(out)
    _keep_lock(out / LOCK_FILE, settings)
    one = partial(
        _row_of,
        data_root=root.resolve(),
        out=out.resolve(),
        model=str(bundle.folder.resolve()),
        settings=settings,
        members=tuple(str(member.folder.resolve()) for member in member_bundles),
        device=chosen,
    )
    rows = _translated(one, images, min(jobs, usable_cores()), console)
    summary = _written_summary(rows, out / SUMMARY_FILE)
    statuses = [row.status for row in rows]
    return {
        "folder": str(out),
        "model": settings.model,
        **{status: statuses.count(status) for status in ("translated", "kept", "failed")},
        "outside_domain": sum(row.domain == "outside" for row in rows),
        "cases": [asdict(row) for row in rows],
        "summary": str(summary),
    }


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where every image is translated, 3 where some failed, 2 where all did."""
    if not facts["failed"]:
        return ALL_TRANSLATED
    return SOME_FAILED if facts["translated"] or facts["kept"] else NONE_TRANSLATED


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the outcome for people: numbers, each failed case with its reason, and where to read more."""
    lines = [
        f"{facts['translated']} translated, {facts['kept']} kept from before, {facts['failed']} failed; "
        f"{facts['outside_domain']} outside the domain that {facts['model']} was trained on"
    ]
    lines += [f"failed: {case['case_id']}: {case['reason']}" for case in facts["cases"] if case["status"] == "failed"]
    return [*lines, facts["summary"]]


def _translated(one: Any, images: Sequence[ListedImage], jobs: int, console: Console) -> list[TranslatedRow]:
    rows: dict[int, TranslatedRow] = {}
    with console.progress("translating") as advance:
        for done, (position, row) in enumerate(each_done(one, images, jobs=jobs), start=1):
            rows[position] = row
            sentences = [*row.notices, *([f"failed: {row.reason}"] if row.reason else []), row.warning]
            for sentence in filter(None, sentences):
                console.notice(f"{row.case_id}: {sentence}")
            advance(done, len(images))
    return [rows[position] for position in range(len(images))]


def _row_of(
    image: ListedImage,
    *,
    data_root: Path,
    out: Path,
    model: str,
    settings: Settings,
    members: tuple[str, ...],
    device: str,
) -> TranslatedRow:
    """Translate one image and say how it went."""
    begun = time.perf_counter()
    row = partial(TranslatedRow, image.case_id, image.subject_id)
    try:
        file = image.located(data_root)
        bundle = chosen_bundle(model)
        paths = OutputPaths.beside(file, out=out, suffix=bundle.facts.target.domain, stem=image.case_id)
        earlier = _finished(paths, file)
        facts = earlier or translate(
            file,
            model=model,
            out=paths.volume,
            modality=image.modality or settings.modality,
            series=image.series,
            allow_gap=settings.allow_gap,
            orthogonal=settings.orthogonal,
            assume_axes=settings.assume_axes,
            uncertainty=settings.uncertainty,
            members=members,
            device=device,
            precision=settings.precision,
            # A killed call may have left all but the volume, which comes last.
            overwrite=True,
            console=Console(quiet=True),
        )
    except MedganError as error:
        return row("failed", reason=str(error))
    except Exception as error:  # One image must not end the work on a thousand others.
        return row("failed", reason=f"Internal failure ({type(error).__name__}); please report it.")
    return row(
        "translated" if earlier is None else "kept",
        domain=facts["domain_check"]["status"],
        warning=facts["domain_warning"] or "",
        notices=tuple(facts["notices"]) if earlier is None else (),
        seconds=round(time.perf_counter() - begun, 3),
    )


def _finished(paths: OutputPaths, file: Path) -> dict[str, Any] | None:
    """Return the sidecar of a case that is done, None if it is not.

    Raises
    ------
    OutputError
        If it was made from another file, or its sidecar cannot be read.
    """
    from medgan.formats.byte_stream import sha256_of

    if not paths.volume.is_file():
        return None
    try:
        facts = dict(json.loads(paths.sidecar.read_text(encoding="utf-8")))
        sources, _ = facts["source"]["sha256"], facts["domain_check"]["status"]
    except (OSError, ValueError, KeyError, TypeError):
        raise OutputError(
            f"{paths.volume.name} is there without a sound {paths.sidecar.name}, so that nobody knows what it was made "
            "from: remove it to translate the case anew."
        ) from None
    if file.is_file() and sources and len(sources) == 1 and sha256_of(file) not in sources:
        raise OutputError(
            f"{paths.volume.name} was made from another file than the one that is listed now: remove it to translate "
            "the case anew, or restore the file."
        )
    return facts


def _locked_precision(out: Path, asked: str) -> str | None:
    """Return what an earlier call found to pay, where this one leaves it open."""
    path = out / LOCK_FILE
    if asked != "auto" or not path.is_file():
        return None
    found = _read_lock(path).get("precision")
    return str(found) if found else None


def _read_lock(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise OutputError(f"{path.name} in {path.parent.name} is damaged: choose another folder with --out.") from None


def _keep_lock(path: Path, settings: Settings) -> None:
    """Write the settings of a new folder, or refuse to mix translations of two kinds in one.

    Raises
    ------
    OutputError
    """
    from medgan.formats import write_bytes

    now = json.loads(json.dumps(asdict(settings)))
    if not path.exists():
        write_bytes(path, (json.dumps(now, indent=1) + "\n").encode())
        return
    before = _read_lock(path)
    differing = [
        f"{name} was {before.get(name)!r}, now {value!r}" for name, value in now.items() if before.get(name) != value
    ]
    if differing:
        raise OutputError(
            f"Folder {path.parent.name} holds translations of other settings: {'; '.join(differing)}. Repeat those, or "
            "choose another folder with --out."
        )


def _written_summary(rows: Sequence[TranslatedRow], path: Path) -> Path:
    import pandas as pd

    from medgan.formats import write_bytes

    names = ("case_id", "subject_id", "status", "domain", "warning", "reason", "seconds")
    frame = pd.DataFrame([{name: getattr(row, name) for name in names} for row in rows], columns=list(names))
    return write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode(), overwrite=True)
