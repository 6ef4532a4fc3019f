"""From the bytes of a file to the numbers of its frames, exactly as they were stored."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.encaps import generate_frames

from medgan.errors import FormatError
from medgan.formats.decoder_process import DecoderPool
from medgan.formats.dicom_codec import NATIVE, RLE, coded_shape, has_end
from medgan.formats.dicom_file import DicomFile, PixelLayout
from medgan.formats.dicom_parsing import LONGEST_HEADER, dataset_bytes


class FramePixels:
    """The frames of one file, decoded one by one.

    Parameters
    ----------
    file : DicomFile
        Judged: its layout is whole.
    data : bytes
        Content of the file.
    decoders : DecoderPool
        For compressed frames.

    Raises
    ------
    FormatError
        If there are fewer bytes, or fewer compressed frames, than the header declares.
    """

    def __init__(self, file: DicomFile, data: bytes, decoders: DecoderPool) -> None:
        layout = file.pixels
        self._file = file
        self._decoders = decoders
        self._shape = (layout.rows or 0, layout.columns or 0)
        self._size = self._shape[0] * self._shape[1] * (layout.bits_allocated or 16) // 8
        end = layout.offset + self._size * (layout.frames or 1)
        self._body = dataset_bytes(data, layout.transfer_syntax, end + LONGEST_HEADER)
        self._is_native = layout.transfer_syntax in NATIVE
        if self._is_native and len(self._body) < end:
            raise FormatError(f"{file.label}: the pixel data are truncated. Copy the file again.")
        self._packed = [] if self._is_native else _packed_frames(file, self._body[layout.offset :])

    def frame(self, index: int) -> npt.NDArray[np.integer[Any]]:
        """Return the stored numbers (rows, columns) of a frame; they may share memory with the file's bytes.

        Raises
        ------
        FormatError
            If the compressed data are damaged.
        """
        layout = self._file.pixels
        if not self._is_native:
            frame = _decompressed(self._file, self._packed[index], self._decoders).reshape(self._shape)
            return stored_numbers(frame, layout, keeps_high_bits=layout.transfer_syntax != RLE)
        kind = np.dtype(f"{'<' if layout.is_little_endian else '>'}u{(layout.bits_allocated or 16) // 8}")
        flat = np.frombuffer(self._body, kind, self._shape[0] * self._shape[1], layout.offset + self._size * index)
        return stored_numbers(flat.reshape(self._shape), layout)


def stored_numbers(
    frame: npt.NDArray[Any], layout: PixelLayout, *, keeps_high_bits: bool = False
) -> npt.NDArray[np.integer[Any]]:
    """Return the numbers that the stored bits mean.

    Parameters
    ----------
    frame : (rows, columns) integer array
        As it lies in the file.
    layout : PixelLayout
    keeps_high_bits : bool
        Decoders of the JPEG family return numbers, not bits: above BitsStored there is then nothing but the number.

    Notes
    -----
    PS3.5, 8.1.1: a cell of BitsAllocated bits holds BitsStored bits up to HighBit; the others may hold anything, such
    as overlays, and the sign is in bit HighBit.
    """
    allocated = frame.dtype.itemsize * 8
    stored = layout.bits_stored or allocated
    high = (stored - 1) if layout.high_bit is None else layout.high_bit
    native = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if stored >= allocated:
        return native.view(np.dtype(f"{'i' if layout.is_signed else 'u'}{allocated // 8}"))
    if keeps_high_bits and not layout.is_signed:
        return native
    bits = native.view(np.dtype(f"u{allocated // 8}"))
    if layout.is_signed:
        signed = np.dtype(f"i{allocated // 8}")
        # Up to the top, where the sign belongs, and back down with it.
        top = allocated - 1 - (stored - 1 if keeps_high_bits else high)
        return (bits << top).view(signed) >> (allocated - stored)
    return (bits >> (high + 1 - stored)) & bits.dtype.type((1 << stored) - 1)


def _packed_frames(file: DicomFile, data: bytes) -> list[bytes]:
    count = file.pixels.frames or 1
    try:
        frames = list(islice(generate_frames(data, number_of_frames=count), count))
    except Exception:
        # Damaged items make pydicom raise several kinds of errors.
        raise _damaged(file) from None
    if len(frames) < count:
        raise FormatError(f"{file.label}: the header declares {count} compressed frames, the file holds {len(frames)}.")
    return frames


def _decompressed(file: DicomFile, packed: bytes, decoders: DecoderPool) -> npt.NDArray[Any]:
    layout = file.pixels
    declared = coded_shape(packed, layout.transfer_syntax)
    if declared is not None and declared != (layout.rows, layout.columns):
        raise FormatError(
            f"{file.label}: the compressed image is {declared[1]} x {declared[0]} pixels, the header declares "
            f"{layout.columns} x {layout.rows}. Copy the file again."
        )
    if not has_end(packed, layout.transfer_syntax):
        raise FormatError(f"{file.label}: the compressed pixel data are truncated. Copy the file again.")
    options: dict[str, Any] = {
        "transfer_syntax": layout.transfer_syntax,
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.is_signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    array = decoders.decoded(packed, options)
    if array is None or array.size != (layout.rows or 0) * (layout.columns or 0):
        raise _damaged(file)
    return array


def _damaged(file: DicomFile) -> FormatError:
    return FormatError(f"{file.label}: the compressed pixel data are damaged. Copy the file again.")
