"""Putting a planned series on disk: a folder, a folder with its DICOMDIR, or a zip archive."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path, PurePosixPath

from medgan.errors import OutputError
from medgan.phantoms.dicom_file import DicomFile, RawFile
from medgan.phantoms.dicom_series import DicomSeries

_ZIP_TIME = (2020, 1, 2, 10, 11, 12)

ESCAPING_NAMES = ("../escaped.dcm", "/escaped_absolute.dcm", "inside/../../escaped_up.dcm", "..\\escaped_windows.dcm")
"""Names of archive members that would be written outside the folder that the archive is unpacked in."""


def write_series(series: DicomSeries, folder: str | Path) -> tuple[Path, ...]:
    """Write every file of a series below a folder, which is made if needed.

    Returns
    -------
    tuple of Path
        In the order of ``series.files``.

    Raises
    ------
    OutputError
        If two files have one name, or a name leads out of the folder.
    """
    folder = Path(folder)
    names = [file.name for file in series.files]
    if len({name.lower() for name in names}) < len(names):
        raise OutputError("Two files of one series have the same name: rename one of them.")
    paths = []
    for file in series.files:
        parts = PurePosixPath(file.name)
        if parts.is_absolute() or ".." in parts.parts:
            raise OutputError(f"{parts.name}: a file of a series stays in its folder.")
        path = folder / parts
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.as_bytes)
        paths.append(path)
    return tuple(paths)


def write_file_set(series: DicomSeries, folder: str | Path) -> Path:
    """Write the DICOM objects of a series as a file set and return the path of its DICOMDIR.

    Raises
    ------
    OutputError
        If the folder is not empty.

    Notes
    -----
    Names and folders are those of pydicom's ``FileSet``; files that are no DICOM objects are left out.
    """
    from pydicom import dcmread
    from pydicom.fileset import FileSet
    from pydicom.uid import UID

    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"{folder.name}: a file set is written into an empty folder.")
    files = FileSet()
    try:
        files.UID = UID(f"{series.header.study_uid[:60]}.1")
        for file in series.files:
            if isinstance(file, DicomFile):
                files.add(dcmread(io.BytesIO(file.as_bytes)))
        files.write(folder)
    finally:
        # A file set leaves its temporary folder to the garbage collector, which warns about it.
        files._stage["t"].cleanup()
    return folder / "DICOMDIR"


def write_archive(
    series: DicomSeries, path: str | Path, *, escaping: bool = False, links: bool = False, folder: str = "series"
) -> Path:
    """Write a series as a zip archive.

    Parameters
    ----------
    series : DicomSeries
    path : path
    escaping : bool
        Add a copy of the first slice under each of :data:`ESCAPING_NAMES`.
    links : bool
        Add a member that is a symbolic link to a file outside.
    folder : str
        Folder of the members in the archive.
    """
    path = Path(path)
    members: list[RawFile | DicomFile] = list(series.files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in members:
            archive.writestr(_member(f"{folder}/{file.name}"), file.as_bytes)
        if escaping:
            for name in ESCAPING_NAMES:
                archive.writestr(_member(name), members[0].as_bytes)
        if links:
            link = _member(f"{folder}/link.dcm")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "../../outside.dcm")
    return path


def _member(name: str) -> zipfile.ZipInfo:
    # A fixed time, so that the same series gives the same bytes.
    member = zipfile.ZipInfo(name, _ZIP_TIME)
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member
