"""Read one DICOM radiograph (CR, DX, or a secondary capture of one) as it is meant to be displayed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.byte_stream import sha256_of
from medgan.formats.decoder_process import DecoderPool
from medgan.formats.dicom_codec import LOSSY
from medgan.formats.dicom_file import FIRST_READ, DicomFile, opened_dicom
from medgan.formats.dicom_frame import FrameView, frame_of
from medgan.formats.dicom_header import Header
from medgan.formats.dicom_pixels import FramePixels
from medgan.formats.dicom_requirements import require_pixels
from medgan.formats.radiograph_file import RadiographFile, normalized
from medgan.formats.radiograph_stages import Displayed, GrayTable, inverted, looked_up, rescaled, stored, windowed
from medgan.formats.stored_file import DiskFile
from medgan.formats.stored_image import file_size
from medgan.volume import Provenance, Quantity, Radiograph

MOST_BYTES = 1 << 29
_KINDS = ("radiograph", "secondary_capture")
_VIEWS = ("AP", "PA", "LL", "RL", "LAT", "LATERAL", "RLD", "LLD", "RLO", "LLO")
_FRONTAL = ("", "AP", "PA")
_UPRIGHT = ("L", "F")


def read_dicom_radiograph(path: Path) -> RadiographFile:
    """Read a DICOM radiograph.

    Notes
    -----
    Stored values pass the modality table or rescaling, then the VOI table or the first window (with its function), and
    are inverted once, about the output range of the last stage applied, if the photometric interpretation is
    MONOCHROME1 or the presentation LUT shape is INVERSE: the two say the same. Padding becomes black.

    Raises
    ------
    FormatError
        If the file is damaged, is no radiograph, or holds colors or several images.
    """
    size = file_size(path)
    if size > MOST_BYTES:
        raise FormatError(f"{path.name}: a radiograph has at most {MOST_BYTES >> 20} MiB, this file {size >> 20}.")
    source = DiskFile(path, size)
    # Gray tables stand before the pixels and may be long: the header is read to its end.
    file = opened_dicom(source, first_read=max(FIRST_READ, size + 1))
    if file is None:
        raise FormatError(f"{path.name} is no DICOM image. Name the file of the radiograph itself.")
    file = file.labeled(1, file.identity)
    image = _stored(file, source.content())
    notices: list[str] = []
    header = file.header
    is_padding = _padding(file, image)
    try:
        image = _modality(image, header, file)
        image = _of_interest(image, header, file, notices)
    except FormatError as error:
        raise FormatError(f"{file.label}: {error}") from None
    image = _upright_grays(image, header, file, notices)
    spacing, spacing_source = _spacing(header, notices)
    view = _view(header, notices)
    if file.pixels.transfer_syntax in LOSSY or header.text(tags.LOSSY) == "01":
        notices.append("The pixels were compressed with loss before they came here.")
    values = normalized(image.values, image.low, image.high)
    if is_padding is not None and is_padding.any():
        values[is_padding] = -1.0
        notices.append(f"{is_padding.mean():.1%} of the pixels are marked as padding: shown black.")
    is_synthetic = header.text(tags.SYNTHETIC_DATA).upper() == "YES"
    provenance = Provenance((sha256_of(path),), is_synthetic=is_synthetic)
    for stage in image.stages:
        provenance = provenance.then("radiograph display", **stage)
    return RadiographFile(
        radiograph=Radiograph(values, spacing, Quantity.NORMALIZED, provenance),
        notices=tuple(notices),
        stages=image.stages,
        spacing_source=spacing_source,
        view=view,
        is_marked_synthetic=is_synthetic,
        name="radiograph" if file.label != path.name else path.stem,
    )


def _stored(file: DicomFile, content: bytes) -> Displayed:
    """Return the stored values of the only frame."""
    label, layout = file.label, file.pixels
    if file.other is not None and file.other not in _KINDS:
        raise FormatError(f"{label}: a radiograph is needed (CR or DX): this is a {file.other.replace('_', ' ')}.")
    if file.other is None and file.modality not in (None, "OT", "SC"):
        raise FormatError(f"{label}: a radiograph is needed (CR or DX): this is a slice of a {file.modality} volume.")
    if (layout.frames or 1) != 1:
        raise FormatError(f"{label}: a radiograph is one image: this file holds {layout.frames} frames.")
    if layout.samples not in (None, 1) or not layout.photometric.startswith("MONOCHROME"):
        raise FormatError(f"{label}: a radiograph is gray (MONOCHROME1 or MONOCHROME2): this file holds colors.")
    frame = frame_of(file, FrameView(None, None, file.header), 0)
    try:
        require_pixels([frame])
        with DecoderPool(1) as decoders:
            values = FramePixels(file, content, decoders).frame(0)
    except FormatError as error:
        text = str(error)
        raise FormatError(text if text.startswith(label) else f"{label}: {text}") from None
    return stored(np.array(values), bits=layout.bits_stored or 16, is_signed=layout.is_signed)


def _padding(file: DicomFile, image: Displayed) -> np.ndarray | None:
    if file.pixels.padding is None:
        return None
    low, high = file.pixels.padding
    return np.asarray((image.values >= low) & (image.values <= high))


def _modality(image: Displayed, header: Header, file: DicomFile) -> Displayed:
    tables = header.items(tags.MODALITY_LUT)
    if tables:
        return looked_up(image, gray_table(tables[0], file, image), stage="modality table")
    slope, intercept = header.number(tags.RESCALE_SLOPE), header.number(tags.RESCALE_INTERCEPT)
    if slope is None and intercept is None:
        return image
    if not slope or max(abs(slope), abs(intercept or 0)) > 1e30:
        raise FormatError(f"RescaleSlope must be a number other than 0: found {slope}.")
    return rescaled(image, slope=slope, intercept=intercept or 0.0)


def _of_interest(image: Displayed, header: Header, file: DicomFile, notices: list[str]) -> Displayed:
    tables = header.items(tags.VOI_LUT)
    centers, widths = header.numbers(tags.WINDOW_CENTER) or (), header.numbers(tags.WINDOW_WIDTH) or ()
    if tables:
        others = len(tables) - 1 + min(len(centers), len(widths))
        if others:
            notices.append(
                f"The first table of interest was used; the file offers {others} more table(s) or window(s)."
            )
        return looked_up(image, gray_table(tables[0], file, image), stage="table of interest")
    if not centers or not widths:
        return image
    if len(widths) > 1 or len(centers) > 1:
        count = min(len(centers), len(widths))
        notices.append(f"The first of {count} windows was used: center {centers[0]:g}, width {widths[0]:g}.")
    function = header.text(tags.VOI_FUNCTION).upper() or "LINEAR"
    return windowed(image, center=centers[0], width=widths[0], function=function)


def _upright_grays(image: Displayed, header: Header, file: DicomFile, notices: list[str]) -> Displayed:
    """Invert once where MONOCHROME1 or a presentation LUT shape of INVERSE says so."""
    is_first = file.pixels.photometric == "MONOCHROME1"
    shape = header.text(tags.PRESENTATION_LUT_SHAPE).upper()
    if is_first and shape == "IDENTITY":
        notices.append("MONOCHROME1 and a presentation LUT shape of IDENTITY contradict each other: inverted.")
    if shape == "INVERSE" and not is_first:
        notices.append("The presentation LUT shape is INVERSE although the pixels are MONOCHROME2: inverted.")
    if not is_first and shape != "INVERSE":
        return image
    return inverted(image, reason="MONOCHROME1" if is_first else "presentation LUT shape INVERSE")


def gray_table(item: Header, file: DicomFile, image: Displayed) -> GrayTable:
    """Return a lookup table of a sequence item.

    Raises
    ------
    FormatError
        If it is not whole.
    """
    signed = image.low < 0
    stated = item.numbers(tags.LUT_DESCRIPTOR, 3, vr="US")
    data = item.data(tags.LUT_DATA)
    if stated is None or not data:
        raise FormatError("a gray table needs its descriptor and its data. Copy the file again.")
    count, first, bits = int(stated[0]) & 0xFFFF or 65536, int(stated[1]), int(stated[2])
    if signed and first >= 32768:
        first -= 65536
    order = "<" if file.pixels.is_little_endian else ">"
    kind = np.dtype("u1") if len(data) in (count, count + 1) and count > 1 else np.dtype(f"{order}u2")
    if not 8 <= bits <= 16 or len(data) < count * kind.itemsize:
        raise FormatError(
            f"a gray table needs {count} entries of 8 to 16 bits: found {len(data)} bytes and {bits} bits."
        )
    entries = np.frombuffer(data, kind, count)
    if int(entries.max()) >= 2**bits:
        raise FormatError(f"a gray table of {bits} bits has entries below {2**bits}: found {int(entries.max())}.")
    return GrayTable(first, bits, entries.astype(np.uint16))


def _spacing(header: Header, notices: list[str]) -> tuple[tuple[float, float] | None, str | None]:
    """Return the pixel spacing (row, column) in mm, and where it is from."""
    patient = _two(header.numbers(tags.PIXEL_SPACING, 2))
    detector = _two(header.numbers(tags.IMAGER_PIXEL_SPACING, 2))
    if patient is not None:
        if detector is not None and not np.allclose(patient, detector, rtol=1e-3):
            notices.append("The pixel spacing was calibrated: it differs from that at the detector.")
        elif detector is not None:
            notices.append("The pixel spacing is that at the detector: lengths in the patient are shorter.")
        return patient, "PixelSpacing"
    if detector is not None:
        factor = header.number(tags.MAGNIFICATION)
        if factor is not None and 1 <= factor < 10:
            notices.append(f"The spacing at the detector was divided by the stated magnification of {factor:g}.")
            return (detector[0] / factor, detector[1] / factor), "ImagerPixelSpacing / magnification"
        notices.append("The pixel spacing is that at the detector: lengths in the patient are shorter.")
        return detector, "ImagerPixelSpacing"
    scanned = _two(header.numbers(tags.NOMINAL_SCANNED_SPACING, 2))
    if scanned is not None:
        notices.append("The pixel spacing is that of a scanned film.")
        return scanned, "NominalScannedPixelSpacing"
    return None, None


def _two(numbers: tuple[float, ...] | None) -> tuple[float, float] | None:
    return (numbers[0], numbers[1]) if numbers is not None and 1e-6 < min(numbers) <= max(numbers) < 1e4 else None


def _view(header: Header, notices: list[str]) -> str | None:
    stated = header.text(tags.VIEW_POSITION).upper()
    view = stated if stated in _VIEWS else None
    if view is not None and view not in _FRONTAL:
        notices.append(f"The view position is {view}: models of frontal radiographs do not apply.")
    orientation = tuple(part[:1].upper() for part in header.words(tags.PATIENT_ORIENTATION))
    if len(orientation) == 2 and all(orientation) and orientation != _UPRIGHT and view in (None, "AP", "PA"):
        notices.append("The rows do not run to the patient's left or the columns not to the feet: shown as stored.")
    return view
