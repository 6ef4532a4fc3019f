"""DICOMDIR: the table of contents of a medium."""

from __future__ import annotations

from pathlib import Path

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_parsing import LONGEST_HEADER, begins_as_dicom, parsed
from medgan.formats.stored_file import DiskFile
from medgan.formats.stored_image import file_size

_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


def listed_files(path: Path) -> tuple[list[Path], int, int]:
    """Return the files that a DICOMDIR lists and that are there, how many are missing, and how many lie outside.

    Raises
    ------
    FormatError
        If the file is no DICOMDIR, or a damaged one.

    Notes
    -----
    Media are often copied with other capitals, or with the version number of ISO 9660 behind the name: both are found.
    """
    data = DiskFile(path, file_size(path)).head(LONGEST_HEADER)
    found = parsed(data, is_whole=True) if begins_as_dicom(data) else None
    records = found.header.items(tags.DIRECTORY_RECORDS) if found is not None else ()
    if not records:
        raise FormatError(f"{path.name} is no DICOMDIR, or a damaged one: name the folder of the files instead.")
    files, missing, outside = [], 0, 0
    names: dict[Path, dict[str, str]] = {}
    for record in records:
        parts = record.words(tags.REFERENCED_FILE)
        if not parts:
            continue
        if any(part in ("", ".", "..") or "/" in part or ":" in part or "\0" in part for part in parts):
            outside += 1
            continue
        file = path.parent
        for part in parts:
            file = file / _entry_named(file, part, names)
        if file.is_file():
            files.append(file)
        else:
            missing += 1
    return files, missing, outside


def _entry_named(folder: Path, wanted: str, names: dict[Path, dict[str, str]]) -> str:
    if folder not in names:
        try:
            entries = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        except OSError:
            entries = []
        names[folder] = {entry.lower().split(";")[0]: entry for entry in entries}
    return names[folder].get(wanted.lower().split(";")[0], wanted)
