"""From files to findings: headers read in parallel, DICOM gathered into series and stacks, each judged."""

from __future__ import annotations

import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from medgan.errors import FormatError
from medgan.formats.chunked_findings import chunked_findings
from medgan.formats.dicom_file import DicomFile, opened_dicom, safe_label
from medgan.formats.dicom_projection import radiograph_finding
from medgan.formats.dicom_series import findings_of_series, series_key, series_order
from medgan.formats.file_tree import FileTree, file_tree
from medgan.formats.files import is_supported
from medgan.formats.finding import RADIOGRAPH, Finding, OtherObject, Progress
from medgan.formats.image_findings import image_findings
from medgan.formats.stored_file import StoredFile

_THREADS = 8
_BATCH = 64


def found_in(paths: Sequence[Path], progress: Progress | None) -> tuple[list[Finding], list[OtherObject]]:
    """Return the images below some paths, DICOM first, and what else belongs to their studies.

    Raises
    ------
    FormatError
        If a path does not exist.
    """
    with warnings.catch_warnings():
        # pydicom warns about untidy values; they are judged here, and its words may hold a value of a header.
        warnings.simplefilter("ignore")
        return _found(file_tree(list(paths)), progress)


def _found(tree: FileTree, progress: Progress | None) -> tuple[list[Finding], list[OtherObject]]:
    images = [stored for stored in tree.files if is_supported(stored.name)]
    candidates = [stored for stored in tree.files if not is_supported(stored.name)]
    files, unreadable = _opened(candidates, progress)
    series: dict[tuple[str, ...], list[DicomFile]] = defaultdict(list)
    radiographs: dict[tuple[str, ...], list[DicomFile]] = defaultdict(list)
    others: dict[tuple[tuple[str, ...], str, str | None], int] = Counter()
    for file in files:
        if file.other is None:
            series[series_key(file)].append(file)
        elif file.other == RADIOGRAPH:
            radiographs[series_key(file)].append(file)
        else:
            others[series_key(file), file.other, file.modality] += 1
    identity = frozenset(word for file in files for word in file.identity)
    findings = []
    for key in sorted(series, key=lambda key: series_order(key, series[key])):
        found, localizers = findings_of_series(
            [file.labeled(n, identity) for n, file in enumerate(series[key], start=1)]
        )
        findings += found
        if localizers:
            others[key, "localizer", series[key][0].modality] += localizers
    projections = [
        file
        for key in sorted(radiographs, key=lambda key: series_order(key, radiographs[key]))
        for file in radiographs[key]
    ]
    findings += [radiograph_finding(file.labeled(n, identity)) for n, file in enumerate(projections, start=1)]
    for n, (name, reason) in enumerate(unreadable, start=1):
        sentence = reason if name in reason else f"{safe_label(name, n, identity)}: {reason}"
        findings.append(Finding("dicom_file", None, None, "refused", (sentence,), 1, None))
    findings += image_findings(images)
    findings += chunked_findings(tree.stores)
    for kind, name, sentence in tree.refused:
        findings.append(Finding(kind, None, None, "refused", (sentence,), 0, None, label=safe_label(name, 1, identity)))
    other = [OtherObject(kind, modality, count) for (_, kind, modality), count in others.items()]
    if tree.archives:
        other.append(OtherObject("archive", None, tree.archives))
    return findings, sorted(other, key=lambda each: (each.kind, each.modality or "", each.files))


def _opened(stored: Sequence[StoredFile], progress: Progress | None) -> tuple[list[DicomFile], list[tuple[str, str]]]:
    """Return the DICOM files among files, and a sentence for each that cannot be read."""
    files: list[DicomFile] = []
    unreadable: list[tuple[str, str]] = []
    batches = [stored[start : start + _BATCH] for start in range(0, len(stored), _BATCH)]
    with ThreadPoolExecutor(min(_THREADS, 2 * (os.cpu_count() or 1))) as pool:
        done = 0
        for batch, outcomes in zip(batches, pool.map(_opened_batch, batches)):
            for one, outcome in zip(batch, outcomes):
                if isinstance(outcome, DicomFile):
                    files.append(outcome)
                elif outcome is not None:
                    unreadable.append((one.name, outcome))
            done += len(batch)
            if progress is not None:
                progress(done, len(stored))
    return files, unreadable


def _opened_batch(batch: Sequence[StoredFile]) -> list[DicomFile | str | None]:
    return [_opened_one(stored) for stored in batch]


def _opened_one(stored: StoredFile) -> DicomFile | str | None:
    try:
        return opened_dicom(stored)
    except FormatError as error:
        return str(error)
