"""Radiographs: DICOM images of one projection each, which have no place in the patient and are no slices."""

from __future__ import annotations

from dataclasses import dataclass

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_codec import is_lossy
from medgan.formats.dicom_file import DicomFile
from medgan.formats.dicom_frame import FrameView, frame_of
from medgan.formats.dicom_requirements import require_pixels
from medgan.formats.files import ImageFile
from medgan.formats.finding import LOSSY_WORDS, RADIOGRAPH, Finding, Verdict
from medgan.volume import Quantity

_AT_DETECTOR = "The pixel spacing is that at the detector: in the body, lengths are smaller."


@dataclass(frozen=True, eq=False)
class RadiographSource:
    """The pixels of a radiograph, still in their file.

    Parameters
    ----------
    file : DicomFile
    """

    file: DicomFile

    def read(self, *, name: str, quantity: Quantity, allow_gap: bool, assume_axes: bool) -> ImageFile:
        """Refuse: a projection is no volume, and is never read as one.

        Raises
        ------
        FormatError
            Always.
        """
        raise FormatError(f"{name}: a volume is needed, and this is a radiograph: one projection.")


def radiograph_finding(file: DicomFile) -> Finding:
    """Judge a radiograph by its header."""
    spacing, is_at_detector = spacing_of(file)
    reasons = [_AT_DETECTOR] if is_at_detector else []
    if is_lossy(file.pixels.transfer_syntax, file.header.text(tags.LOSSY)):
        reasons.append(LOSSY_WORDS)
    verdict: Verdict = "accepted"
    try:
        require_pixels([frame_of(file, FrameView(None, None, file.header), 0)])
        if (file.pixels.frames or 1) > 1:
            raise FormatError(f"A radiograph has one frame: {file.label} holds {file.pixels.frames}.")
    except FormatError as error:
        verdict = "refused"
        reasons.append(str(error))
    rows, columns = file.pixels.rows, file.pixels.columns
    return Finding(
        kind=RADIOGRAPH,
        modality=file.modality,
        grid=None,
        verdict=verdict,
        reasons=tuple(reasons),
        files=1,
        source=RadiographSource(file),
        shape=None if verdict == "refused" or rows is None or columns is None else (rows, columns),
        spacing=None if verdict == "refused" else spacing,
        identity=file.patient,
    )


def spacing_of(file: DicomFile) -> tuple[tuple[float, float] | None, bool]:
    """Return the distance (row, column) in mm between pixels, and whether it is only that at the detector.

    Notes
    -----
    PixelSpacing (PS3.3, 10.7.1.3) is calibrated to the body or equals ImagerPixelSpacing, which is measured at the
    detector, where the fan of rays has magnified the body.
    """
    for tag, is_at_detector in ((tags.PIXEL_SPACING, False), (tags.IMAGER_PIXEL_SPACING, True)):
        values = file.header.numbers(tag, 2)
        if values is not None and min(values) > 0:
            return (values[0], values[1]), is_at_detector
    return None, False
