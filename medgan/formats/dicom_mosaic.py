"""Siemens mosaics: all slices of a volume as tiles of one picture."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, sqrt
from typing import Any

import numpy as np

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_frame import DicomFrame
from medgan.formats.dicom_header import Header
from medgan.formats.siemens_csa import csa_texts

_MOST_TILES = 4096
_PARALLEL = 0.999


def tiles_of(frame: DicomFrame) -> tuple[DicomFrame, ...]:
    """Return the slices of a mosaic, each at its own place.

    Raises
    ------
    FormatError
        If the header does not say how many slices there are, how far apart, or in which direction they follow.

    Notes
    -----
    The tiles fill a square of ``ceil(sqrt(n))`` tiles a side, row by row, and the stated position is that of a picture
    of the mosaic's size around the first slice's center (nibabel, "Defining the DICOM orientation", Siemens mosaic).
    Slices follow each other in the direction of ``SliceNormalVector`` in Siemens' own header.
    """
    header, name = frame.file.header, frame.file.label
    count, normal = _csa(header)
    stated = header.whole(tags.SIEMENS_TILES) if count is None else count
    spacing = header.number(tags.SPACING_BETWEEN_SLICES) or header.number(tags.SLICE_THICKNESS)
    if stated is None or normal is None or spacing is None or not 1 <= stated <= _MOST_TILES or not spacing > 0:
        raise FormatError(
            f"{name} is a Siemens mosaic whose own header (CSA) with the number and the direction of its slices is "
            "missing or damaged: export it as single slices, or with private attributes."
        )
    side = ceil(sqrt(stated))
    if not frame.rows or not frame.columns or frame.rows % side or frame.columns % side:
        raise FormatError(
            f"{name} is a Siemens mosaic of {stated} slices: {frame.rows} x {frame.columns} pixels do not divide into "
            f"{side} x {side} tiles."
        )
    if frame.orientation is None or frame.position is None or frame.pixel_spacing is None:
        raise FormatError(f"{name} is a Siemens mosaic without position, orientation or pixel spacing.")
    rows, columns = frame.rows // side, frame.columns // side
    across, down = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    if abs(float(normal @ np.cross(across, down))) < _PARALLEL:
        raise FormatError(f"{name} is a Siemens mosaic whose slice normal contradicts its orientation.")
    first = np.array(frame.position)
    first = first + across * frame.pixel_spacing[1] * (frame.columns - columns) / 2
    first = first + down * frame.pixel_spacing[0] * (frame.rows - rows) / 2
    labels = {**frame.labels, "mosaic": f"{frame.file.stored.folder}/{frame.file.stored.name}"}
    tiles = []
    for k in range(stated):
        x, y, z = (float(v) for v in first + normal * spacing * k)
        tile = (k // side * rows, k % side * columns)
        tiles.append(replace(frame, rows=rows, columns=columns, tile=tile, position=(x, y, z), labels=labels))
    return tuple(tiles)


def _csa(header: Header) -> tuple[int | None, Any]:
    """Return number of slices and normal (3,) of Siemens' header, None where they are not there."""
    data = header.data(tags.CSA_IMAGE_HEADER)
    if data is None or not header.text(tags.CREATORS["SIEMENS CSA HEADER"]).startswith("SIEMENS CSA HEADER"):
        return None, None
    found = csa_texts(data, ("NumberOfImagesInMosaic", "SliceNormalVector")) or {}
    try:
        normal = np.array([float(text) for text in found.get("SliceNormalVector", ())])
        count = int(found["NumberOfImagesInMosaic"][0])
    except (KeyError, IndexError, ValueError):
        return None, None
    length = float(np.linalg.norm(normal)) if normal.shape == (3,) and np.isfinite(normal).all() else 0.0
    return count, normal / length if 0.9 < length < 1.1 else None
