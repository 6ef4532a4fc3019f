"""``medgan translate --manifest``: every image of a list, restartable, with a table of how each went."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from medgan.commands.console import Console
from medgan.commands.out_of_core_hands import Hands
from medgan.commands.out_of_core_run import Tally, done_by
from medgan.commands.translate import TrustOptions, chosen_bundle, translate
from medgan.commands.translate_files import OutputPaths
from medgan.commands.translate_list import ListedImage, listed_images
from medgan.errors import MedganError, OutputError, SettingsError
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import Do
from medgan.volume.side_by_side import usable_cores

MANIFEST, SUMMARY_FILE = "translation.manifest", "summary.csv"
TRIES = 1
"""A case that fails fails again: it is tried once a call."""
ALL_TRANSLATED, SOME_FAILED, NONE_TRANSLATED = 0, 3, 2
"""Exit codes."""


@dataclass(frozen=True)
class TranslatedRow:
    """How the translation of one image went.

    Attributes
    ----------
    case_id, subject_id : str
    status : str
        ``translated`` now, ``kept`` from an earlier call, ``failed``, or ``running`` elsewhere.
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
    whole: bool = False


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
    whole: bool = False,
    device: str = "auto",
    precision: str = "auto",
    hands: Hands | None = None,
    console: Console,
) -> dict[str, Any]:
    """Translate all images of a list into one folder; what is finished there is kept, so a killed call continues.

    Parameters
    ----------
    table : Path
        See :func:`~medgan.commands.translate_list.listed_images`.
    out : Path
        Folder. Every case gets CASE_sct.nii.gz with sidecar and picture; ``summary.csv`` says how each went, and
        ``translation.manifest`` holds the settings that other calls must repeat and who does which case.
    data_root : Path, optional
        Folder that the list's paths start from; the list's own if not given.
    model, modality, allow_gap, orthogonal, assume_axes, uncertainty, members, whole, device, precision
        As for :func:`~medgan.commands.translate.translate`, for all cases. A modality in the list stands before
        ``modality``.
    hands : Hands, optional
        Who works; this process if not given.
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
    hands = hands or Hands()
    chosen = resolve_device(device)
    processes = 1 if hands.workers is None else min(hands.processes(chosen, usable_cores()), usable_cores())
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
        whole=whole,
    )
    made_folder(out)
    manifest = BlockManifest.opened(
        out.resolve() / MANIFEST, {"kind": "cases of a translated cohort", **asdict(settings)}
    )
    rules = hands.rules(tries=TRIES)
    work = CohortTranslation(
        images={image.case_id: replace(image, file=image.file.absolute()) for image in images},
        data_root=root.resolve(),
        out=out.resolve(),
        model=str(bundle.folder.resolve()),
        suffix=bundle.facts.target.domain,
        settings=settings,
        members=tuple(str(member.folder.resolve()) for member in member_bundles),
        device=chosen,
        run=rules.run,
    )
    work.let_go_what_is_gone(manifest)
    tally = done_by(
        hands,
        work,
        manifest,
        tuple(work.images),
        processes=processes,
        threads=max(1, usable_cores() // processes),
        rules=rules,
        words="translating",
        console=console,
    )
    rows = [_row(image, manifest, tally, rules.run) for image in images]
    summary = _written_summary(rows, out / SUMMARY_FILE)
    statuses = [row.status for row in rows]
    return {
        "folder": str(out),
        "model": settings.model,
        **{status: statuses.count(status) for status in ("translated", "kept", "failed", "running")},
        "outside_domain": sum(row.domain == "outside" for row in rows),
        "cases": [asdict(row) for row in rows],
        "summary": str(summary),
    }


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where no image failed, 3 where some did, 2 where all did."""
    if not facts["failed"]:
        return ALL_TRANSLATED
    return SOME_FAILED if facts["translated"] or facts["kept"] or facts["running"] else NONE_TRANSLATED


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the outcome for people: numbers, each failed case with its reason, and where to read more."""
    lines = [
        f"{facts['translated']} translated, {facts['kept']} kept from before, {facts['failed']} failed; "
        f"{facts['outside_domain']} outside the domain that {facts['model']} was trained on"
    ]
    lines += [f"failed: {case['case_id']}: {case['reason']}" for case in facts["cases"] if case["status"] == "failed"]
    if facts["running"]:
        lines.append(f"Others work on {facts['running']} more; whoever is last writes the whole summary.")
    return [*lines, facts["summary"]]


@dataclass(frozen=True)
class CohortTranslation:
    """What a worker needs to translate the cases of a list.

    Parameters
    ----------
    images : mapping of str to ListedImage
        By case.
    data_root, out : Path
    model : str
        Folder of the bundle.
    suffix : str
        Of outputs' names.
    settings : Settings
    members : tuple of str
    device : str
    run : str
    """

    images: Mapping[str, ListedImage] = field(repr=False)
    data_root: Path
    out: Path
    model: str
    suffix: str
    settings: Settings
    members: tuple[str, ...]
    device: str
    run: str

    def opened(self) -> Do:
        """Return what translates a case; each loads the model anew, as a single call does."""
        return self.translated

    def translated(self, case_id: str) -> dict[str, Any]:
        """Translate one case and say how it went.

        Raises
        ------
        MedganError
            If the image is refused or its result cannot be written.
        """
        begun = time.perf_counter()
        image, settings = self.images[case_id], self.settings
        file, paths = image.located(self.data_root), self.paths_of(image)
        earlier = _finished(paths, file)
        facts = earlier or translate(
            file,
            model=self.model,
            out=paths.volume,
            modality=image.modality or settings.modality,
            series=image.series,
            allow_gap=settings.allow_gap,
            orthogonal=settings.orthogonal,
            assume_axes=settings.assume_axes,
            uncertainty=settings.uncertainty,
            members=self.members,
            whole=settings.whole,
            device=self.device,
            precision=settings.precision,
            # A killed call may have left all but the volume, which comes last.
            overwrite=True,
            console=Console(quiet=True),
        )
        notices = facts["notices"] if earlier is None else []
        warning = facts["domain_warning"] or ""
        return {
            "run": self.run if earlier is None else "",
            "domain": facts["domain_check"]["status"],
            "warning": warning,
            "notices": notices,
            "said": [*notices, *([warning] if warning else [])],
            "seconds": round(time.perf_counter() - begun, 3),
        }

    def paths_of(self, image: ListedImage) -> OutputPaths:
        """Return where a case's outputs stand."""
        return OutputPaths.beside(image.file, out=self.out, suffix=self.suffix, stem=image.case_id)

    def let_go_what_is_gone(self, manifest: BlockManifest) -> None:
        """Let cases be done again whose result was removed, or was made from another file than is listed now."""
        for case_id in manifest.done_keys() & set(self.images):
            image = self.images[case_id]
            try:
                is_kept = _finished(self.paths_of(image), image.located(self.data_root)) is not None
            except MedganError:
                is_kept = False
            if not is_kept:
                manifest.forget(case_id)


