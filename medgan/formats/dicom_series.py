"""From the files of one series to findings: frames, stacks, judgements."""

from __future__ import annotations

from collections.abc import Sequence

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_codec import is_lossy
from medgan.formats.dicom_file import DicomFile
from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_gate import judge
from medgan.formats.dicom_localizer import without_localizers
from medgan.formats.dicom_multiframe import frames_of
from medgan.formats.dicom_object import is_mosaic
from medgan.formats.dicom_stack import Stack, stacks_of
from medgan.formats.dicom_volume import DicomStackSource
from medgan.formats.finding import LOSSY_WORDS, Finding, Verdict


def series_key(file: DicomFile) -> tuple[str, ...]:
    """Return what the files of one series share; where the series has no UID, its folder stands for it."""
    header = file.header
    series = header.text(tags.SERIES_INSTANCE) or f"folder {file.stored.folder}"
    return (header.text(tags.STUDY_INSTANCE), series, header.text(tags.SOP_CLASS), file.modality or "")


def series_order(key: tuple[str, ...], files: Sequence[DicomFile]) -> tuple[str | float, ...]:
    """Return a sort key: study, number of the series, UIDs."""
    numbers = [file.header.number(tags.SERIES_NUMBER) for file in files]
    return (key[0], min((n for n in numbers if n is not None), default=float("inf")), *key[1:])


def findings_of_series(files: Sequence[DicomFile]) -> tuple[list[Finding], int]:
    """Return what a series holds.

    Returns
    -------
    findings : list of Finding
        One for each stack, and one for the files that cannot be unpacked into slices.
    localizers : int
        How many of its files are localizers, which are no finding.
    """
    modality = files[0].modality
    frames: list[DicomFrame] = []
    faults: list[str] = []
    for file in files:
        try:
            frames += frames_of(file)
        except FormatError as error:
            faults.append(str(error))
    stacks, localizers = without_localizers(stacks_of(frames))
    findings = [_finding(stack, number, len(stacks), modality) for number, stack in enumerate(stacks, start=1)]
    if faults:
        kind = "dicom_mosaic" if is_mosaic(files[0].header) else "dicom_multiframe"
        more = f" {len(faults) - 1} more files of this series are refused likewise." if len(faults) > 1 else ""
        reasons = (faults[0] + more,)
        findings.append(Finding(kind, modality, None, "refused", reasons, len(faults), None, identity=files[0].patient))
    return findings, localizers


def _finding(stack: Stack, number: int, count: int, modality: str | None) -> Finding:
    judgement = judge(stack, modality)
    kind = _kind(stack, count)
    reasons = list(_words(stack, number, count))
    if kind == "dicom_mosaic":
        reasons.append(f"A Siemens mosaic of {len(stack.frames)} slices: it is unpacked.")
    if any(is_lossy(f.file.pixels.transfer_syntax, f.file.header.text(tags.LOSSY)) for f in stack.frames):
        reasons.append(LOSSY_WORDS)
    notices = tuple(reasons)
    reasons += [*judgement.corrections, *filter(None, (judgement.pending, judgement.refusal))]
    verdict: Verdict = "accepted"
    if judgement.refusal:
        verdict = "refused"
    elif judgement.corrections or judgement.pending:
        verdict = "corrected"
    return Finding(
        kind=kind,
        modality=modality,
        grid=None if judgement.placement is None or judgement.refusal else judgement.placement.grid,
        verdict=verdict,
        reasons=tuple(reasons),
        files=len({id(frame.file) for frame in stack.frames}),
        source=None if judgement.placement is None else DicomStackSource(judgement, modality, notices),
        has_gap=judgement.placement is not None and bool(judgement.placement.gap),
        identity=stack.frames[0].file.patient,
    )


def _kind(stack: Stack, count: int) -> str:
    first = stack.frames[0]
    if first.tile is not None:
        return "dicom_mosaic"
    if first.file.header.items(tags.FRAME_GROUPS):
        return "dicom_multiframe"
    return "dicom_series" if count == 1 else "dicom_stack"


def _words(stack: Stack, number: int, count: int) -> list[str]:
    if count == 1:
        return []
    words = ", ".join(stack.words) or "not told apart from the others"
    return [f"Stack {number} of {count} in its series: {words}."]
