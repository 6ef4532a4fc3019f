"""Read one radiograph: DICOM, PNG or JPEG, recognized by its first bytes."""

from __future__ import annotations

from pathlib import Path

from medgan.errors import FormatError
from medgan.formats.byte_stream import read_prefix
from medgan.formats.dicom_parsing import begins_as_dicom
from medgan.formats.radiograph_dicom import read_dicom_radiograph
from medgan.formats.radiograph_file import RadiographFile
from medgan.formats.raster import is_raster, read_raster

SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")
"""Suffixes that a radiograph usually has; its first bytes decide."""
_HEAD = 256


def read_radiograph(path: str | Path) -> RadiographFile:
    """Read a radiograph from a DICOM, PNG or JPEG file, or refuse it in one sentence.

    Parameters
    ----------
    path : path

    Returns
    -------
    RadiographFile
        With the radiograph NORMALIZED to [-1, 1], larger values displayed brighter.

    Raises
    ------
    FormatError
        If the file is missing, damaged, of another kind, colored, or not one image.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path.name} is a folder: a radiograph is one file. Name the file.")
    head = read_prefix(path, _HEAD)
    if is_raster(head):
        return read_raster(path)
    if begins_as_dicom(head):
        return read_dicom_radiograph(path)
    raise FormatError(
        f"{path.name}: a radiograph is a DICOM, PNG or JPEG file, and this begins like none of them. "
        "Export it in one of these formats."
    )