def _row(image: ListedImage, manifest: BlockManifest, tally: Tally, run: str) -> TranslatedRow:
    case = image.case_id
    if case in tally.running:
        return TranslatedRow(case, image.subject_id, "running")
    if case not in tally.done:
        why = tally.failed.get(case) or " ".join((*tally.stopped, *tally.events))
        return TranslatedRow(case, image.subject_id, "failed", reason=why)
    facts = manifest.done_facts(case)
    is_new = facts["run"] == run
    return TranslatedRow(
        case,
        image.subject_id,
        "translated" if is_new else "kept",
        domain=facts["domain"],
        warning=facts["warning"],
        notices=tuple(facts["notices"]) if is_new else (),
        seconds=facts["seconds"],
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
    folder = out / MANIFEST
    if asked != "auto" or not folder.is_dir():
        return None
    found = BlockManifest(folder).facts.get("precision")
    return str(found) if found else None


def _written_summary(rows: Sequence[TranslatedRow], path: Path) -> Path:
    import pandas as pd

    from medgan.formats import write_bytes

    names = ("case_id", "subject_id", "status", "domain", "warning", "reason", "seconds")
    frame = pd.DataFrame([{name: getattr(row, name) for name in names} for row in rows], columns=list(names))
    return write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode(), overwrite=True)
