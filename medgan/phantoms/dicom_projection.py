"""Radiographs as DICOM files: one projection each, without a place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from medgan.phantoms.dicom_companions import object_of_study
from medgan.phantoms.dicom_series import DicomSeries

_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
}
SPACING_MM = (0.2, 0.15)
"""Between rows, and between columns."""


@dataclass(frozen=True)
class RadiographBeside:
    """A radiograph of the same patient beside a series.

    Parameters
    ----------
    modality : {"CR", "DX", "MG"}
    rows, columns, frames : int
    spacing : {"body", "detector", "none"}
        Which attribute states the distance between pixels.
    is_class_only : bool
        Leave Modality out: the SOP class says what it is.
    """

    modality: Literal["CR", "DX", "MG"] = "CR"
    rows: int = 20
    columns: int = 30
    frames: int = 1
    spacing: Literal["body", "detector", "none"] = "body"
    is_class_only: bool = False

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the radiograph beside it."""
        elements: dict[str, Any] = {
            "SOPClassUID": _CLASSES[self.modality],
            "Modality": "" if self.is_class_only else self.modality,
            "SeriesNumber": "70",
            "InstanceNumber": str(len(series.beside) + 1),
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "BodyPartExamined": "CHEST",
            "ViewPosition": "PA",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME1",
            "Rows": self.rows,
            "Columns": self.columns,
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
        }
        if self.spacing != "none":
            keyword = "PixelSpacing" if self.spacing == "body" else "ImagerPixelSpacing"
            elements[keyword] = [str(distance) for distance in SPACING_MM]
        if self.frames > 1:
            elements["NumberOfFrames"] = str(self.frames)
        file = object_of_study(series, generator, f"{self.modality}_{len(series.beside) + 1:04d}.dcm", elements)
        pixels = generator.integers(0, 4096, (self.frames, self.rows, self.columns)).astype(np.uint16)
        return replace(series, beside=(*series.beside, replace(file, pixels=pixels).touched(self)))
