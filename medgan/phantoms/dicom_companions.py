"""What lies beside a series in its folder: localizers, reports, screenshots, another series, and no DICOM at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from medgan.geometry import AxisMap
from medgan.phantoms.dicom_file import DicomFile, RawFile, set_element
from medgan.phantoms.dicom_series import DicomSeries
from medgan.phantoms.dicom_slices import new_uid, slices_of
from medgan.volume import Volume

_STUDY = (
    "SpecificCharacterSet",
    "StudyDate",
    "ContentDate",
    "StudyTime",
    "ContentTime",
    "AccessionNumber",
    "Manufacturer",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
)


@dataclass(frozen=True)
class Localizer:
    """A survey of three single slices, one along each axis, in a series of its own."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with three more files beside it."""
        header = replace(series.header, series_uid=new_uid(generator), series_number=99)
        volume = series.truth[0]
        files: list[DicomFile] = []
        for order in ((0, 1, 2), (1, 2, 0), (0, 2, 1)):
            turned = volume.reordered(AxisMap(order, (False, False, False)))
            middle = turned.shape[2] // 2
            box = replace(turned.grid.box, start_ijk=(0, 0, middle), stop_ijk=(*turned.shape[:2], middle + 1))
            one: Volume = turned.read(box)
            files += slices_of(
                one,
                header,
                generator,
                first_number=len(files) + 1,
                stem="LOC",
                image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
            )
        return replace(series, beside=(*series.beside, *(file.touched(self) for file in files)))


@dataclass(frozen=True)
class SecondSeries:
    """Another good series of the same study in the same folder, with other values.

    Parameters
    ----------
    step : int
        Added to every value.
    """

    step: int = 500

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the slices of another beside it; both are in the truth."""
        header = replace(series.header, series_uid=new_uid(generator), series_number=2)
        volume = series.truth[0]
        other = replace(volume, array=volume.array + np.float32(self.step))
        files = slices_of(other, header, generator, stem="B")
        beside = (*series.beside, *(file.touched(self) for file in files))
        return replace(series, beside=beside, truth=(*series.truth, other))


@dataclass(frozen=True)
class SecondaryCapture:
    """A screenshot in color: a secondary capture object."""

    rows: int = 24
    columns: int = 32

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the screenshot beside it."""
        pixels = generator.integers(0, 256, (1, self.rows, self.columns, 3), dtype=np.uint8)
        elements = {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
            "Modality": "OT",
            "ConversionType": "WSD",
            "SeriesNumber": "50",
            "InstanceNumber": "1",
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "RGB",
            "PlanarConfiguration": 0,
            "Rows": self.rows,
            "Columns": self.columns,
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "PixelRepresentation": 0,
        }
        file = object_of_study(series, generator, "SC_0001.dcm", elements)
        return replace(series, beside=(*series.beside, replace(file, pixels=pixels).touched(self)))


Kind = Literal["report", "structures", "document", "presentation"]


