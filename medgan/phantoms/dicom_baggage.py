"""What headers carry besides: icons with pixels of their own, long private elements, lost VRs, trailing padding."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from medgan.phantoms.dicom_file import DicomFile, copied, set_element
from medgan.phantoms.dicom_series import DicomSeries

if TYPE_CHECKING:
    from pydicom import Dataset

_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")


@dataclass(frozen=True)
class IconImage:
    """An icon in each header: an item with Rows, Columns, position and PixelData of its own, before the image's."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with icons."""
        return series.mapped(self._with_icon)

    def _with_icon(self, file: DicomFile) -> DicomFile:
        from pydicom import Dataset as NewDataset

        icon = NewDataset()
        elements = {
            "ImagePositionPatient": ["1", "2", "3"],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 2,
            "Columns": 2,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelRepresentation": 0,
            "RescaleSlope": "9",
        }
        for keyword, value in elements.items():
            set_element(icon, keyword, value)
        set_element(icon, "PixelData", bytes([1, 2, 3, 4]), vr="OB")
        return file.with_elements(IconImageSequence=[icon]).touched(self)


@dataclass(frozen=True)
class LongPrivate:
    """A private element of many bytes before everything that matters, as raw data or protocols are.

    Parameters
    ----------
    size : int
        Bytes.
    """

    size: int = 300_000

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the private element in every file."""
        data = generator.bytes(self.size // 2 * 2)
        return series.mapped(lambda f: f.with_private(0x0009, "PHANTOM PROTOCOL", {0x10: ("OB", data)}).touched(self))


@dataclass(frozen=True)
class LostVr:
    """Elements whose VR an archive did not know: written as UN, with the same bytes."""

    keywords: tuple[str, ...] = _GEOMETRY

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with those elements as UN."""
        return series.mapped(self._lost)

    def _lost(self, file: DicomFile) -> DicomFile:
        dataset = copied(file.dataset)
        for keyword in self.keywords:
            if keyword in dataset:
                value = dataset[keyword].value
                parts = [value] if isinstance(value, str | int | float) else list(value)
                text = "\\".join(map(str, parts)).encode()
                set_element(dataset, keyword, text + b" " * (len(text) % 2), vr="UN")
        return replace(file, dataset=dataset).touched(self)


@dataclass(frozen=True)
class TrailingPadding:
    """DataSetTrailingPadding behind the pixels."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with padding at the end of every file."""
        return series.mapped(lambda file: file.with_elements(DataSetTrailingPadding=bytes(126)).touched(self))


@dataclass(frozen=True)
class OpenSequences:
    """Sequences and items without stated lengths, ended by delimiters, as many devices write them."""

    def __call__(self, series: DicomSeries, _: np.random.Generator) -> DicomSeries:
        """Return the series with open sequences; one is added where there is none."""
        return series.mapped(self._opened)

    def _opened(self, file: DicomFile) -> DicomFile:
        from pydicom import Dataset as NewDataset

        item = NewDataset()
        set_element(item, "CodeValue", "PHANTOM")
        changed = file.with_elements(AnatomicRegionSequence=[item])
        # Sequences are shared between files: a copy of its own can be marked.
        dataset = deepcopy(changed.dataset)
        _open(dataset)
        return replace(changed, dataset=dataset).touched(self)


def _open(dataset: Dataset) -> None:
    """Mark sequences for writing with delimiters, at every depth."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                _open(item)
