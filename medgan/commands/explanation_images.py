"""Which radiographs are explained: files that a user names, or the rows of a list; never a name from a header."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.errors import CohortError, FormatError, InferenceError, MedganError

if TYPE_CHECKING:
    from medgan.commands.console import Console
    from medgan.inference.classifier_facts import RadiographDomain
    from medgan.volume.radiograph_placement import RadiographPlacement

Float32 = npt.NDArray[np.float32]
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
COLUMNS = ("case_id", "path", "subject_id", "label")


@dataclass(frozen=True, eq=False)
class ExplainedImage:
    """One radiograph as the models see it.

    Parameters
    ----------
    case_id, subject_id : str
        Pseudonyms; ``subject_id`` is empty where it is not known.
    image : (h, w) float32
        In [-1, 1].
    label : str or None
        Its true class, where one is known.
    placement : RadiographPlacement or None
        Brings maps back onto the original pixels; None where the image is the original.
    sha256 : str
        Of the file or of the pixels.
    facts : mapping
        How the pixels were read, for the record.
    lesion : (h, w) bool, optional
        Where the finding is, where that is known.
    """

    case_id: str
    subject_id: str
    image: Float32
    label: str | None
    placement: RadiographPlacement | None
    sha256: str
    facts: dict[str, Any] = field(default_factory=dict)
    lesion: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class ExplainedCohort:
    """The radiographs of one explanation, and those that were refused.

    Parameters
    ----------
    images : tuple of ExplainedImage
    refused : mapping of case to sentence
    knows_subjects : bool
    """

    images: tuple[ExplainedImage, ...]
    refused: dict[str, str] = field(default_factory=dict)
    knows_subjects: bool = False


@dataclass(frozen=True)
class ListedRadiograph:
    """One radiograph to read: its case and file, and what a list says of it."""

    case_id: str
    file: Path
    subject_id: str = ""
    label: str | None = None


def named_images(files: Sequence[Path]) -> tuple[ListedRadiograph, ...]:
    """Return one row a file: the stem of a PNG or JPEG, ``dx_series01`` for a DICOM file.

    Raises
    ------
    FormatError
        If a file is absent or cannot be read.
    """
    from medgan.formats.byte_stream import read_prefix
    from medgan.formats.raster import is_raster

    rows: list[ListedRadiograph] = []
    names: Counter[str] = Counter()
    for number, file in enumerate(files, start=1):
        if file.is_dir():
            raise FormatError(f"{file.name} is a folder: name the files in it, or list them with --cohort.")
        # A DICOM file is often named after a person or an instance; a picture's name is the user's own.
        stem = _safe(file.stem) if is_raster(read_prefix(file, 256)) else f"{_modality(file)}_series{number:02d}"
        names[stem] += 1
        rows.append(ListedRadiograph(stem if names[stem] == 1 else f"{stem}_{names[stem]}", file))
    return tuple(rows)


def listed_radiographs(table: Path, *, data_root: Path | None) -> tuple[ListedRadiograph, ...]:
    """Return the rows of a list: ``case_id`` and ``path``, and ``subject_id`` and ``label`` where it has them.

    Raises
    ------
    CohortError
        If it is no such list, with every fault at once.
    """
    root = data_root or table.parent
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [c for c in (reader.fieldnames or []) if c]
            lines = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        raise CohortError(f"{table.name} must be a readable CSV table of radiographs.") from None
    missing = [name for name in COLUMNS[:2] if name not in columns]
    if missing:
        raise CohortError(
            f"{table.name} must have the columns case_id and path, and may have subject_id and label: "
            f"{' and '.join(missing)} is missing."
        )
    faults: list[str] = []
    rows: list[ListedRadiograph] = []
    for number, line in enumerate(lines, start=2):
        case, path = (line.get("case_id") or "").strip(), (line.get("path") or "").strip()
        if not _IDENTIFIER.fullmatch(case):
            faults.append(f"line {number}: case_id must be letters, digits, '_', '.', '-': found {case!r}")
        elif any(case == other.case_id for other in rows):
            faults.append(f"line {number}: case {case} occurs twice")
        elif not path:
            faults.append(f"line {number}: case {case} has no path")
        else:
            label = (line.get("label") or "").strip() or None
            rows.append(ListedRadiograph(case, root / path, (line.get("subject_id") or "").strip(), label))
    if faults:
        raise CohortError(f"{table.name} has {len(faults)} fault(s): {'; '.join(faults[:8])}.")
    if not rows:
        raise CohortError(f"{table.name} lists no radiograph.")
    return tuple(rows)


def read_images(
    rows: Sequence[ListedRadiograph],
    domain: RadiographDomain,
    *,
    classes: Sequence[str],
    model: str,
    accept_domain: bool,
    is_list: bool,
    console: Console,
) -> ExplainedCohort:
    """Read and prepare radiographs.

    Parameters
    ----------
    rows : sequence of rows
        By :func:`named_images` or :func:`listed_radiographs`.
    domain : RadiographDomain
        Of the classifier.
    classes : sequence of str
        Labels that are known.
    model : str
        The classifier's name, for messages.
    accept_domain : bool
        Go on with radiographs that are not of its domain.
    is_list : bool
        Whether one that is refused leaves the others standing.

    Raises
    ------
    MedganError
        If a file is refused, unless it is one of a list; if all of a list are.
    """
    images: list[ExplainedImage] = []
    refused: dict[str, str] = {}
    with console.progress("reading radiographs") as advance:
        for done, row in enumerate(rows, start=1):
            try:
                images.append(_read(row, domain, classes, model, accept_domain, console))
            except MedganError as error:
                if not is_list:
                    raise
                refused[row.case_id] = str(error)
                console.notice(f"{row.case_id} refused: {error}")
            advance(done, len(rows))
    if not images:
        raise InferenceError(f"No radiograph of the list can be explained. The first: {next(iter(refused.values()))}")
    return ExplainedCohort(tuple(images), refused, knows_subjects=all(one.subject_id for one in images))


def _read(
    row: ListedRadiograph,
    domain: RadiographDomain,
    classes: Sequence[str],
    model: str,
    accept_domain: bool,
    console: Console,
) -> ExplainedImage:
    from medgan.formats.radiograph import read_radiograph
    from medgan.inference.classifier_input import prepared_radiograph
    from medgan.settings import meant

    if row.label is not None and row.label not in classes:
        raise CohortError(f"Case {row.case_id} has label {row.label!r}. {meant(row.label, list(classes))}")
    file = read_radiograph(row.file)
    # The file's own name may be a person's; the case's name is not.
    prepared = prepared_radiograph(file.radiograph, domain, name=row.case_id, model=model, accept_domain=accept_domain)
    for notice in (*file.notices, *prepared.notices):
        console.notice(notice if notice.startswith(row.case_id) else f"{row.case_id}: {notice}")
    return ExplainedImage(
        case_id=row.case_id,
        subject_id=row.subject_id,
        image=np.ascontiguousarray(prepared.image, dtype=np.float32),
        label=row.label,
        placement=prepared.placement,
        sha256=hashlib.sha256(row.file.read_bytes()).hexdigest(),
        facts={
            "stages": [dict(stage) for stage in file.stages],
            "pixel_spacing_mm": None if file.radiograph.spacing_mm is None else list(file.radiograph.spacing_mm),
            "view": file.view,
            "marked_synthetic": file.is_marked_synthetic,
            "in_domain": prepared.is_accepted_domain,
            "notices": [*file.notices, *prepared.notices],
        },
    )


def _modality(file: Path) -> str:
    from medgan.formats.dicom_file import opened_dicom
    from medgan.formats.stored_file import DiskFile
    from medgan.formats.stored_image import file_size

    opened = opened_dicom(DiskFile(file, file_size(file)))
    return (opened.modality or "image").lower() if opened is not None else "image"


def _safe(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-") or "image"
