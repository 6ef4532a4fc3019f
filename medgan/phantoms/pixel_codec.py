"""Compressed pixels: one frame of stored integers in a transfer syntax's code."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError
from medgan.phantoms.lossless_jpeg import lossless_jpeg

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_FIRST_ORDER = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

LOSSLESS = (RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST_ORDER, JPEG_LS, JPEG_2000)
LOSSY = (JPEG_BASELINE, JPEG_EXTENDED)

_ANY_PREDICTOR = 4
_FEWEST_GDCM_PIXELS = 1024


def encoded_frame(frame: npt.NDArray[Any], *, syntax: str, bits_stored: int) -> bytes:
    """Return the code of one frame, even in length.

    Parameters
    ----------
    frame : (rows, columns) or (rows, columns, 3)
        uint8, uint16 or int16.
    syntax : str
        UID of a transfer syntax, one of :data:`LOSSLESS` or :data:`LOSSY`.
    bits_stored : int

    Raises
    ------
    VolumeError
        If there is no encoder for this: JPEG baseline for more than 8 bits, JPEG-LS where the code would be much longer
        than the pixels, JPEG 2000 of other than 8 or 16 bits, JPEG of 12 bits below 1024 pixels.
    """
    if not 1 <= bits_stored <= frame.dtype.itemsize * 8:
        raise VolumeError(f"Pixels of {frame.dtype} store 1 bit or more of theirs: found {bits_stored}.")
    if syntax in (RLE, JPEG_LS):
        code = _pydicom_code(frame, syntax, bits_stored)
    elif syntax == JPEG_2000:
        code = _jpeg_2000(frame, bits_stored)
    elif syntax == JPEG_BASELINE:
        code = _jpeg(frame)
    elif syntax == JPEG_EXTENDED:
        code = _jpeg_of_12_bits(frame, bits_stored)
    elif syntax == JPEG_LOSSLESS:
        code = lossless_jpeg(frame, precision=bits_stored, predictor=_ANY_PREDICTOR)
    elif syntax == JPEG_LOSSLESS_FIRST_ORDER:
        code = lossless_jpeg(frame, precision=bits_stored)
    else:
        raise VolumeError(f"A phantom can be compressed in {', '.join((*LOSSLESS, *LOSSY))}: found {syntax}.")
    return code + bytes(len(code) % 2)


def _pydicom_code(frame: npt.NDArray[Any], syntax: str, bits_stored: int) -> bytes:
    from pydicom.pixels import get_encoder

    try:
        code = get_encoder(syntax).encode(
            np.ascontiguousarray(frame),
            encoding_plugin="pydicom" if syntax == RLE else "pyjpegls",
            rows=frame.shape[0],
            columns=frame.shape[1],
            samples_per_pixel=frame.shape[2] if frame.ndim == 3 else 1,
            bits_allocated=frame.dtype.itemsize * 8,
            # Run lengths are of whole bytes, garbage included.
            bits_stored=frame.dtype.itemsize * 8 if syntax == RLE else bits_stored,
            pixel_representation=int(frame.dtype.kind == "i"),
            photometric_interpretation="RGB" if frame.ndim == 3 else "MONOCHROME2",
            number_of_frames=1,
            planar_configuration=0,
        )
    except RuntimeError as error:
        raise VolumeError(f"An image of {frame.shape} pixels has no code in {syntax}: take a larger one.") from error
    return bytes(code)


def _jpeg_2000(frame: npt.NDArray[Any], bits_stored: int) -> bytes:
    from PIL import Image

    if bits_stored not in (8, 16) or frame.ndim != 2:
        raise VolumeError(f"JPEG 2000 needs gray pixels of 8 or 16 bits: found {bits_stored} of {frame.shape}.")
    # Unsigned samples are shifted by half their range before they are coded, signed ones are not (ITU-T T.800, G.1):
    # both have one code, and one bit in the header (Ssiz, A.5.1) says which they are.
    signed = frame.dtype.kind == "i"
    shifted = (frame.astype(np.int32) + (1 << (bits_stored - 1))) if signed else frame
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(shifted.astype(np.uint8 if bits_stored == 8 else np.uint16)))
    image.save(stream, "JPEG2000", no_jp2=True, irreversible=False, num_resolutions=1)
    code = bytearray(stream.getvalue())
    if signed:
        # SOC, then SIZ with its sample description behind 38 bytes.
        code[2 + 38 + 2] |= 0x80
    return bytes(code)


def _jpeg(frame: npt.NDArray[Any]) -> bytes:
    from PIL import Image

    if frame.dtype != np.uint8:
        raise VolumeError(f"No encoder for JPEG of {frame.dtype}: 8 bits unsigned are needed.")
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "JPEG", quality=97)
    return stream.getvalue()


def _jpeg_of_12_bits(frame: npt.NDArray[Any], bits_stored: int) -> bytes:
    import gdcm

    # GDCM 3.2.6 writes beyond its memory where the code is longer than the pixels, as it may be in small images.
    if frame.ndim != 2 or frame.size < _FEWEST_GDCM_PIXELS or bits_stored != 12 or frame.dtype != np.uint16:
        raise VolumeError(
            f"JPEG of 12 bits needs at least {_FEWEST_GDCM_PIXELS} gray pixels of 12 bits, unsigned: "
            f"found {frame.shape}, {bits_stored}, {frame.dtype}."
        )
    # An image that does not belong to a writer cannot be filled from Python, and the writer must stay alive.
    writer = gdcm.ImageWriter()
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame.shape[1], frame.shape[0], 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits_stored, bits_stored - 1, 0))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(np.ascontiguousarray(frame).tobytes())
    image.SetDataElement(element)
    converter = gdcm.ImageChangeTransferSyntax()
    converter.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(JPEG_EXTENDED)))
    converter.SetInput(image)
    if not converter.Change():
        raise VolumeError(f"No encoder for {bits_stored} bits of {frame.dtype} in {JPEG_EXTENDED}.")
    fragments = converter.GetOutput().GetDataElement().GetSequenceOfFragments()
    # GDCM's bindings hand bytes over as text with surrogates.
    return bytes(fragments.GetFragment(0).GetByteValue().GetBuffer().encode("utf-8", "surrogateescape"))
