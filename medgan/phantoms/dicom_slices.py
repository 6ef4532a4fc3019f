"""The slices of a DICOM series: a header that they share, and one file for each plane of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from medgan.errors import GeometryError, VolumeError
from medgan.geometry import Grid
from medgan.phantoms.dicom_file import DicomFile, decimal, set_element
from medgan.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

Modality = Literal["CT", "MR"]
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
LPS = np.array([-1.0, -1.0, 1.0])
"""DICOM's world grows to the left, posterior and superior; a grid's to the right, anterior and superior."""

_LARGEST_COSINE = 1e-4


@dataclass(frozen=True)
class PixelForm:
    """How values become stored integers: ``value = slope * stored + intercept``.

    Parameters
    ----------
    bits_stored : int
        Of 16 allocated, or of 8 if at most 8 are stored unsigned.
    is_signed : bool
    slope, intercept : float or None
        None leaves the rescale elements out, as in MR Image Storage; the value is then the stored integer.
    """

    bits_stored: int = 16
    is_signed: bool = False
    slope: float | None = None
    intercept: float | None = None

    def stored(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the nearest stored integers: uint8, uint16 or int16.

        Raises
        ------
        VolumeError
            If a value does not fit into the bits stored.
        """
        slope, intercept = self.slope or 1.0, self.intercept or 0.0
        whole = np.rint((np.asarray(values, dtype=np.float64) - intercept) / slope)
        low = -(2 ** (self.bits_stored - 1)) if self.is_signed else 0
        high = low + 2**self.bits_stored - 1
        if whole.min() < low or whole.max() > high:
            raise VolumeError(
                f"A slice of {self.bits_stored} bits holds integers {low} to {high}: the image needs "
                f"{whole.min():.0f} to {whole.max():.0f}. Choose another slope or intercept."
            )
        if self.is_signed:
            return whole.astype(np.int16)
        return whole.astype(np.uint8 if self.bits_stored <= 8 else np.uint16)


CT_PIXELS = PixelForm(slope=1.0, intercept=-1024.0)
MR_PIXELS = PixelForm()


@dataclass(frozen=True)
class SeriesHeader:
    """What all files of a series share.

    Parameters
    ----------
    modality : {"CT", "MR"}
    study_uid, series_uid, frame_uid : str
    series_number : int
    pixel_form : PixelForm
    """

    modality: Modality
    study_uid: str
    series_uid: str
    frame_uid: str
    series_number: int = 1
    pixel_form: PixelForm = MR_PIXELS


def new_uid(generator: np.random.Generator) -> str:
    """Return a UID made of a random number (DICOM PS3.5, B.2)."""
    return f"2.25.{int.from_bytes(generator.bytes(15), 'big')}"


def quantized(volume: Volume, form: PixelForm) -> Volume:
    """Return the volume as its stored integers give it back."""
    values = form.stored(volume.array).astype(np.float64) * (form.slope or 1.0) + (form.intercept or 0.0)
    return replace(volume, array=values.astype(np.float32))


def slices_of(
    volume: Volume,
    header: SeriesHeader,
    generator: np.random.Generator,
    *,
    first_number: int = 1,
    stem: str = "IM",
    image_type: Sequence[str] = ("ORIGINAL", "PRIMARY", "AXIAL"),
) -> tuple[DicomFile, ...]:
    """Return one file for each slice of a volume, numbered in the order of the third axis."""
    orientation = image_orientation(volume.grid)
    stored = header.pixel_form.stored(volume.array)
    step = float(np.linalg.norm(volume.grid.affine[:3, 2]))
    shared = _shared_elements(header, step_mm=step, image_type=image_type)
    files = []
    for k in range(volume.shape[2]):
        number = first_number + k
        position = volume.grid.world([0, 0, k]) * LPS
        pixels = np.ascontiguousarray(stored[:, :, k].T)[np.newaxis]
        file = DicomFile(f"{stem}_{number:04d}.dcm", shared, pixels).with_elements(
            SOPInstanceUID=new_uid(generator),
            InstanceNumber=str(number),
            ImageOrientationPatient=[decimal(x) for x in orientation.ravel()],
            PixelSpacing=[decimal(volume.grid.spacing[1]), decimal(volume.grid.spacing[0])],
            **_pixel_elements(pixels, header.pixel_form),
        )
        files.append(placed(file, position))
    return tuple(files)