@dataclass(frozen=True)
class OtherObject:
    """An object without an image: a structured report, contours, an encapsulated PDF or a presentation state."""

    kind: Kind = "report"

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with the object beside it."""
        file = object_of_study(series, generator, f"{self.kind.upper()}.dcm", _object_elements(self.kind, series))
        return replace(series, beside=(*series.beside, file.touched(self)))


@dataclass(frozen=True)
class JunkFiles:
    """What file systems, viewers and people leave beside images, some of it made to look like DICOM."""

    def __call__(self, series: DicomSeries, generator: np.random.Generator) -> DicomSeries:
        """Return the series with files beside it that are no DICOM objects."""
        noise = generator.bytes
        junk = (
            RawFile(".DS_Store", b"\x00\x00\x00\x01Bud1" + noise(200)),
            RawFile("Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + noise(500)),
            RawFile("desktop.ini", b"[.ShellClassInfo]\r\nIconIndex=3\r\n"),
            RawFile("README.txt", b"Images of one examination.\n"),
            RawFile("autorun.inf", b"[autorun]\nopen=viewer.exe\n"),
            RawFile("viewer/viewer.exe", b"MZ" + noise(300)),
            RawFile("report.pdf", b"%PDF-1.4\n" + noise(100)),
            RawFile("key.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + noise(100)),
            RawFile("._IM_0001.dcm", b"\x00\x05\x16\x07" + noise(78)),
            RawFile("empty.dcm", b""),
            RawFile("zeros.dcm", bytes(400)),
            RawFile("noise", noise(700)),
            RawFile("noise.dcm", noise(700)),
        )
        return replace(series, beside=(*series.beside, *junk))


def object_of_study(
    series: DicomSeries, generator: np.random.Generator, name: str, elements: dict[str, Any]
) -> DicomFile:
    """Return a file without pixels of the same study and patient, in a series of its own."""
    from pydicom import Dataset

    dataset = Dataset()
    for keyword in _STUDY:
        if keyword in series.slices[0].dataset:
            dataset.add(series.slices[0].dataset[keyword])
    elements = {"SOPInstanceUID": new_uid(generator), "SeriesInstanceUID": new_uid(generator), **elements}
    for keyword, value in elements.items():
        set_element(dataset, keyword, value)
    return DicomFile(name, dataset, None)


def _object_elements(kind: Kind, series: DicomSeries) -> dict[str, Any]:
    number = {"SeriesNumber": "60", "InstanceNumber": "1"}
    if kind == "report":
        concept = _item(CodeValue="18748-4", CodingSchemeDesignator="LN", CodeMeaning="Diagnostic imaging report")
        finding = _item(CodeValue="121071", CodingSchemeDesignator="DCM", CodeMeaning="Finding")
        text = _item(
            RelationshipType="CONTAINS", ValueType="TEXT", TextValue="A phantom.", ConceptNameCodeSequence=[finding]
        )
        return {
            **number,
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11",
            "Modality": "SR",
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "UNVERIFIED",
            "ReferencedPerformedProcedureStepSequence": [],
            "PerformedProcedureCodeSequence": [],
            "ValueType": "CONTAINER",
            "ContinuityOfContent": "SEPARATE",
            "ConceptNameCodeSequence": [concept],
            "ContentSequence": [text],
        }
    if kind == "structures":
        item = _item(
            ROINumber="1",
            ReferencedFrameOfReferenceUID=series.header.frame_uid,
            ROIName="body",
            ROIGenerationAlgorithm="",
        )
        return {
            **number,
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3",
            "Modality": "RTSTRUCT",
            "StructureSetLabel": "phantom",
            "StructureSetDate": "",
            "StructureSetTime": "",
            "StructureSetROISequence": [item],
            "ROIContourSequence": [],
            "RTROIObservationsSequence": [],
        }
    if kind == "document":
        return {
            **number,
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1",
            "Modality": "DOC",
            "ConversionType": "WSD",
            "BurnedInAnnotation": "NO",
            "DocumentTitle": "",
            "ConceptNameCodeSequence": [],
            "MIMETypeOfEncapsulatedDocument": "application/pdf",
            "EncapsulatedDocument": b"%PDF-1.4\n%%EOF\n ",
        }
    first = series.slices[0].dataset
    image = _item(ReferencedSOPClassUID=first.SOPClassUID, ReferencedSOPInstanceUID=first.SOPInstanceUID)
    reference = _item(SeriesInstanceUID=series.header.series_uid, ReferencedImageSequence=[image])
    return {
        **number,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.11.1",
        "Modality": "PR",
        "ContentLabel": "PHANTOM",
        "ContentDescription": "",
        "ContentCreatorName": "",
        "PresentationCreationDate": "20200102",
        "PresentationCreationTime": "101112",
        "ReferencedSeriesSequence": [reference],
        "PresentationLUTShape": "IDENTITY",
    }


def _item(**elements: Any) -> Any:
    from pydicom import Dataset

    item = Dataset()
    for keyword, value in elements.items():
        set_element(item, keyword, value)
    return item


def with_beside(series: DicomSeries, files: Sequence[DicomFile | RawFile]) -> DicomSeries:
    """Return the series with any other files beside it."""
    return replace(series, beside=(*series.beside, *files))
