"""Compressed pixels: one frame of stored integers in a transfer syntax's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medgan.errors import VolumeError

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_FIRST_ORDER = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

LOSSLESS = (RLE, JPEG_LOSSLESS, JPEG_LOSSLESS_FIRST_ORDER, JPEG_LS, JPEG_2000)
LOSSY = (JPEG_BASELINE, JPEG_EXTENDED)


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
        If there is no encoder for this, such as JPEG baseline for more than 8 bits.

    Notes
    -----
    GDCM encodes all but RLE (pydicom does): it is the one library at hand with an encoder of lossless JPEG.
    """
    if syntax == RLE:
        code = _run_lengths(frame, bits_stored)
    elif syntax in (*LOSSLESS, *LOSSY):
        code = _gdcm_code(frame, syntax, bits_stored)
    else:
        raise VolumeError(f"A phantom can be compressed in {', '.join((*LOSSLESS, *LOSSY))}: found {syntax}.")
    return code + bytes(len(code) % 2)


def _run_lengths(frame: npt.NDArray[Any], bits_stored: int) -> bytes:
    from pydicom.pixels.encoders import RLELosslessEncoder

    code = RLELosslessEncoder.encode(
        np.ascontiguousarray(frame),
        encoding_plugin="pydicom",
        rows=frame.shape[0],
        columns=frame.shape[1],
        samples_per_pixel=frame.shape[2] if frame.ndim == 3 else 1,
        bits_allocated=frame.dtype.itemsize * 8,
        bits_stored=bits_stored,
        pixel_representation=int(frame.dtype.kind == "i"),
        photometric_interpretation="RGB" if frame.ndim == 3 else "MONOCHROME2",
        number_of_frames=1,
        planar_configuration=0,
    )
    return bytes(code)


def _gdcm_code(frame: npt.NDArray[Any], syntax: str, bits_stored: int) -> bytes:
    import gdcm

    if frame.ndim == 3:
        color = gdcm.PhotometricInterpretation.RGB
    else:
        color = gdcm.PhotometricInterpretation.MONOCHROME2
    # An image that does not belong to a writer cannot be filled from Python, and the writer must stay alive.
    writer = gdcm.ImageWriter()
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((frame.shape[1], frame.shape[0], 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(color))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    signed = int(frame.dtype.kind == "i")
    bits = frame.dtype.itemsize * 8
    samples = frame.shape[2] if frame.ndim == 3 else 1
    image.SetPixelFormat(gdcm.PixelFormat(samples, bits, bits_stored, bits_stored - 1, signed))
    if samples > 1:
        image.SetPlanarConfiguration(0)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(np.ascontiguousarray(frame).tobytes())
    image.SetDataElement(element)
    converter = gdcm.ImageChangeTransferSyntax()
    converter.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    converter.SetInput(image)
    if not converter.Change():
        raise VolumeError(f"No encoder for {bits_stored} bits of {frame.dtype} in transfer syntax {syntax}.")
    fragments = converter.GetOutput().GetDataElement().GetSequenceOfFragments()
    buffer = fragments.GetFragment(0).GetByteValue().GetBuffer()
    # GDCM's bindings hand bytes over as text with surrogates.
    return bytes(buffer.encode("utf-8", "surrogateescape"))