def image_orientation(grid: Grid) -> npt.NDArray[np.float64]:
    """Return (2, 3) unit vectors in LPS: along a row, down a column.

    Raises
    ------
    GeometryError
        If they are not at right angles, or the grid is not a patient's in mm.
    """
    if (grid.unit, grid.frame) != ("mm", "patient"):
        raise GeometryError(f"A DICOM series is of a patient, in mm: found a {grid.frame} in {grid.unit}.")
    along = grid.direction[:, :2].T * LPS
    cosine = abs(float(along[0] @ along[1]))
    if cosine > _LARGEST_COSINE:
        raise GeometryError(f"Rows and columns of a slice are at right angles: found a cosine of {cosine:.3g}.")
    return np.asarray(along)


def position_of(file: DicomFile) -> npt.NDArray[np.float64]:
    """Return the LPS position of the center of a slice's first pixel in mm."""
    return np.array([float(x) for x in file.dataset.ImagePositionPatient])


def orientation_of(file: DicomFile) -> npt.NDArray[np.float64]:
    """Return (3, 3) unit vectors in LPS: along a row, down a column, and the slice normal."""
    along, down = np.array([float(x) for x in file.dataset.ImageOrientationPatient]).reshape(2, 3)
    return np.array([along, down, np.cross(along, down)])


def placed(file: DicomFile, position_lps: npt.ArrayLike) -> DicomFile:
    """Return a slice at another position."""
    position = np.asarray(position_lps, dtype=np.float64)
    location = float(position @ orientation_of(file)[2])
    return file.with_elements(
        ImagePositionPatient=[decimal(x) for x in position.tolist()], SliceLocation=decimal(round(location, 6))
    )


def _pixel_elements(pixels: npt.NDArray[Any], form: PixelForm) -> dict[str, Any]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[1],
        "Columns": pixels.shape[2],
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": form.bits_stored,
        "HighBit": form.bits_stored - 1,
        "PixelRepresentation": int(form.is_signed),
    }


def _shared_elements(header: SeriesHeader, *, step_mm: float, image_type: Sequence[str]) -> Dataset:
    from pydicom import Dataset

    is_ct = header.modality == "CT"
    image = list(image_type) if is_ct else [*image_type[:2], "OTHER"]
    elements: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": image if "LOCALIZER" not in image_type else list(image_type),
        "SOPClassUID": CT_IMAGE if is_ct else MR_IMAGE,
        "StudyDate": "20200102",
        "ContentDate": "20200102",
        "StudyTime": "101112",
        "ContentTime": "101112",
        "AccessionNumber": "",
        "Modality": header.modality,
        "Manufacturer": "medgan phantom",
        "ReferringPhysicianName": "",
        "SeriesDescription": f"phantom {header.modality}",
        "PatientName": "Phantom^Series",
        "PatientID": "PHANTOM",
        "PatientBirthDate": "",
        "PatientSex": "",
        "BodyPartExamined": "HEAD",
        "SliceThickness": decimal(step_mm),
        "PatientPosition": "HFS",
        "StudyInstanceUID": header.study_uid,
        "SeriesInstanceUID": header.series_uid,
        "StudyID": "1",
        "SeriesNumber": str(header.series_number),
        "AcquisitionNumber": "1",
        "FrameOfReferenceUID": header.frame_uid,
        "PositionReferenceIndicator": "",
    }
    elements |= {"KVP": "120"} if is_ct else _MR_ELEMENTS
    form = header.pixel_form
    if form.slope is not None and form.intercept is not None:
        elements |= {"RescaleSlope": decimal(form.slope), "RescaleIntercept": decimal(form.intercept)}
        elements |= {"RescaleType": "HU" if is_ct else "US"}
    dataset = Dataset()
    for keyword, value in elements.items():
        set_element(dataset, keyword, value)
    return dataset


_MR_ELEMENTS = {
    "ScanningSequence": "SE",
    "SequenceVariant": "NONE",
    "ScanOptions": "",
    "MRAcquisitionType": "2D",
    "RepetitionTime": "500",
    "EchoTime": "10",
    "EchoTrainLength": "1",
    "MagneticFieldStrength": "1.5",
    "EchoNumbers": "1",
}
