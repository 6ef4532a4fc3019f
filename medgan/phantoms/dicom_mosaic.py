"""A Siemens mosaic: the slices of one volume as tiles of one image."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medgan.errors import VolumeError
from medgan.phantoms.dicom_file import decimal
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import new_uid, orientation_of, placed, position_of

_CSA_IMAGE_HEADER = 0x10
_TILES_IN_MOSAIC = 0x0A


@dataclass(frozen=True)
class SiemensMosaic:
    """All slices of an MR series as tiles of one image.

    Parameters
    ----------
    is_private_kept : bool
        Whether the private elements say how many tiles there are and in which direction they are stacked; without
        them, only ImageType says that the image is a mosaic.

    Notes
    -----
    Tiles run along the rows of a square arrangement. ImagePositionPatient is what the corner of the large image would
    be if it had the center of the first slice, so it lies outside the slice: a reader moves it back by half the
    difference of the sizes.
    """

    is_private_kept: bool = True

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series as one file."""
        slices = series.slices
        first = slices[0]
        if first.pixels is None or len(slices) < 2:
            raise VolumeError("A mosaic needs two slices or more.")
        _, rows, columns = first.pixels.shape
        side = int(np.ceil(np.sqrt(len(slices))))
        mosaic = np.zeros((1, side * rows, side * columns), dtype=first.pixels.dtype)
        for n, file in enumerate(slices):
            row, column = n // side * rows, n % side * columns
            mosaic[0, row : row + rows, column : column + columns] = file.pixels
        axes = orientation_of(first)
        step = position_of(slices[1]) - position_of(first)
        down_mm, along_mm = (float(x) for x in first.dataset.PixelSpacing)
        corner = position_of(first) - axes[0] * along_mm * (side - 1) * columns / 2
        corner -= axes[1] * down_mm * (side - 1) * rows / 2
        file = first.with_elements(
            SOPInstanceUID=new_uid(generator),
            ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            Manufacturer="SIEMENS",
            Rows=side * rows,
            Columns=side * columns,
            SpacingBetweenSlices=decimal(float(np.linalg.norm(step))),
            AcquisitionMatrix=[0, rows, columns, 0],
        )
        if self.is_private_kept:
            header = csa_header({"NumberOfImagesInMosaic": [len(slices)], "SliceNormalVector": _unit(step)})
            file = file.with_private(0x0019, "SIEMENS MR HEADER", {_TILES_IN_MOSAIC: ("US", len(slices))})
            file = file.with_private(0x0029, "SIEMENS CSA HEADER", {_CSA_IMAGE_HEADER: ("OB", header)})
        return replace(series, slices=(replace(placed(file, corner), pixels=mosaic).touched(self),))


def _unit(vector: np.ndarray) -> list[float]:
    return [float(x) for x in vector / np.linalg.norm(vector)]


def csa_header(tags: dict[str, Sequence[float | int]]) -> bytes:
    """Return a CSA header of version 2 ("SV10") with numbers.

    Notes
    -----
    Layout after nibabel's ``nicom/csareader.py`` and its description, https://nipy.org/nibabel/dicom/siemens_csa.html:
    "SV10", four bytes, number of tags, 77; for each tag a name of 64 bytes, multiplicity, VR, type, number of items
    and 77; for each item four integers, of which the second is its length, and its text padded to four bytes. Scanners
    write six items or more, empty ones behind the values.
    """
    data = b"SV10" + bytes([4, 3, 2, 1]) + struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        is_whole = all(isinstance(value, int) for value in values)
        texts = [(f"{v}" if is_whole else f"{v:.8f}").encode() + b"\0" for v in values]
        texts += [b""] * max(0, 6 - len(texts))
        vr, kind = (b"US", 7) if is_whole else (b"FD", 4)
        data += struct.pack("<64si4siii", name.encode(), len(values), vr + b"\0\0", kind, len(texts), 77)
        for text in texts:
            data += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + bytes(-len(text) % 4)
    return data + bytes(len(data) % 2)
